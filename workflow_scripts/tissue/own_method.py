"""A user's own way to find tissue, `tissue.method: module:function`; docs/slides.md says what the function returns."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.own_function import OwnFunction


@cache
def _load(own: OwnFunction) -> Callable[..., Any]:
    """Once a process, so that a network's weights are read once for all its slides."""
    return own.load()


class OwnMethod:
    """The function as a `Method`: its probability of tissue is the score, and nothing is smoothed here.

    Args:
        own: the function, called with colours uint8 `[h, w, 3]` and their scale, um/px.
        um_per_px: that scale.
    """

    FULL_SCALE = 1.0
    THRESHOLD = 0.5
    """Of a probability, where the configuration has no number."""

    def __init__(self, own: OwnFunction, um_per_px: float) -> None:
        self._own, self._um_per_px = own, um_per_px

    def score(self, rgb: np.ndarray, width_px: float) -> np.ndarray:
        """Probabilities as uint8 `[h, w]`, 255 for 1.

        Raises:
            UserError: the function is missing, or returns anything but bool or 0..1 of the picture's size.
        """
        found = np.asarray(_load(self._own)(rgb.copy(), self._um_per_px))
        if found.shape != rgb.shape[:2] or not (found.dtype == bool or np.issubdtype(found.dtype, np.floating)):
            self._refuse(f"an array of {found.dtype} and shape {found.shape}")
        if not (np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1):
            self._refuse(f"values from {np.nanmin(found):g} to {np.nanmax(found):g} or not finite")
        return np.rint(found * np.float32(255)).astype(np.uint8)

    def _refuse(self, returned: str) -> None:
        raise UserError(
            f"tissue.method {self._own.written} returns {returned}; return bool, or probabilities of tissue, 0 to 1, "
            "of the height and width of the picture that it is given"
        )
