"""Networks on a slide's regions. Torch is imported when it is first used."""

import math
from collections.abc import Sequence

import numpy as np
from sklearn.preprocessing import StandardScaler

from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Job, Settings

STEPS = 3000  # a small cohort is seen more often, so that it gets about as many steps
EPOCHS = (20, 50)


def epochs_for(n_bags: int) -> int:
    """Passes over the training slides: 20 for a large cohort, up to 50 for a small one."""
    return int(np.clip(math.ceil(STEPS / n_bags), *EPOCHS))


class Abmil:
    """Gated attention over all regions of a slide (Ilse et al. 2018, arXiv 1802.04712, eq. 9), one slide a step.

    Full bags in training and in the test, cross-entropy weighted to balance the classes. The last epoch is kept, or
    with validation slides the epoch of their lowest loss.
    """

    def __init__(self, kind: str, settings: Settings) -> None:
        self.chosen: list[dict[str, float]] = []

    def predict(self, bags: Bags, jobs: Sequence[Job]) -> list[np.ndarray]:
        from workflow_scripts.mil.gated_attention import predict_net, train_net

        predictions = []
        for job in jobs:
            train, validation = bags.take(job.train), bags.take(job.validation)
            scaler = StandardScaler().fit(np.concatenate(train.regions).astype(np.float64))

            def scaled(some: Bags, scaler: StandardScaler = scaler) -> list[np.ndarray]:
                return [scaler.transform(region).astype(np.float32) for region in some.regions]

            held_out = (scaled(validation), validation.target) if len(validation) else None
            epochs = epochs_for(len(train))
            net = train_net(scaled(train), train.target, train.n_classes, epochs, job.seed, held_out)
            predictions.append(predict_net(net, scaled(bags.take(job.test))))
        return predictions
