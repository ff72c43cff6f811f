"""Attention-based multiple-instance learning on a slide's regions. Torch is imported when it is first used."""

import math

import numpy as np
from sklearn.preprocessing import StandardScaler

from workflow_scripts.mil.bags import Bags

STEPS = 3000  # a small cohort is seen more often, so that it gets about as many steps
EPOCHS = (20, 50)


def epochs_for(n_bags: int) -> int:
    """Passes over the training slides: 20 for a large cohort, up to 50 for a small one."""
    return int(np.clip(math.ceil(STEPS / n_bags), *EPOCHS))


class AbmilHead:
    """Gated attention over all regions of a slide (Ilse et al. 2018, arXiv 1802.04712, eq. 9), one slide a step.

    Full bags in training and in the test, cross-entropy weighted to balance the classes. The last epoch is kept, or
    with validation slides the epoch of their lowest loss.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def _scaled(self, bags: Bags) -> list[np.ndarray]:
        return [self._scaler.transform(region).astype(np.float32) for region in bags.regions]

    def fit(self, train: Bags, validation: Bags | None = None) -> None:
        from workflow_scripts.mil.gated_attention import train_net

        self._scaler = StandardScaler().fit(np.concatenate(train.regions).astype(np.float64))
        held_out = (self._scaled(validation), validation.target) if validation is not None and len(validation) else None
        self._net = train_net(
            self._scaled(train), train.target, train.n_classes, epochs_for(len(train)), self._seed, held_out
        )

    def predict(self, bags: Bags) -> np.ndarray:
        from workflow_scripts.mil.gated_attention import predict_net

        return predict_net(self._net, self._scaled(bags))
