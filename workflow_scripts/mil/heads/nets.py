"""Heads that are networks on a slide's regions. Torch is imported when one is first used."""

import math
from collections.abc import Sequence
from importlib import import_module

import numpy as np

from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Job, Settings
from workflow_scripts.mil.inner import strata_of

VISITS = 3000  # a small cohort is seen more often, so that its slides are visited about as often in all
EPOCHS = (10, 50)
LARGEST_BATCH = 16
OF_SURVIVAL = 32  # a risk set needs several slides with an event


def epochs_for(n_bags: int) -> int:
    """Passes over the training slides: 10 for a large cohort, up to 50 for a small one."""
    return int(np.clip(math.ceil(VISITS / n_bags), *EPOCHS))


def batch_for(n_bags: int, kind: str) -> int:
    """Slides a step: so few that a small cohort gets its steps too."""
    wanted = OF_SURVIVAL if kind == "survival" else int(np.clip(n_bags // 20, 1, LARGEST_BATCH))
    return min(wanted, n_bags)


def with_validation(bags: Bags, job: Job, fraction: float) -> Job:
    """The job with a fraction of its training patients, drawn by stratum, for validation.

    A job that has validation bags stays as it is, and so does a stratum with a single patient.
    """
    if len(job.validation) or not fraction:
        return job
    random = np.random.default_rng(derive_seed(job.seed, "inner"))
    strata, patients = strata_of(bags.target)[job.train], np.asarray(bags.patients)[job.train]
    held: set[str] = set()
    for stratum in np.unique(strata):
        own = np.setdiff1d(patients[strata == stratum], list(held))
        count = min(max(1, round(fraction * len(own))), len(own) - 1)
        held |= set(random.permutation(own)[: max(count, 0)])
    out = np.isin(patients, list(held))
    return job._replace(train=job.train[~out], validation=job.train[out])


class NetHead:
    """A network on all regions of a slide; all jobs of a cell are trained together.

    Regions are standardised on the training slides. Full bags in training and in the test. Classes are balanced, and
    patients count alike. The last step is kept, or where there are validation slides, the pass of their lowest loss.
    """

    module = name = ""  # of `mil/nets/`
    growth = 1.0  # power of the slides a step by which the learning rate grows

    def __init__(self, kind: str, settings: Settings) -> None:
        self.kind, self.settings = kind, settings
        self.chosen: list[dict[str, float]] = []

    def predict(self, bags: Bags, jobs: Sequence[Job]) -> list[np.ndarray]:
        import torch

        from workflow_scripts.mil.forward import Plan
        from workflow_scripts.mil.nets.batch import Sizes
        from workflow_scripts.mil.objectives import objective_of
        from workflow_scripts.mil.packing import cohort_of
        from workflow_scripts.mil.training import Schedule, repeatable, train_jobs

        own = self.settings
        objective = objective_of(self.kind, bags.n_classes, own["survival_loss"])
        sizes = Sizes(1, bags.regions[0].shape[1], objective.outputs, own["hidden"], own["attention"],
                      dict(self.settings))  # fmt: skip
        net = getattr(import_module(f"workflow_scripts.mil.nets.{self.module}"), self.name)
        plan = Plan(net, sizes, own["dropout"], own["weight_decay"], objective)
        jobs = [with_validation(bags, job, own["inner_fraction"]) for job in jobs]
        # Breslow's baseline hazard is of the training bags
        asked = [job._replace(test=np.concatenate([job.test, job.train])) if len(bags.times) else job for job in jobs]
        schedules = [Schedule(*self._schedule(len(job.train))) for job in jobs]
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with repeatable():
            logits = train_jobs(plan, cohort_of(bags, device), bags, asked, schedules)
        return [objective.predictions(values, bags, job.train) for values, job in zip(logits, jobs, strict=True)]

    def _schedule(self, n_bags: int) -> tuple[int, int, float, int]:
        """Steps, slides a step, learning rate, and steps a pass."""
        epochs, batch = self.settings["epochs"], self.settings["batch_size"]
        epochs = epochs_for(n_bags) if epochs == "auto" else epochs
        batch = batch_for(n_bags, self.kind) if batch == "auto" else min(batch, n_bags)
        rate = self.settings["lr"] * min(batch, LARGEST_BATCH) ** self.growth
        return math.ceil(epochs * n_bags / batch), batch, rate, math.ceil(n_bags / batch)


class Abmil(NetHead):
    module, name = "attention", "Abmil"


class PlainAbmil(NetHead):
    module, name = "attention", "PlainAbmil"


class MeanMil(NetHead):
    module, name = "pooling", "MeanMil"


class MaxMil(NetHead):
    module, name = "pooling", "MaxMil"


class ClamSb(NetHead):
    module, name = "clam", "ClamSb"


class ClamMb(NetHead):
    module, name = "clam", "ClamMb"


class Dsmil(NetHead):
    module, name = "dsmil", "Dsmil"


class Transmil(NetHead):
    module, name, growth = "transmil", "Transmil", 0.5


class Dtfd(NetHead):
    module, name = "dtfd", "Dtfd"


class Hipt(NetHead):
    module, name, growth = "hipt", "Hipt", 0.5  # self-attention does not learn at larger rates
