"""Where the tissue is, step by step: a method's score, one threshold a slide, shapes cleaned in physical units."""

from importlib import import_module
from typing import Protocol, cast

import numpy as np

from workflow_scripts.config import Tissue
from workflow_scripts.core.own_function import own_function
from workflow_scripts.core.status import SlideError
from workflow_scripts.tissue.own_method import OwnMethod
from workflow_scripts.tissue.shapes import close_mask, drop_small, fill_small_holes, keep_largest_holes
from workflow_scripts.tissue.threshold import above, otsu_mask

_BLACK = 24  # a pixel with no channel above this is padding or ink; its saturation is noise


class Method(Protocol):
    """What a file `method_{name}.py` of this room gives: a score of how much a pixel looks like tissue.

    Attributes:
        FULL_SCALE: what a score of 255 stands for, in the unit of `tissue.threshold`.
    """

    FULL_SCALE: float

    def score(self, rgb: np.ndarray, width_px: float) -> np.ndarray:
        """A new array uint8 `[h, w]` of colours uint8 `[h, w, 3]`, smoothed over `width_px` px (0: not at all)."""
        ...


def find_method(name: str, um_per_px: float) -> Method:
    """The method of `tissue.method`: a file of this room, as config offers them, or the user's own function."""
    own = own_function("tissue.method", name)
    return OwnMethod(own, um_per_px) if own else cast(Method, import_module(f"workflow_scripts.tissue.method_{name}"))


def refuse_dark_background(rgb: np.ndarray) -> None:
    """Brightfield slides have light behind the tissue; fluorescence has none.

    Args:
        rgb: uint8 `[n, 3]`.

    Raises:
        SlideError: `not_brightfield`.
    """
    dark = np.mean(rgb.max(axis=-1) < 64)
    bright = np.mean(rgb.min(axis=-1) > 128)
    if dark > 0.5 and bright < 0.05:
        raise SlideError(
            "not_brightfield", f"{dark:.0%} of the slide is dark, as in fluorescence; only brightfield slides are used"
        )


def segment(
    rgb: np.ndarray,
    um_per_px: float,
    settings: Tissue,
    ink: np.ndarray | None = None,
    read_ok: np.ndarray | None = None,
) -> tuple[np.ndarray, float]:
    """Tissue of a whole slide and the threshold that was used.

    Args:
        rgb: uint8 `[h, w, 3]`, the slide at `um_per_px`.
        um_per_px: scale of `rgb`.
        settings: config section `tissue`.
        ink: bool `[h, w]`, what is not to be tissue; see `pen_ink`.
        read_ok: bool `[h, w]`, False where `rgb` was not read from the slide: it counts for no threshold.

    Returns:
        bool `[h, w]`, and the threshold in the method's unit (saturation or probability 0..1, optical density from 0).
    """
    read_ok = np.ones(rgb.shape[:2], bool) if read_ok is None else read_ok
    method = find_method(settings.method, um_per_px)
    score = method.score(rgb, settings.smooth_um / um_per_px)
    score[rgb.max(axis=2) <= _BLACK] = 0
    if ink is not None:
        score[ink] = 0
    unit = method.FULL_SCALE / 255
    fixed = OwnMethod.THRESHOLD if isinstance(method, OwnMethod) else None
    fixed = fixed if settings.threshold == "otsu" else settings.threshold
    if fixed is None:
        mask, threshold = otsu_mask(score, read_ok, unit, settings.smooth_um / um_per_px / 2, settings)
    else:
        mask, threshold = above(score, fixed, unit), fixed
    mask = close_mask(mask, settings.closing_um / um_per_px)
    if ink is not None:
        mask &= ~ink
    mask = drop_small(mask, settings.min_area_um2 / um_per_px**2)
    if settings.max_holes is not None:
        mask = keep_largest_holes(mask, settings.max_holes)
    mask = fill_small_holes(mask, settings.min_hole_um2 / um_per_px**2)
    return (mask if ink is None else mask & ~ink), float(threshold)
