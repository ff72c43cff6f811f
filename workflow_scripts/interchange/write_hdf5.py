"""Patch features in the layouts of TRIDENT and CLAM, for tools that read those.

Both want `features` [N, D] float32 and `coords` [N, 2] in level-0 px. TRIDENT notes the scale in attributes of
`coords`, CLAM in those of the patching step's file, and its training reads `.pt` tensors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from workflow_scripts.core.files import whole_file

# Folder and ending of the files of a slide, by layout; the folders hold nothing else of ours.
_PLACES = {
    "trident": (("features_{encoder}", ".h5"), ("patches", "_patches.h5")),
    "clam": (("h5_files", ".h5"), ("pt_files", ".pt"), ("patches", ".h5")),
}


@dataclass(frozen=True)
class ExportedSlide:
    """Patches of a slide.

    Attributes:
        name: the slide_id.
        encoder: name of the encoder.
        features: float32 `[N, D]`.
        coords: int64 `[N, 2]`, x and y of the upper left corners, level-0 px.
        patch_px: width of a patch at the scale that it was read at, px.
        mpp: that scale, um/px.
        size_px: width of a patch, level-0 px.
        level0_mpp: um/px at level 0; None where it is not known.
        width, height: the slide's, level-0 px; None where they are not known.
    """

    name: str
    encoder: str
    features: np.ndarray
    coords: np.ndarray
    patch_px: int
    mpp: float
    size_px: int
    level0_mpp: float | None
    width: int | None
    height: int | None


def _places(layout: str, encoder: str) -> list[tuple[str, str]]:
    return [(folder.format(encoder=encoder), ending) for folder, ending in _PLACES[layout]]


def _names(layout: str, slide: ExportedSlide) -> list[str]:
    return [f"{folder}/{slide.name}{ending}" for folder, ending in _places(layout, slide.encoder)]


def remove_others(folder: Path, layout: str, encoder: str, kept: set[str]) -> list[str]:
    """Remove a layout's files of slides that are no longer exported; tools that take whole folders would read them.

    Args:
        folder: of the layout, as the writers take it.
        layout: `trident` or `clam`.
        encoder: name of the features.
        kept: names that the writers gave.

    Returns:
        Names of the removed files; files with other endings stay.
    """
    removed = []
    for part, ending in _places(layout, encoder):
        for file in sorted((folder / part).glob(f"*{ending}")):
            name = f"{part}/{file.name}"
            if name not in kept and file.is_file():
                file.unlink()
                removed.append(name)
    return removed


def patch_corners(regions: dict[str, np.ndarray], grid: int) -> np.ndarray:
    """Upper left corners of the patches of regions, int64 `[n, g, g, 2]` (x, y), level-0 px.

    Args:
        regions: columns x, y, size_x and size_y of `core.schemas.REGIONS`, int64 `[n]` each.
        grid: patches along a side of a region, g.
    """
    steps = np.arange(grid) / grid
    xs = regions["x"][:, None] + np.rint(regions["size_x"][:, None] * steps).astype(np.int64)
    ys = regions["y"][:, None] + np.rint(regions["size_y"][:, None] * steps).astype(np.int64)
    shape = (len(xs), grid, grid)
    return np.stack([np.broadcast_to(xs[:, None, :], shape), np.broadcast_to(ys[:, :, None], shape)], axis=-1)


def _write(path: Path, data: dict[str, np.ndarray], attributes: dict[str, dict[str, Any]]) -> None:
    with whole_file(path) as partial, h5py.File(partial, "w") as file:
        for name, values in data.items():
            dataset = file.create_dataset(name, data=values)
            for key, value in attributes.get(name, {}).items():
                if value is not None:
                    dataset.attrs[key] = value


def _trident_attributes(slide: ExportedSlide, folder: Path) -> dict[str, Any]:
    """TRIDENT's own names; its magnifications are whole numbers, level0_mpp and target_mpp say the scale exactly."""
    level0 = slide.level0_mpp or slide.mpp * slide.patch_px / slide.size_px
    return {
        "patch_size": slide.patch_px,
        "patch_size_level0": slide.size_px,
        "level0_magnification": max(1, round(10 / level0)),
        "target_magnification": max(1, round(10 / slide.mpp)),
        "overlap": 0,
        "name": slide.name,
        "savetodir": str(folder),
        "level0_width": slide.width,
        "level0_height": slide.height,
        "level0_mpp": slide.level0_mpp,
        "target_mpp": slide.mpp,
    }


def write_trident(folder: Path, slide: ExportedSlide) -> list[str]:
    """Write `features_{encoder}/{slide}.h5` and `patches/{slide}_patches.h5` as TRIDENT does; their names."""
    names = _names("trident", slide)
    told = {"name": slide.name, "savetodir": str(folder / f"features_{slide.encoder}"), "encoder": slide.encoder}
    attributes = {"features": told, "coords": _trident_attributes(slide, folder)}
    _write(folder / names[0], {"features": slide.features, "coords": slide.coords}, attributes)
    _write(folder / names[1], {"coords": slide.coords}, attributes)
    return names


def write_clam(folder: Path, slide: ExportedSlide) -> list[str]:
    """Write `h5_files/{slide}.h5`, `pt_files/{slide}.pt` and `patches/{slide}.h5` as CLAM does; their names."""
    import torch

    names = _names("clam", slide)
    coords = slide.coords.astype(np.int32)
    size = (slide.width, slide.height) if slide.width and slide.height else None
    attributes = {
        "patch_size": slide.size_px,  # CLAM counts in px of patch_level
        "patch_level": 0,
        "downsample": (1.0, 1.0),
        "downsampled_level_dim": size,
        "level_dim": size,
        "name": slide.name,
        "save_path": str(folder / "patches"),
    }
    _write(folder / names[0], {"features": slide.features, "coords": coords}, {})
    with whole_file(folder / names[1]) as partial:
        torch.save(torch.from_numpy(slide.features), partial)
    _write(folder / names[2], {"coords": coords}, {"coords": attributes})
    return names


WRITERS: dict[str, Callable[[Path, ExportedSlide], list[str]]] = {"trident": write_trident, "clam": write_clam}
