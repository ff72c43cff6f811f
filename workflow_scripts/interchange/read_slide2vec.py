"""Files of slide2vec: a tensor [N, D] or, of regions of T tiles, [R, T, D], and a file of coordinates.

Coordinates: `{id}.coordinates.npz` with x, y in level-0 px beside a JSON file that tells tile_size_lv0,
requested_spacing_um, requested_tile_size_px and base_spacing_um; or, of older versions, `{id}.npy` with the fields x,
y, tile_size_lv0, target_spacing, tile_size_resized and resize_factor. With regions, they are those of the regions, and
so is tile_size_lv0.
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workflow_scripts.config.problems import first_problem
from workflow_scripts.core.status import SlideError
from workflow_scripts.interchange.patches import SourcePatches
from workflow_scripts.interchange.plain_files import read_arrays, read_json, read_tensor


def _notes_file(file: Path) -> Path:
    return file.with_name(f"{file.name.removesuffix(file.suffix)}.meta.json")


def _notes(file: Path) -> dict[str, Any]:
    return read_json(_notes_file(file))


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


_Size = Annotated[float, Field(ge=0)]


class _Tiling(_Part):
    tile_size_lv0: _Size | None = None
    requested_tile_size_px: _Size | None = None
    requested_spacing_um: _Size | None = None
    overlap: _Size | None = None


class _Slide(_Part):
    base_spacing_um: _Size | None = None
    dimensions: Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=2, max_length=2)] | None = None


class _Notes(_Part):
    """What is read of the JSON file beside the coordinates; sizes of 0 stand for none."""

    tiling: _Tiling | None = None
    slide: _Slide | None = None


def _checked_notes(file: Path) -> _Notes:
    try:
        return _Notes.model_validate(_notes(file))
    except ValidationError as error:
        raise SlideError(
            "bad_features",
            f"{_notes_file(file)} is not as slide2vec writes it ({first_problem(error, mend=False)}); copy it again",
        ) from None


def _scale(arrays: dict[str, np.ndarray], notes: _Notes) -> dict[str, Any]:
    """tile_size_lv0 (px), tile_um, base (um/px) and dimensions (px), from the JSON file or the old fields."""
    if "tile_size_lv0" in arrays and len(arrays["x"]):
        old = {name: float(arrays[name][0]) for name in arrays}
        tile_um = None
        if old.get("resize_factor") and "target_spacing" in old and "tile_size_resized" in old:
            tile_um = old["tile_size_resized"] / old["resize_factor"] * old["target_spacing"]
        return {"px": old["tile_size_lv0"], "um": tile_um, "base": None, "extent": None}
    tiling, slide = notes.tiling or _Tiling(), notes.slide or _Slide()
    px, base, size = tiling.tile_size_lv0, slide.base_spacing_um, slide.dimensions
    asked_px, asked_um = tiling.requested_tile_size_px, tiling.requested_spacing_um
    tile_um = px * base if px and base else asked_px * asked_um if asked_px and asked_um else None
    if tiling.overlap:
        raise SlideError(
            "irregular_grid", f"tiles overlap by {tiling.overlap:g} of their width; extract them without overlap"
        )
    return {"px": px, "um": tile_um, "base": base, "extent": tuple(size) if size else None}


def _tiles_of_regions(
    features: Path, coords: np.ndarray, tiles: int, scale: dict[str, Any]
) -> tuple[np.ndarray, dict[str, Any]]:
    """Corners of the tiles of square regions, row by row, float64 `[R, 2]` to `[R * T, 2]`; and the scale of a tile."""
    multiple = round(tiles**0.5)
    if multiple**2 != tiles or not scale["px"]:
        raise SlideError(
            "bad_features", f"{features} has {tiles} tiles a region; they must make a square whose size is recorded"
        )
    # slide2vec rounds a tile's width to whole px before it lays tiles beside each other
    px = float(round(scale["px"] / multiple))
    rows, cols = np.divmod(np.arange(tiles), multiple)
    offsets = np.stack([cols, rows], axis=1) * px
    tile = {**scale, "px": px, "um": scale["um"] / multiple if scale["um"] else None}
    return (coords[:, None, :] + offsets[None]).reshape(-1, 2), tile


def _load(features: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Features and, where the file has them, the numbers of their tiles."""
    if features.suffix == ".pt":
        return read_tensor(features), None
    arrays = read_arrays(features)
    if "features" not in arrays:
        raise SlideError("bad_features", f"{features} has no array named features; it holds {sorted(arrays)}")
    return arrays["features"], arrays.get("tile_index")


def read_slide2vec(features: Path, coords: Path | None) -> SourcePatches:
    """Patches as slide2vec wrote them.

    Raises:
        SlideError: `bad_features`: the files are not of this layout or do not belong together; `irregular_grid`:
            tiles overlap.
    """
    values, order = _load(features)
    if coords is None:
        raise SlideError("bad_features", f"{features} has no file of coordinates; set source.coords_folder")
    arrays = read_arrays(coords)
    if not {"x", "y"} <= set(arrays):
        raise SlideError("bad_features", f"{coords} has no arrays x and y; it is no file of coordinates")
    scale = _scale(arrays, _checked_notes(coords))
    places = np.stack([arrays["x"], arrays["y"]], axis=1).astype(np.float64)
    if len(values) != len(places):
        raise SlideError(
            "bad_features",
            f"{features} has {len(values)} tiles or regions and {coords} {len(places)}; both must be of one run",
        )
    if values.ndim == 2 and order is not None and "tile_index" in arrays:
        row = {int(tile): number for number, tile in enumerate(arrays["tile_index"])}
        if set(map(int, order)) != set(row):
            raise SlideError("bad_features", f"{features} and {coords} number other tiles; both must be of one run")
        places = places[[row[int(tile)] for tile in order]]
    if values.ndim == 3:
        places, scale = _tiles_of_regions(features, places, values.shape[1], scale)
        values = values.reshape(-1, values.shape[2])
    return SourcePatches(
        file=str(features),
        features=values,
        coords=places,
        size_px=scale["px"],
        size_um=scale["um"],
        mpp=scale["base"],
        extent=scale["extent"],
        encoder=str(_notes(features).get("encoder_name") or ""),
    )
