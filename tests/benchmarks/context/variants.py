"""What is compared, at which sizes: cohorts, and runs that all have the same budget of epochs."""

from dataclasses import dataclass, replace
from typing import Any

from tests.benchmarks.context.cohort import Planted
from workflow_scripts.config import Pretrain, PretrainRun
from workflow_scripts.config.base import merge

MEAN, SUPERVISED, DINO = "mean", "supervised", "dino"
"""Floor, ceiling, and what the others are compared with."""
_NO_PROTOTYPES = {"intra_weight": 0, "inter_weight": 0}

# Keys of each run beside the defaults of its size; `official` is the preset.
VARIANTS: dict[str, dict[str, Any]] = {
    DINO: {"loss": _NO_PROTOTYPES},
    "slpd": {},
    "official": {"preset": "official"},
    "intra": {"loss": {"inter_weight": 0}},
    "inter": {"loss": {"intra_weight": 0}},
    "global": {"prototypes": {"level": "global", "global_count": 16}},
    "M 2": {"prototypes": {"count": 2}},
    "M 8": {"prototypes": {"count": 8}},
    "K 3": {"neighbours": {"count": 3}},
    "K 8": {"neighbours": {"count": 8}},
    "L_self at 0.1": {"loss": {"self_weight": 0.1}},
    "prototypes at 3": {"loss": {"intra_weight": 3, "inter_weight": 3}},
    "no centre": {"loss": {"proto_center": "none"}},
    "centre of L_self": {"loss": {"proto_center": "dino"}},
    "centres apart": {"loss": {"proto_center": "separate"}},
    "sinkhorn": {"loss": {"proto_center": "sinkhorn"}},
    "moving average": {"prototypes": {"momentum": 0.9}},
    "soft": {"loss": {"soft_temp": 0.1}},
    "K 8 by likeness": {"neighbours": {"count": 8}, "loss": {"neighbour_temp": 0.05}},
}


@dataclass(frozen=True)
class Size:
    """A size of the comparison.

    Attributes:
        planted: the cohort.
        run: settings of all runs.
        warm_up, rounds: epochs of the warm-up, and rounds; the epochs of both make up the budget.
        supervised_epochs: of the ceiling, each of one view a region; points of its curve take as many steps.
        supervised_lr: its learning rate.
        curve: regions that it learns from, for the curve.
    """

    planted: Planted
    run: dict[str, Any]
    warm_up: int
    rounds: int
    epochs_per_round: int
    supervised_epochs: int
    supervised_lr: float
    curve: tuple[int, ...]

    @property
    def epochs(self) -> int:
        """The budget."""
        return self.warm_up + self.rounds * self.epochs_per_round


_SMALL_RUN: dict[str, Any] = {
    "model": {"dim": 32, "depth": 2, "heads": 2, "mlp_ratio": 2.0, "drop_path": 0.0},
    "head": {"hidden": 64, "bottleneck": 16, "out_dim": 256},
    "crops": {"global_size": 6, "global_count": 2, "local_size": 4, "local_count": 4},
    "optimiser": {
        "batch_size": 32,
        "lr": 0.004,
        "lr_warmup_epochs": 2,
        "weight_decay": 0.01,
        "weight_decay_end": 0.04,
        "teacher_momentum": 0.99,
    },
    "loss": {"teacher_temp": 0.02},
    "prototypes": {"count": 4, "min_regions": 8},
    "precision": "float32",
}
_FULL_RUN: dict[str, Any] = {
    "model": {"dim": 192, "depth": 4, "heads": 6},
    "head": {"hidden": 512, "bottleneck": 64, "out_dim": 1024},
    "crops": {"global_size": 12, "global_count": 2, "local_size": 8, "local_count": 4},
    "optimiser": {"batch_size": 128, "lr": 0.001, "lr_warmup_epochs": 1, "teacher_momentum": 0.99},
    "loss": {"teacher_temp": 0.02},
    "prototypes": {"count": 4, "min_regions": 16},
}

SIZES = {
    "tiny": Size(Planted(slides=24, regions=24), _SMALL_RUN, 2, 1, 1, 60, 3e-3, (72,)),
    "small": Size(Planted(), _SMALL_RUN, 16, 4, 4, 120, 3e-3, (100, 400)),
    "full": Size(
        Planted(slides=300, regions=60, grid=16, dim=64), _FULL_RUN, 8, 4, 1, 12, 1e-3, (480, 960, 1920, 3840, 7680)
    ),
}
COHORTS: dict[str, dict[str, Any]] = {"context": {}, "halfway": {"told": 0.5}}
"""Kinds of cohort: what each changes of its size's."""


def planted(size: Size, cohort: str, seed: int) -> Planted:
    """Settings of a cohort; each seed has its own."""
    return replace(size.planted, seed=seed, **COHORTS[cohort])


def run_settings(size: Size, variant: str, seed: int) -> PretrainRun:
    """Settings of a run, whose epochs add up to the size's budget.

    The preset `official` has rounds of one epoch, as published; a variant that says how long its warm-up is has the
    rest of the budget in rounds.
    """
    own = dict(VARIANTS[variant])
    each = 1 if own.get("preset") == "official" else size.epochs_per_round
    warm_up = own.get("warmup_epochs", size.warm_up)
    schedule = {
        "warmup_epochs": warm_up,
        "epochs_per_round": each,
        "rounds": (size.epochs - warm_up) // each,
        "schedule_epochs": size.epochs,
        "seed": seed,
    }
    pretrain = {"defaults": merge(size.run, schedule), "runs": {"run": own}}
    return Pretrain.model_validate(pretrain).run("run")
