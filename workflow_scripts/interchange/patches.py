"""Patches of a slide as another tool wrote them, and what is wrong with them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from workflow_scripts.core.status import SlideError


@dataclass(frozen=True)
class SourcePatches:
    """Features and places of a slide's patches, and what the files say about their scale.

    Attributes:
        file: the feature file, for messages.
        features: `[N, D]` floating point.
        coords: float64 `[N, 2]`, x and y of the upper left corners in `unit`.
        unit: `px` of level 0, or `um`.
        size_px: width of a patch, level-0 px; None where the files do not say.
        size_um: width of a patch, um; None where the files do not say.
        mpp: um/px at level 0 as the tool had it; None where the files do not say.
        magnification: objective power at level 0 as the tool had it: a bucket, no measurement.
        extent: width and height of the slide, level-0 px; None where the files do not say.
        encoder: name of the encoder; empty where the files do not say.
    """

    file: str
    features: np.ndarray
    coords: np.ndarray
    unit: Literal["px", "um"] = "px"
    size_px: float | None = None
    size_um: float | None = None
    mpp: float | None = None
    magnification: float | None = None
    extent: tuple[int, int] | None = None
    encoder: str = ""


def _features(file: str, features: np.ndarray) -> np.ndarray:
    if features.ndim == 3 and features.shape[0] == 1:
        features = features[0]  # [1, N, D], a batch of one
    if features.ndim != 2 or not features.size or not np.issubdtype(features.dtype, np.floating):
        raise SlideError(
            "bad_features",
            f"{file} holds features {list(features.shape)} of {features.dtype}, not [patches, width] of floating "
            "point; give features of patches, not of the slide",
        )
    limit = np.finfo(np.float16).max
    with np.errstate(invalid="ignore"):
        wrong = int((~(np.abs(features) <= limit)).any(axis=1).sum())
    if wrong:
        raise SlideError(
            "bad_features",
            f"{file}: the features of {wrong} of {len(features)} patches hold NaN, infinity or values above "
            f"{limit:g}; extract this slide again",
        )
    return features


def checked(patches: SourcePatches) -> SourcePatches:
    """The patches with features `[N, D]` and coordinates float64 `[N, 2]`.

    Raises:
        SlideError: `no_tissue`: there is no patch; `bad_features`: shapes do not fit, values are not finite (or not so
            in half precision), or two patches stand at one place.
    """
    coords = np.asarray(patches.coords, np.float64)
    coords = coords[0] if coords.ndim == 3 and coords.shape[0] == 1 else coords
    if not len(coords):
        raise SlideError("no_tissue", f"{patches.file} holds no patch: the tool found no tissue on this slide")
    features = _features(patches.file, patches.features)
    if coords.shape != (len(features), 2):
        raise SlideError(
            "bad_features",
            f"{patches.file} has {len(features)} patches and coordinates {list(coords.shape)}; both must be of one "
            "extraction",
        )
    if not np.isfinite(coords).all():
        raise SlideError("bad_features", f"{patches.file} holds coordinates that are not finite; extract it again")
    double = len(coords) - len(np.unique(coords, axis=0))
    if double:
        raise SlideError(
            "bad_features", f"{patches.file} holds {double} patches at places of others; extract this slide again"
        )
    return SourcePatches(**{**vars(patches), "features": features, "coords": coords})
