"""HDF5 files of TRIDENT, CLAM and STAMP; versions are told apart by what the files hold.

TRIDENT: `features` [N, D] and `coords` [N, 2] in level-0 px, whose attributes tell patch_size (px at the target
magnification), patch_size_level0 (newer versions), level0_magnification, target_magnification, overlap,
level0_width and level0_height.
CLAM: the same two data sets without attributes; the file of the patching step has `coords` with patch_size (px of
patch_level), patch_level and downsample. Its first version has `imgs` [N, p, p, 3] with these attributes instead, and
`coords` in px of that level.
STAMP: `feats` [N, D] and `coords` [N, 2], in um with the attribute tile_size_um (since 2.1) or tile_size and unit `um`
(2.0); before that in steps of 224 px of 256 um.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from workflow_scripts.core.status import SlideError
from workflow_scripts.interchange.patches import SourcePatches
from workflow_scripts.interchange.plain_files import read_tensor

_HISTORIC_STAMP_PX, _HISTORIC_STAMP_UM = 224.0, 256.0


def _value(value: Any) -> Any:
    """An attribute as text, number or list; None where it is there without a value."""
    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.tolist() if hasattr(value, "tolist") else value


def _number(attributes: dict[str, Any], name: str) -> float | None:
    """An attribute as a positive number; of a pair, which CLAM writes for x and y, the first."""
    value = attributes.get(name)
    first: Any = value[0] if isinstance(value, (list, tuple)) and value else value
    try:
        number = float(first)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) and number > 0 else None


def _load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Data sets (pictures as their first row only) and all attributes, those of the data sets over the file's."""
    try:
        with h5py.File(path, "r") as file:
            attributes = {name: _value(value) for name, value in file.attrs.items()}
            data = {}
            for name in ("features", "feats", "coords", "imgs"):
                if isinstance(file.get(name), h5py.Dataset):
                    data[name] = file[name][:1] if name == "imgs" else file[name][()]
                    attributes |= {key: _value(value) for key, value in file[name].attrs.items()}
    except (OSError, RuntimeError, ValueError) as error:
        raise SlideError("bad_features", f"{path} is no readable HDF5 file ({error}); copy it again") from error
    return data, attributes


def _places(path: Path, data: dict[str, np.ndarray], attributes: dict[str, Any]) -> dict[str, Any]:
    """Coordinates and scale of TRIDENT's or CLAM's files as fields of `SourcePatches`."""
    coords = np.asarray(data["coords"], np.float64)
    size, down = _number(attributes, "patch_size"), 1.0
    level_px = _number(attributes, "patch_size_level0")
    source, target = _number(attributes, "level0_magnification"), _number(attributes, "target_magnification")
    if level_px is None and size and source and target:
        level_px = size * source / target
    elif level_px is None and (size or "imgs" in data) and "patch_level" in attributes:
        down = float(int(_number(attributes, "downsample") or 1))  # CLAM itself cuts it to a whole number
        down *= _number(attributes, "custom_downsample") or 1.0
        if down == 1.0 and attributes["patch_level"] and "downsample" not in attributes:
            size = None  # the patching step's file does not say how far its level is from level 0
        level_px = size * down if size else None
    if "imgs" in data:  # CLAM's first version: positions in px of the level, halved again where it halves patches
        whole, cut = _number(attributes, "level_dim"), _number(attributes, "downsampled_level_dim")
        down *= max(1, round(whole / cut)) if whole and cut else 1
        coords, level_px = coords * down, data["imgs"].shape[1] * down
    if overlap := _number(attributes, "overlap"):
        raise SlideError(
            "irregular_grid", f"the patches of {path} overlap by {overlap:g} px; extract them without overlap"
        )
    width, height = _number(attributes, "level0_width"), _number(attributes, "level0_height")
    return {
        "coords": coords,
        "size_px": level_px,
        "mpp": _number(attributes, "level0_mpp"),
        "magnification": source,
        "extent": (int(width), int(height)) if width and height else None,
    }


def _features(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Data sets and attributes of a feature file; of a .pt file the features alone."""
    data, attributes = ({"features": read_tensor(path)}, {}) if path.suffix == ".pt" else _load(path)
    if "feats" in data:
        raise SlideError("bad_features", f"{path} is laid out as STAMP's files are; set source.kind to stamp")
    if "features" not in data:
        raise SlideError("bad_features", f"{path} has no data set named features; it holds {sorted(data) or 'none'}")
    return data, attributes


def read_patches(features: Path, coords: Path | None) -> SourcePatches:
    """Patches as TRIDENT or CLAM wrote them.

    Args:
        features: .h5 with features and coordinates, or .pt with features alone.
        coords: the patching step's file: coordinates for .pt, and attributes that the features' file lacks.

    Raises:
        SlideError: `bad_features`: the files are not of this layout; `irregular_grid`: patches overlap.
    """
    data, attributes = _features(features)
    encoder = str(attributes.get("encoder") or "")
    if coords is not None and not ("coords" in data and "patch_size" in attributes):
        told, known = _load(coords)
        if "coords" not in told:
            raise SlideError("bad_features", f"{coords} has no data set named coords; it is no file of coordinates")
        if "coords" in data and not np.array_equal(data["coords"], told["coords"]):
            raise SlideError(
                "bad_features", f"{features} and {coords} have other coordinates; both must be of one extraction"
            )
        data, attributes = {**told, **data, "coords": told["coords"]}, {**attributes, **known}
    if "coords" not in data:
        raise SlideError(
            "bad_features",
            f"{features} holds no coordinates, and there is no file of the patching step for it; set "
            "source.coords_folder",
        )
    places = _places(features, data, attributes)
    return SourcePatches(file=str(features), features=data["features"], encoder=encoder, **places)


def _stride(coords: np.ndarray) -> float:
    """Smallest step between columns or rows; 0 where there is none."""
    steps = np.concatenate([np.diff(np.unique(coords[:, axis])) for axis in (0, 1)])
    return float(steps.min()) if len(steps) else 0.0


def read_stamp(features: Path) -> SourcePatches:
    """Patches as STAMP wrote them.

    Raises:
        SlideError: `bad_features`: the file is not of this layout, or the unit of its coordinates is not known.
    """
    data, attributes = _load(features)
    if "features" in data:
        raise SlideError(
            "bad_features", f"{features} is laid out as TRIDENT's and CLAM's files are; set source.kind to one of them"
        )
    missing = {"feats", "coords"} - set(data)
    if missing or data["coords"].ndim != 2:
        raise SlideError("bad_features", f"{features} has no data sets feats and coords [patches, 2] as STAMP writes")
    coords = np.asarray(data["coords"], np.float64)
    size = _number(attributes, "tile_size_um")
    if size is None and attributes.get("unit") == "um":
        size = _number(attributes, "tile_size")
    if size is None and round(_number(attributes, "tile_size") or _stride(coords)) == _HISTORIC_STAMP_PX:
        size, coords = _HISTORIC_STAMP_UM, coords * (_HISTORIC_STAMP_UM / _HISTORIC_STAMP_PX)
    if size is None:
        raise SlideError(
            "bad_features", f"{features} does not tell the unit of its coordinates (tile_size_um); extract it again"
        )
    return SourcePatches(
        file=str(features),
        features=data["feats"],
        coords=coords,
        unit="um",
        size_um=size,
        encoder=str(attributes.get("extractor") or ""),
    )
