"""What networks are trained for, by kind of task: targets, losses of a stack of jobs, and predictions from logits.

Shapes: J jobs, M bags or parts of bags a job, C logits. A loss is a weighted sum over M, so that the weights say how a
sum becomes a mean.
"""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.curves import between, log_baseline, proportional, with_curves
from workflow_scripts.mil.head import balanced

INTERVALS = 4  # of discrete time


class Objective(Protocol):
    """One job's targets and all jobs' loss.

    Attributes:
        outputs: logits C of the network.
    """

    outputs: int

    def targets(self, bags: Bags, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Targets float64 `[n, K]` of all bags, fitted to those of `train`, and the weights of `train` with mean 1."""

    def loss(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Loss of each job, `[J]`, of logits `[J, M, C]`, targets `[J, M, K]` and weights `[J, M]`."""

    def predictions(self, logits: np.ndarray, bags: Bags, train: np.ndarray) -> np.ndarray:
        """What the kind predicts, as of `mil.head.Head`, of logits float64 `[n, C]` of a job with that `train`.

        `bags.times` ask for survival probabilities; after the n test bags, logits are then of the bags `train`.
        """


def _mean_one(weights: np.ndarray) -> np.ndarray:
    return weights / weights.mean()


class Classes:
    """Cross-entropy, classes balanced; grades are predicted as classes."""

    def __init__(self, n_classes: int) -> None:
        self.outputs = n_classes

    def targets(self, bags: Bags, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weights = _mean_one(balanced(bags.target[train], bags.weights[train]))
        return bags.target[:, None].astype(np.float64), weights

    def loss(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        chosen = F.log_softmax(logits, dim=-1).gather(-1, targets.long())
        return -(chosen.squeeze(-1) * weights).sum(dim=-1)

    def predictions(self, logits: np.ndarray, bags: Bags, train: np.ndarray) -> np.ndarray:
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)


class Values:
    """Squared error on a number that is standardised on the training bags."""

    outputs = 1

    @staticmethod
    def _scale(bags: Bags, train: np.ndarray) -> tuple[float, float]:
        values, weights = bags.target[train], bags.weights[train]
        mean = float(np.average(values, weights=weights))
        return mean, float(np.sqrt(np.average((values - mean) ** 2, weights=weights))) or 1.0

    def targets(self, bags: Bags, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, spread = self._scale(bags, train)
        return ((bags.target - mean) / spread)[:, None], _mean_one(bags.weights[train])

    def loss(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        return (((logits - targets) ** 2).squeeze(-1) * weights).sum(dim=-1)

    def predictions(self, logits: np.ndarray, bags: Bags, train: np.ndarray) -> np.ndarray:
        mean, spread = self._scale(bags, train)
        return mean + spread * logits[:, 0]


class PartialLikelihood:
    """Cox's partial likelihood, the bags of a step as the risk set, ties as Breslow's; the logit is the log risk."""

    outputs = 1

    def targets(self, bags: Bags, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        facts = np.stack([bags.target["time"], bags.target["event"]], axis=1).astype(np.float64)
        return facts, _mean_one(bags.weights[train])

    def loss(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        risk, (time, event) = logits.squeeze(-1), targets.unbind(dim=-1)
        at_risk = (time.unsqueeze(-2) >= time.unsqueeze(-1)) & (weights > 0).unsqueeze(-2)  # [J, of whom, who]
        weighted = (risk + weights.clamp(min=1e-30).log()).unsqueeze(-2).masked_fill(~at_risk, -torch.inf)
        # a bag that does not count is at risk with nobody: keep its row finite, it is multiplied by zero
        total = torch.where(at_risk.any(dim=-1), weighted.logsumexp(dim=-1), 0.0)
        return -((risk - total) * event * weights).sum(dim=-1)

    def predictions(self, logits: np.ndarray, bags: Bags, train: np.ndarray) -> np.ndarray:
        if not len(bags.times):
            return logits[:, 0]
        risk, of_train = np.split(logits[:, 0], [len(logits) - len(train)])
        baseline = log_baseline(of_train, bags.target[train], bags.weights[train], bags.times)
        return with_curves(risk, proportional(risk, baseline))


class DiscreteTime:
    """Logistic hazards of intervals that end at the quartiles of the training events' times.

    Likelihood as Zadeh and Schmid 2021 (IEEE TPAMI 43) have it: an event in an interval survived those before it; one
    censored there survived it too. The risk is minus the sum of the survival function over intervals; the last one
    ends, for survival probabilities, when the last training bag leaves.
    """

    outputs = INTERVALS

    @staticmethod
    def _ends(bags: Bags, train: np.ndarray) -> np.ndarray:
        """Ends of all intervals but the last, float64 `[INTERVALS - 1]`."""
        times, event = bags.target["time"][train], bags.target["event"][train]
        return np.quantile(times[event] if event.any() else times, np.arange(1, INTERVALS) / INTERVALS)

    def targets(self, bags: Bags, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        times, event = bags.target["time"], bags.target["event"]
        interval = np.searchsorted(self._ends(bags, train), times, side="right")
        return np.stack([interval, event], axis=1).astype(np.float64), _mean_one(bags.weights[train])

    def loss(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        interval, event = targets.unbind(dim=-1)
        place = torch.arange(INTERVALS, device=logits.device)
        survived = place < (interval + 1 - event).unsqueeze(-1)
        died = (place == interval.unsqueeze(-1)) & (event > 0).unsqueeze(-1)
        value = F.logsigmoid(-logits) * survived + F.logsigmoid(logits) * died
        return -(value.sum(dim=-1) * weights).sum(dim=-1)

    def predictions(self, logits: np.ndarray, bags: Bags, train: np.ndarray) -> np.ndarray:
        survival = np.cumprod(1 / (1 + np.exp(logits)), axis=1)
        if not len(bags.times):
            return -survival.sum(axis=1)
        survival = survival[: len(logits) - len(train)]
        ends = np.append(self._ends(bags, train), bags.target["time"][train].max())
        return with_curves(-survival.sum(axis=1), between(survival, ends, bags.times))


def objective_of(kind: str, n_classes: int, survival_loss: str) -> Objective:
    """Objective of a kind of task; `survival_loss` is cox or discrete_time."""
    if n_classes:
        return Classes(n_classes)
    if kind == "survival":
        return PartialLikelihood() if survival_loss == "cox" else DiscreteTime()
    return Values()
