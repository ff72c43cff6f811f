"""Render a planned slide: its colours at 0.5 um/px and the true class of every 8 um."""

from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.demo import layout
from workflow_scripts.demo.fields import smooth_noise
from workflow_scripts.demo.plan import BATCHES, CLASSES, MPP, SlidePlan
from workflow_scripts.demo.stains import colour_table, draw_staining, match_colour, to_rgb, to_units
from workflow_scripts.demo.textures import PAINTERS

_CELL = round(layout.MPP / MPP)  # px of the image in one px of the layout
_CAPSULE = 2  # px of the layout: thin stroma around the tissue, so that fat and lumens at its edge stay enclosed


class Truth(NamedTuple):
    """What lies where on a slide.

    Attributes:
        map: uint8 [h, w], index into `plan.CLASSES`, at 8 um/px.
        territories: int16 [h, w], 0 on glass, else the number of the territory.
        composition: float64 [6], fraction of the tissue of each of `CLASSES[1:]`; 0 without tissue.
    """

    map: np.ndarray
    territories: np.ndarray
    composition: np.ndarray


def make_truth(plan: SlidePlan, seed: int) -> Truth:
    """Layout of a slide; the last px of a row or column may reach beyond the image."""
    width, height = plan.size_px
    shape = (-(-height // _CELL), -(-width // _CELL))
    if plan.kind == "blank":
        empty = np.zeros(shape)
        return Truth(empty.astype(np.uint8), empty.astype(np.int16), np.zeros(len(CLASSES) - 1))
    rng = np.random.default_rng(derive_seed(seed, "layout", plan.slide_id))
    coverage = 0.8 if plan.kind == "small" else rng.uniform(0.56, 0.69)
    labels = layout.territories(rng, layout.tissue_mask(rng, shape, coverage))
    classes = layout.assign_classes(rng, labels, np.array(plan.composition), plan.subtype)
    class_map = classes[labels]
    counts = np.bincount(class_map.ravel(), minlength=len(CLASSES))[1:]
    return Truth(class_map, labels, counts / max(1, counts.sum()))


def make_canvases(seed: int, slide_id: str) -> dict[str, np.ndarray]:
    """A slide's canvas of each class, uint8 [2, size, size]; glands and solid nests are matched in colour."""
    canvases = {
        name: to_units(paint(np.random.default_rng(derive_seed(seed, "canvas", slide_id, name))))
        for name, paint in PAINTERS.items()
    }
    canvases["glands"], canvases["solid"] = match_colour(canvases["glands"], canvases["solid"])
    return canvases


def render(plan: SlidePlan, seed: int, truth: Truth) -> np.ndarray:
    """Colours of a slide, uint8 [height, width, 3], at 0.5 um/px whatever the plan's own scale."""
    width, height = plan.size_px
    rng = np.random.default_rng(derive_seed(seed, "render", plan.slide_id))
    planes = np.zeros((2, height, width), np.uint8)
    if truth.map.any():
        canvases = make_canvases(seed, plan.slide_id)
        ragged = 127 + 22 * smooth_noise(rng, 1024, 26) + 10 * smooth_noise(rng, 1024, 9)
        ragged = ragged.clip(40, 215).astype(np.uint8)
        whole = (slice(0, height), slice(0, width))
        _fill(planes, whole, truth.map > 0, canvases["stroma"], ragged, rng)  # shows between and around territories
        core = ndimage.binary_erosion(truth.map > 0, iterations=_CAPSULE)
        for number in range(1, int(truth.territories.max()) + 1):
            own = truth.territories == number
            name = CLASSES[truth.map[own][0]]
            box = (_around(own.any(axis=1), height), _around(own.any(axis=0), width))
            _fill(planes, box, own & core, canvases[name], ragged, rng)
    shared, own = (np.random.default_rng(derive_seed(seed, "staining", of)) for of in (plan.staining, plan.slide_id))
    staining = draw_staining(shared, own, BATCHES.index(plan.batch))
    return to_rgb(planes, colour_table(staining))


def _around(line: np.ndarray, end: int) -> slice:
    """Pixels of the image from the first to the last cell that `line` (bool, of the layout) holds, and a cell more."""
    cells = np.flatnonzero(line)
    return slice(max(0, (cells[0] - 1) * _CELL), min(end, (cells[-1] + 2) * _CELL))


def _fill(
    planes: np.ndarray,
    box: tuple[slice, slice],
    mask: np.ndarray,
    canvas: np.ndarray,
    ragged: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Lay a turned and shifted canvas over the part of `box` (px of the image) where `mask` (of the layout) holds.

    `ragged` (wraps around) is the brightness of the enlarged mask, 0..255, at which the outline is drawn.
    """
    rows, columns = box
    part = mask[rows.start // _CELL : -(-rows.stop // _CELL), columns.start // _CELL : -(-columns.stop // _CELL)]
    soft = ndimage.gaussian_filter(part.astype(np.float32) * 255, 0.9, mode="nearest").astype(np.uint8)
    large = Image.fromarray(soft).resize((part.shape[1] * _CELL, part.shape[0] * _CELL), Image.Resampling.BICUBIC)
    y, x = (np.arange(line.start, line.stop) % len(ragged) for line in box)
    inside = np.asarray(large)[: len(y), : len(x)] > ragged[y][:, x]
    turned = np.rot90(canvas, int(rng.integers(4)), axes=(1, 2))
    if rng.random() < 0.5:
        turned = turned[:, ::-1]
    shift_y, shift_x = rng.integers(0, canvas.shape[1], 2)
    y = (np.arange(inside.shape[0]) + shift_y) % canvas.shape[1]
    x = (np.arange(inside.shape[1]) + shift_x) % canvas.shape[2]
    for plane, texture in zip(planes, turned, strict=True):
        np.copyto(plane[rows, columns], np.ascontiguousarray(texture)[y][:, x], where=inside)


def with_noise(rgb: np.ndarray, plan: SlidePlan, seed: int) -> np.ndarray:
    """The image at the plan's own scale, with the camera's faint noise; 0.25 um/px is enlarged from 0.5."""
    rng = np.random.default_rng(derive_seed(seed, "noise", plan.slide_id))
    size, factor = 512, round(MPP / plan.mpp)
    height, width = (n * factor for n in rgb.shape[:2])
    grey = rng.normal(0, 1.1, (size, size, 1)) + rng.normal(0, 0.7, (size, size, 3))
    # Colours keep clear of 0 and 255, so adding modulo 256 never wraps.
    noise = np.rint(grey).clip(-9, 9).astype(np.int8).view(np.uint8)
    noise = np.tile(noise, (1, -(-width // size), 1))[:, :width]
    result = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, size):
        bottom = min(height, top + size)
        np.add(_enlarged_rows(rgb, top, bottom, factor), noise[: bottom - top], out=result[top:bottom])
    return result


def _enlarged_rows(rgb: np.ndarray, top: int, bottom: int, factor: int) -> np.ndarray:
    """Rows `top` to `bottom` of the image enlarged bilinearly; in bands, because one whole copy would fill memory."""
    if factor == 1:
        return rgb[top:bottom]
    first, last = max(0, top // factor - 1), min(rgb.shape[0], bottom // factor + 1)
    band = Image.fromarray(rgb[first:last])
    large = band.resize((band.width * factor, band.height * factor), Image.Resampling.BILINEAR)
    return np.asarray(large)[top - first * factor : bottom - first * factor]
