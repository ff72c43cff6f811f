"""Settings of one pretraining run, and what each of its steps depends on."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from workflow_scripts.config.base import Count, Name, Section, free
from workflow_scripts.config.run_sections import (
    Crops,
    Head,
    Loss,
    Model,
    Neighbours,
    Optimiser,
    Prototypes,
    with_younger,
    without_younger,
)
from workflow_scripts.core.digest import value_digest
from workflow_scripts.core.loss_terms import SELF, TERMS


class PretrainRun(Section):
    seed: int = 0
    """Seed of initialisation, sampling, crops and k-means."""
    seeds: Annotated[int, Field(ge=1, le=99)] | Annotated[list[int], Field(min_length=1)] = 1
    """Trainings by as many seeds, from `seed` on, or by those of a list, whose first is then `seed`; the benchmark
    gives their mean, and their spread enters its intervals."""
    train_only: Name | None = None
    """Task for each of whose folds the run is trained anew, on the slides of the fold's training patients alone; it is
    benchmarked in that task. Costs as many pretrainings as there are folds."""
    fold: Annotated[int, Field(ge=0)] | None = None
    """Which fold of that task; train_only sets it."""
    init: str | None = None
    """Where training starts: null (from scratch), the state.safetensors or model.safetensors of an earlier run, or
    HIPT's vit4k_xs_dino.pth."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the network in training; `auto` is bfloat16 where the processor or GPU multiplies in it."""
    compile: Literal["auto"] | bool = free("auto")
    """Training through torch.compile and as a CUDA graph, which gives the same to rounding; `auto` does so on a GPU,
    and compiles in jobs of a million regions times epochs and more alone, for it takes a while."""
    deterministic: bool = free(False)
    """The same bits from every training on the same GPU, by slower kernels and without compiling or recording; on a CPU
    the same machine with as many threads gives them anyway."""
    mask_glass: bool = False
    """Hide tokens without any tissue from the network; the paper keeps them."""
    model: Model = Model()
    head: Head = Head()
    crops: Crops = Crops()
    optimiser: Optimiser = Optimiser()
    loss: Loss = Loss()
    prototypes: Prototypes = Prototypes()
    neighbours: Neighbours = Neighbours()
    warmup_epochs: int = Field(21, ge=1)
    """Epochs of L_self alone before the first round (the official code's `epoch > 20`)."""
    rounds: int = Field(79, ge=1, le=99)
    """Rounds of cluster, assign and distill."""
    epochs_per_round: Count = 1
    """Epochs of distillation in each round."""
    recluster_every: Count = 1
    """Rounds from one clustering to the next; the rounds between go on with the same prototypes."""
    stop_agreement: Annotated[float, Field(gt=0, le=1)] | None = None
    """Rounds end early once successive assignments agree this well (mean adjusted Rand index over slides)."""
    schedule_epochs: Count = 100
    """Length of the schedules; adding rounds within it reruns nothing that is done."""

    @model_validator(mode="before")
    @classmethod
    def _first_of_listed_seeds(cls, values: Any) -> Any:
        """Without a `seed` of its own, a list of seeds brings it along."""
        match values:
            case {"seeds": [int() as first, *_]} if "seed" not in values:
                return {**values, "seed": first}
        return values

    @model_validator(mode="after")
    def _seeds_agree(self) -> "PretrainRun":
        if self.train_only is not None and len(self.seed_list) > 1:
            raise ValueError("train_only and seeds above 1 are not offered together; drop one of the two")
        if len(set(self.seed_list)) < len(self.seed_list):
            raise ValueError(f"seeds {self.seeds} names a seed twice, which would be one training; name each once")
        if self.seed_list[0] != self.seed:
            raise ValueError(
                f"seed is {self.seed} and seeds is {self.seeds}, a list of all seeds that begins with another; drop "
                "seed, or put it first in the list"
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> "PretrainRun":
        total = self.warmup_epochs + self.rounds * self.epochs_per_round
        if total > self.schedule_epochs:
            raise ValueError(
                f"schedule_epochs ({self.schedule_epochs}) must cover "
                f"warmup_epochs + rounds * epochs_per_round ({total})"
            )
        if self.model.dim % self.model.heads:
            raise ValueError(f"model.dim ({self.model.dim}) must be a multiple of model.heads ({self.model.heads})")
        if self.crops.local_size > self.crops.global_size:
            raise ValueError("crops.local_size must not exceed crops.global_size")
        if not self.loss.uses("crops") and not self.uses_prototypes:
            raise ValueError("loss: at least one weight must be above 0 (prototypes.level global has no L_inter)")
        if self.optimiser.lr_warmup_epochs > self.schedule_epochs:
            raise ValueError(
                f"optimiser.lr_warmup_epochs ({self.optimiser.lr_warmup_epochs}) must not exceed "
                f"schedule_epochs ({self.schedule_epochs})"
            )
        return self

    @classmethod
    def of_step(cls, settings: dict[str, Any]) -> "PretrainRun":
        """The run of settings that a step was given or a model tells, in which younger keys may be missing.

        Raises:
            ValidationError: keys or values that this version does not know.
        """
        return cls.model_validate(with_younger(settings))

    @classmethod
    def of_step_json(cls, text: str) -> "PretrainRun":
        """The same of a command's `--config`."""
        return cls.of_step(json.loads(text))

    @property
    def seed_list(self) -> list[int]:
        """Seeds of all its trainings, `seed` the first."""
        return self.seeds if isinstance(self.seeds, list) else [self.seed + number for number in range(self.seeds)]

    @property
    def uses_prototypes(self) -> bool:
        """Whether any term on prototypes takes part in the rounds."""
        by_slide = self.prototypes.level == "slide"  # prototypes of the whole cohort have no neighbours
        return self.loss.uses("own") or (self.loss.uses("neighbours") and by_slide)

    @property
    def has_slide_sets(self) -> bool:
        """Whether every slide gets a set of prototypes of its own."""
        return self.uses_prototypes and self.prototypes.level == "slide"

    @property
    def method(self) -> str:
        """What the run is an instance of, in words."""
        if not self.uses_prototypes:
            return "self-distillation (DINO)"
        if self.has_slide_sets:
            return "SLPD (DINO with slide-level prototypes)"
        return f"DINO with {self.prototypes.global_count} prototypes of the whole cohort (global clustering, not SLPD)"

    @property
    def clusters_without_glass(self) -> bool:
        """Whether tokens without tissue are hidden where regions are clustered."""
        return self.mask_glass or self.prototypes.mask_glass

    @property
    def glass(self) -> str:
        """Where tokens without tissue are hidden, in words."""
        if self.mask_glass:
            return "hidden from the model (mask_glass)"
        if self.uses_prototypes and self.clusters_without_glass:
            return "seen by the model, hidden where regions are clustered (prototypes.mask_glass)"
        return "seen by the model"

    def clustered_in(self, number: int) -> int:
        """Round (from 1) whose prototypes round `number` distils."""
        return number - (number - 1) % self.recluster_every

    def _settings_of(self, *sections: str, **fixed: int) -> dict[str, Any]:
        """Settings of one step: what it depends on, all else at fixed values, still a valid PretrainRun."""
        neutral = {"warmup_epochs": 1, "rounds": 1, "epochs_per_round": 1}
        found = neutral | fixed | self.model_dump(mode="json", include={*sections, "precision", "mask_glass"})
        return {name: without_younger(name, value) for name, value in found.items()}

    def warm_up_settings(self) -> dict[str, Any]:
        """Settings on which the warm-up depends; runs in which they are equal share one."""
        sections = ("seed", "init", "model", "head", "crops", "optimiser", "loss", "warmup_epochs", "schedule_epochs")
        settings = self._settings_of(*sections)
        # there are no prototypes yet, and without them L_self counts fully
        unused = {term.weight for term in TERMS if term.on_prototypes or term == SELF}
        unused |= {"proto_center", "skip_same_index", "neighbour_temp", "soft_temp"}
        settings["loss"] = {key: value for key, value in settings["loss"].items() if key not in unused}
        # of other slides; left out elsewhere, for the warm-ups of runs on all slides are named without them
        return settings | ({"train_only": self.train_only, "fold": self.fold} if self.train_only else {})

    def cluster_settings(self) -> dict[str, Any]:
        """Settings on which the clustering of a round depends, besides the state."""
        sections = ("seed", "model", "head", "crops", "prototypes", "stop_agreement")
        return self._settings_of(*sections, schedule_epochs=100)

    def distill_settings(self) -> dict[str, Any]:
        """Settings on which the distillation of a round depends, besides state and prototypes."""
        sections = ("seed", "model", "head", "crops", "optimiser", "loss", "warmup_epochs", "epochs_per_round")
        settings = self._settings_of(*sections, "schedule_epochs")
        kind = self.prototypes.model_dump(mode="json", include={"level", "features"})
        if self.loss.soft_temp:  # shares are of regions as they are clustered
            kind |= self.prototypes.model_dump(mode="json", include={"view", "mask_glass"})
        return settings | {"prototypes": kind}

    def warm_up_key(self) -> str:
        """Name of the warm-up's folder."""
        return value_digest(self.warm_up_settings())[:8]
