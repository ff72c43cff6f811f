"""What a metric is computed from."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Outcomes:
    """What was true and what was predicted, one row a case (a patient or a slide).

    Attributes:
        target: labels `[n]` as `bags.target_array` makes them: int64 class indices; float64 values; for survival the
            fields `time` and `event`.
        prediction: probabilities float64 `[n, C]`, or one value a case float64 `[n]`; for survival the risk, higher
            means an earlier event.
        times: at which survival is judged, float64 `[T]`, rising; empty for other kinds.
        survival: predicted probabilities of no event until each of them, float64 `[n, T]`; `[n, 0]` where none are.

    Raises:
        ValueError: a prediction is NaN or infinite. It is no value of any class, so it is never scored.
    """

    target: np.ndarray
    prediction: np.ndarray
    times: np.ndarray = field(default_factory=lambda: np.empty(0))
    survival: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))

    def __post_init__(self) -> None:
        if not self.survival.size:
            object.__setattr__(self, "survival", np.empty((len(self), 0)))
        finite = np.isfinite(self.prediction.reshape(len(self), self.prediction.size // max(1, len(self)))).all(axis=1)
        finite &= np.isfinite(self.survival).all(axis=1)
        if not finite.all():
            raise ValueError(f"{(~finite).sum()} of {len(finite)} predictions are no finite number")

    def __len__(self) -> int:
        return len(self.target)

    def take(self, index: np.ndarray) -> "Outcomes":
        """Rows `index` (integers, repeats allowed, or a mask)."""
        return Outcomes(self.target[index], self.prediction[index], self.times, self.survival[index])

    @property
    def n_classes(self) -> int:
        """Classes C that are predicted."""
        return self.prediction.shape[1]

    @property
    def predicted(self) -> np.ndarray:
        """int64 `[n]`: the class of the highest probability."""
        return self.prediction.argmax(axis=1)

    @property
    def one_class(self) -> bool:
        """Whether the labels are classes and only one of them is there."""
        return self.target.dtype == np.int64 and len(np.unique(self.target)) < 2
