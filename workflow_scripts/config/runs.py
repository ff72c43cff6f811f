"""The named pretraining runs: the defaults with each run's own keys, and the trainings that one run may stand for."""

from typing import Any, Literal

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from workflow_scripts.config.base import Count, Name, Section, free, merge, without_dropped
from workflow_scripts.config.pretrain import PretrainRun
from workflow_scripts.config.problems import first_problem
from workflow_scripts.core.loss_terms import SELF, TERMS

# What `preset: official` replaces: the published code's arithmetic where the defaults correct it (docs/method.md).
OFFICIAL: dict[str, Any] = {
    "loss": {"skip_same_index": True, "proto_center": "shared", "neighbour_temp": 0.0, "soft_temp": 0.0},
    "crops": {"min_tissue": 0.0},
    "prototypes": {
        **{"level": "slide", "features": "bottleneck", "kmeans": "euclidean", "view": "centre"},
        **{"mask_glass": False, "min_tissue": 0.0, "others": "assign", "weighting": "none", "adjust": "none"},
        "momentum": 0.0,
    },
    "neighbours": {"matching": "argmax", "exclude_same_patient": False},
    "mask_glass": False,
    "recluster_every": 1,
    "stop_agreement": None,
}


def arithmetic(run: PretrainRun) -> str:
    """Whose arithmetic a run takes where the published code and the defaults differ, in words."""
    settings = run.model_dump()
    if merge(settings, OFFICIAL) == settings:
        return "the published code's (preset official)"
    corrected = _of_keys(OFFICIAL, PretrainRun().model_dump())
    corrected["prototypes"].pop("level")  # which `method` tells
    if merge(settings, corrected) == settings:
        return "corrected (preset corrected)"
    return "neither preset's, see the settings"


def _of_keys(keys: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """The values at nested keys."""
    return {key: _of_keys(own, values[key]) if isinstance(own, dict) else values[key] for key, own in keys.items()}


# The method, and the same budget without prototypes: what every cohort is asked first.
_RUNS: dict[str, dict[str, Any]] = {
    "slpd": {},
    "dino": {"loss": {SELF.weight: 1} | {term.weight: 0 for term in TERMS if term.on_prototypes}},
}


class Pretrain(Section):
    preset: Literal["corrected", "official"] = "corrected"
    """`official` reproduces the published code's arithmetic, errors included; a run may name its own preset. It leaves
    epochs_per_round (published: 1) and features.encode_glass (published: true) as they are; where they differ, log and
    report say so."""
    micro_batch: Count | None = free(None)
    """Regions a device holds at once in training; null chooses. A step's gradients are summed over such parts."""
    defaults: PretrainRun = PretrainRun()
    """Settings of every run."""
    _trained_again: dict[str, list[str]] = PrivateAttr(default_factory=dict)
    _by_fold: dict[str, list[str]] = PrivateAttr(default_factory=dict)
    runs: dict[Name, dict[str, Any]] = Field(_RUNS, min_length=1)
    """Named runs beside slpd and dino; each is the defaults with the keys given here replaced. null drops a run. The
    report shows the prototypes of the first that has any of slides."""

    @field_validator("runs", mode="before")
    @classmethod
    def _add_to_default_runs(cls, value: Any) -> Any:
        """The default runs that are not named, then all that are, in the order in which they are named."""
        if not isinstance(value, dict | None):
            return value
        merged = merge(_RUNS, value or {})
        order = [*(name for name in _RUNS if name not in (value or {})), *(value or {})]
        return without_dropped({name: merged[name] for name in order})

    @model_validator(mode="after")
    def _runs_are_valid(self) -> "Pretrain":
        for name in list(self.runs):
            try:
                run = self.run(name)
            except ValidationError as error:
                raise ValueError(f"run {name}: {first_problem(error)}") from None
            if run.fold is not None:
                raise ValueError(f"run {name}: fold is set by train_only, for all folds of a task; drop it")
            for other in self._other_seeds(name, run):
                if other in self.runs:
                    raise ValueError(f"run {other} is the name of a training of {name} by another seed; rename it")
        for name in list(self.runs):
            run = self.run(name)
            for other, seed in self._other_seeds(name, run).items():
                self.runs[other] = {**self.runs[name], "seed": seed, "seeds": 1}
                self._trained_again.setdefault(name, []).append(other)
        return self

    @staticmethod
    def _other_seeds(name: str, run: PretrainRun) -> dict[str, int]:
        """Seeds of the trainings of a run but the first, by their names, which count them whatever the seeds are."""
        return {f"{name}-seed{number}": seed for number, seed in enumerate(run.seed_list) if number}

    @property
    def trainings(self) -> dict[str, list[str]]:
        """Runs of several seeds: names of all their trainings, the first of which has the run's own name."""
        return {name: [name, *others] for name, others in self._trained_again.items()}

    def train_by_fold(self, name: str, folds: int) -> None:
        """Replace a run with `train_only` by one for each fold, named `<run>-fold0` and so on.

        Raises:
            ValueError: another run has such a name.
        """
        names = [f"{name}-fold{fold}" for fold in range(folds)]
        taken = next((other for other in names if other in self.runs), None)
        if taken:
            raise ValueError(f"pretrain run {taken} is the name of a training of {name} for one fold; rename it")
        of_fold = {other: {**self.runs[name], "fold": fold} for fold, other in enumerate(names)}
        runs = [of_fold if key == name else {key: own} for key, own in self.runs.items()]
        self.runs.clear()
        for part in runs:
            self.runs.update(part)
        self._by_fold[name] = names

    @property
    def by_fold(self) -> dict[str, list[str]]:
        """Runs with `train_only`: names of their trainings, in the order of the folds."""
        return dict(self._by_fold)

    @property
    def named(self) -> list[str]:
        """Names of the runs as the configuration has them: trainings for the folds of one task are one run."""
        run_of = {training: name for name, trainings in self._by_fold.items() for training in trainings}
        return list(dict.fromkeys(run_of.get(name, name) for name in self.runs))

    def preset_of(self, name: str) -> str:
        """Name of a run's preset."""
        return str(self.runs[name].get("preset", self.preset))

    def run(self, name: str) -> PretrainRun:
        """Settings of one run: the defaults, under the preset, under the run's own keys."""
        own, preset = {key: value for key, value in self.runs[name].items() if key != "preset"}, self.preset_of(name)
        if preset not in ("corrected", "official"):
            raise ValueError(f"run {name}: preset: {preset} is none of corrected, official")
        base = merge(self.defaults.model_dump(), OFFICIAL) if preset == "official" else self.defaults.model_dump()
        if isinstance(own.get("seeds"), list) and "seed" not in own:
            base.pop("seed")  # the list brings its own
        # null stands for a section whose lines are all commented out, which replaces nothing
        own = {key: value for key, value in own.items() if value is not None or not isinstance(base.get(key), dict)}
        return PretrainRun.model_validate(merge(base, own))
