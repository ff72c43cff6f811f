"""Cohorts of tokens for `glass`: a finished demo's, and a planted one whose tissue has an outline that cuts regions."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from workflow_scripts.core.feature_store import load_features, slide_file, usable_slides
from workflow_scripts.core.tables import read_table
from workflow_scripts.core.tensors import from_column
from workflow_scripts.core.truth_files import slide_of_map, truth_maps
from workflow_scripts.core.truth_map import region_classes
from workflow_scripts.slpd.explained import region_tissue, rim_share
from workflow_scripts.slpd.explained_rows import RegionFacts
from workflow_scripts.slpd.glass import without_glass
from workflow_scripts.slpd.tokens import TokenData

CPU = torch.device("cpu")
WIDTH = 128  # of tokens in the small form
_SIDE, _GRID, _DIM = 7, 8, 32  # regions along a planted slide, tokens along a region, width of a token
_CLASSES = 5
_MIX = np.array([[0.35, 0.25, 0.2, 0.1, 0.1], [0.1, 0.1, 0.2, 0.25, 0.35]])  # of the zones, by class of slide
_FINE = 3  # points along a token at which the outline is looked at


class Cohort(NamedTuple):
    """N regions of S slides.

    Attributes:
        name: of the cohort.
        tokens: float16 `[N, g, g, D]`.
        read_ok: bool `[N, g, g]`.
        tissue: float32 `[N, g, g]`.
        facts: what prototypes may follow.
        counts: int64 `[S]`.
        patients: S names.
        labels: int64 `[S]` by task.
    """

    name: str
    tokens: np.ndarray
    read_ok: np.ndarray
    tissue: np.ndarray
    facts: RegionFacts
    counts: np.ndarray
    patients: list[str]
    labels: dict[str, np.ndarray]

    def data(self, hide_glass: bool) -> TokenData:
        """Tokens as the trainer wants them."""
        visible, tissue = torch.from_numpy(self.read_ok), torch.from_numpy(self.tissue)
        visible = without_glass(visible, tissue) if hide_glass else visible
        tokens = torch.from_numpy(self.tokens).flatten(1, 2)
        return TokenData(tokens, visible.flatten(1), self.tokens.shape[1], CPU, tissue.flatten(1))

    def means(self) -> np.ndarray:
        """Mean token of each region, float32 `[N, D]`."""
        weights = self.read_ok.astype(np.float32)[..., None]
        total: np.ndarray = (self.tokens.astype(np.float32) * weights).sum(axis=(1, 2))
        return total / np.maximum(weights.sum(axis=(1, 2)), 1)


def narrowed(tokens: np.ndarray, width: int) -> np.ndarray:
    """Tokens on as many random orthogonal directions, which keep distances nearly; as they are if no wider."""
    dim = tokens.shape[-1]
    if dim <= width:
        return tokens
    directions = np.linalg.qr(np.random.default_rng(0).standard_normal((dim, width)))[0].astype(np.float32)
    flat = tokens.reshape(-1, dim)
    parts = [flat[i : i + 4096].astype(np.float32) @ directions for i in range(0, len(flat), 4096)]
    scale = np.sqrt(dim / width)
    return (np.concatenate(parts) * scale).astype(np.float16).reshape(*tokens.shape[:-1], width)


def demo(results: Path, truth: Path, manifest: Path, width: int) -> Cohort:
    """The demo of a finished results folder, which is only read."""
    slides = usable_slides(results / "slides.parquet")
    (folder,) = (path for path in (results / "features").iterdir() if path.is_dir())
    store = load_features(folder, slides)
    names = store.slide_ids
    places = [read_table(results / f"regions/{name}.parquet", ["grid_row", "grid_col"]) for name in names]
    row, column = (np.concatenate([p[key].to_numpy() for p in places]).astype(np.int64) for key in p_names(places))
    colours = [read_table(slide_file(folder, name), ["colour"]) for name in names]
    colour = np.concatenate([from_column(table, "colour")[..., :3].mean(axis=(1, 2)) for table in colours])
    classes: dict[str, int] = {}
    for file in truth_maps(str(truth)):
        name = slide_of_map(file, set(names))
        if name is not None:
            ids, found = region_classes(file, results / f"regions/{name}.parquet", results / f"check/{name}.parquet")
            classes |= dict(zip(ids, found.tolist(), strict=True))
    rows = {line.split(",")[0]: line.split(",") for line in manifest.read_text().splitlines()}
    head = rows["slide_id"]
    values = {key: [rows[name][head.index(key)] for name in names] for key in ("patient_id", "subtype", "grade")}
    facts = RegionFacts(
        slide_ids=names,
        slide=store.slide_index,
        tissue=region_tissue(store.tissue, store.read_ok),
        rim=rim_share(store.slide_index, row, column),
        colour=colour,
        classes=np.array([classes.get(region, 0) for region in store.region_ids]),
    )
    labels = {key: np.unique(values[key], return_inverse=True)[1] for key in ("subtype", "grade")}
    tokens = narrowed(store.tokens, width)
    return Cohort("demo", tokens, store.read_ok, store.tissue, facts, store.counts, values["patient_id"], labels)


def p_names(places: list) -> list[str]:
    """Columns of the places, in their order."""
    return list(places[0].column_names)


def _outline(rng: np.random.Generator) -> np.ndarray:
    """Tissue fraction of each token of a slide, float32 `[56, 56]`: a blob with a rough rim."""
    side = _SIDE * _GRID * _FINE
    y, x = (np.mgrid[:side, :side] - side / 2) / (side / 2)
    wobble = gaussian_filter(rng.standard_normal((side, side)), side / 12)
    inside = np.hypot(x * rng.uniform(0.9, 1.25), y * rng.uniform(0.9, 1.25)) + 0.16 * wobble / wobble.std() < 0.86
    cells: np.ndarray = inside.reshape(_SIDE * _GRID, _FINE, _SIDE * _GRID, _FINE).mean(axis=(1, 3))
    return cells.astype(np.float32)


def _zones(rng: np.random.Generator, label: int) -> np.ndarray:
    """Class of each token from 0, int64 `[56, 56]`: the nearest of some points, drawn by the slide's class."""
    side = _SIDE * _GRID
    points, kinds = rng.uniform(0, side, (12, 2)), rng.choice(_CLASSES, 12, p=_MIX[label])
    place = np.stack(np.mgrid[:side, :side], axis=-1)[..., None, :] + 0.5
    zones: np.ndarray = kinds[((place - points) ** 2).sum(axis=-1).argmin(axis=-1)]
    return zones


def planted(slides: int = 24, seed: int = 0) -> Cohort:
    """Slides of five classes of region, told by shares of six types of token; glass is far from all of them.

    Args:
        slides: half of them of each of two classes, which differ in the classes of their zones.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    types = rng.standard_normal((_CLASSES + 1, _DIM)) * 0.6
    glass = rng.standard_normal(_DIM) * 2
    shares = 0.55 * np.eye(_CLASSES, 6) + 0.25 * np.eye(_CLASSES, 6)[(np.arange(_CLASSES) + 1) % _CLASSES]
    shares[:, 5] += 0.2
    parts = []
    for number in range(slides):
        held, zones = _outline(rng), _zones(rng, number % 2)
        drawn = (rng.random((*zones.shape, 1)) > np.cumsum(shares, axis=1)[zones]).sum(axis=-1).clip(max=5)
        own = types[drawn] + rng.standard_normal((*zones.shape, _DIM)) + 0.5 * rng.standard_normal(_DIM)
        parts.append(_regions(held[..., None] * own + (1 - held[..., None]) * glass, held, zones))
    counts = np.array([len(part[0]) for part in parts])
    tokens, tissue, classes, places = (np.concatenate([part[k] for part in parts]) for k in range(4))
    slide, ok = np.repeat(np.arange(slides), counts), np.ones(tissue.shape, dtype=bool)
    names = [f"s{number:02d}" for number in range(slides)]
    unknown = np.full((len(slide), 3), np.nan)
    facts = RegionFacts(names, slide, region_tissue(tissue, ok), rim_share(slide, *places.T), unknown, classes)
    return Cohort("planted", tokens.astype(np.float16), ok, tissue, facts, counts, names,
                  {"class": np.arange(slides) % 2})  # fmt: skip


def _regions(tokens: np.ndarray, held: np.ndarray, zones: np.ndarray) -> tuple[np.ndarray, ...]:
    """Tokens, tissue, commonest class from 1 and places of the regions of a slide of 0.3 tissue at least."""

    def cut(values: np.ndarray) -> np.ndarray:
        blocks = values.reshape(_SIDE, _GRID, _SIDE, _GRID, -1).swapaxes(1, 2)
        return blocks.reshape(_SIDE**2, _GRID, _GRID, -1)

    tissue, kinds = cut(held)[..., 0], cut(zones)[..., 0]
    votes = np.stack([(tissue * (kinds == kind)).sum(axis=(1, 2)) for kind in range(_CLASSES)], axis=1)
    kept = tissue.mean(axis=(1, 2)) >= 0.3
    places = np.stack(np.divmod(np.arange(_SIDE**2), _SIDE), axis=1)
    return cut(tokens)[kept], tissue[kept], 1 + votes.argmax(axis=1)[kept], places[kept]
