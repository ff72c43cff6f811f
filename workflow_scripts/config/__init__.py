"""The configuration: one model a stage, the only source of validation, defaults and documentation.

Every field is described and unknown keys are refused. Fields marked with `free()` cannot change a result
(workers, batch size of a frozen encoder): editing them reruns nothing.
"""

import os
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from workflow_scripts.config.apply import Apply, with_model
from workflow_scripts.config.base import Section, merge, result_settings
from workflow_scripts.config.benchmark import Benchmark, Task
from workflow_scripts.config.cohort import Cohort, Demo
from workflow_scripts.config.embed import BASELINES, PATCHES, Embed, EmbedTable, prototypes_of
from workflow_scripts.config.fit import misfit
from workflow_scripts.config.heads import HeadSettings, head_on_sets
from workflow_scripts.config.pretrain import PretrainRun
from workflow_scripts.config.problems import first_problem
from workflow_scripts.config.run_sections import Crops, Head, Loss, Model, Neighbours, Optimiser, Prototypes
from workflow_scripts.config.runs import Pretrain
from workflow_scripts.config.sets import set_sources, taken_names
from workflow_scripts.config.slides import Export, Features, Regions, Slides, Source, Tissue
from workflow_scripts.core.errors import UserError

__all__ = [
    "Apply",
    "Benchmark",
    "Cohort",
    "Config",
    "Crops",
    "Demo",
    "Embed",
    "EmbedTable",
    "Export",
    "Features",
    "Head",
    "HeadSettings",
    "Loss",
    "Model",
    "Neighbours",
    "Optimiser",
    "Pretrain",
    "PretrainRun",
    "Prototypes",
    "Regions",
    "Report",
    "Section",
    "Slides",
    "Source",
    "Task",
    "Tissue",
    "load_config",
    "merge",
    "result_settings",
]


class Report(Section):
    title: str = "SLPD cohort report"
    """Title of report.html."""
    example_slides: Annotated[int, Field(ge=0)] = 4
    """Slides shown with their map of prototypes and nearest regions."""
    groups: Annotated[int, Field(ge=2, le=64)] = 8
    """Groups into which the prototypes of all slides are put, for the atlas, the maps and QuPath; trains nothing again.
    Up to eight have colours that are told apart at a glance."""
    spread: Literal["interval", "folds"] = "interval"
    """What results.md and results.tex print beside a value: the 95 % interval, or ± the standard deviation between test
    parts."""


class Config(Section):
    cohort: Cohort = Cohort()
    demo: Demo = Demo()
    slides: Slides = Slides()
    tissue: Tissue = Tissue()
    regions: Regions = Regions()
    features: Features = Features()
    source: Source = Source()
    export: Export = Export()
    pretrain: Pretrain = Pretrain()
    embed: Embed = Embed()
    benchmark: Benchmark = Benchmark()
    report: Report = Report()
    apply: Apply = Apply()

    @property
    def prototype_sets(self) -> dict[str, str]:
        """The representations that are sets of prototypes, and that of whose regions each is made."""
        return {prototypes_of(name): name for name in set_sources(self.embed, self.pretrain)}

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Representations that are compared, the second is subtracted from the first."""
        if self.benchmark.compare is not None:
            return self.benchmark.compare
        rivals = [name for name in ("dino", "mean") if name in self.compared]
        runs = [run for run in self.pretrain.named if run in self.compared]
        named = self.pretrain.by_fold  # what a run has seen of the test slides is alike within a pair
        return [
            (run, rival)
            for run in runs
            for rival in rivals
            if run != rival and (rival == "mean" or (run in named) == (rival in named))
        ]

    @property
    def compared(self) -> list[str]:
        """Names of the representations in the results: trainings of one run by several seeds are one."""
        again = {name for names in self.trainings.values() for name in names[1:]}
        return [name for name in self.representations if name not in again]

    @property
    def trainings(self) -> dict[str, list[str]]:
        """Trainings by seeds of each representation that is trained here, of which it is the mean: runs, their sets."""
        runs = {name: [name] for name in self.pretrain.named} | self.pretrain.trainings
        again = {name for names in runs.values() for name in names[1:]}
        runs, sets = {name: names for name, names in runs.items() if name not in again}, self.prototype_sets
        of_sets = {name: [prototypes_of(one) for one in runs[of]] for name, of in sets.items() if of in runs}
        return runs | of_sets

    @property
    def representations(self) -> list[str]:
        """Names of what is compared: what is not trained here, then the pretraining runs, then their prototypes."""
        return [*self.embed.representations, *self.pretrain.named, *self.prototype_sets]

    def representations_of(self, task: str) -> list[str]:
        """Names of what is compared in a task: runs that are trained for the folds of another have no place in it.

        Nor have sets of prototypes where a kind of task has no head on them.
        """
        folds = {name: self.pretrain.run(runs[0]).train_only for name, runs in self.pretrain.by_fold.items()}
        sets = {} if self.benchmark.heads_of(self.benchmark.tasks[task].kind, sets=True) else self.prototype_sets
        return [name for name in self.representations if folds.get(name, task) == task and name not in sets]

    def embeddings_of(self, representation: str) -> list[str]:
        """Names of the folders of its embeddings: its own, or one for each fold."""
        return self.pretrain.by_fold.get(representation, [representation])

    @model_validator(mode="after")
    def _train_by_fold(self) -> "Config":
        for name in list(self.pretrain.runs):
            run = self.pretrain.run(name)
            if run.train_only is not None and self.made_by(run.init):
                raise ValueError(
                    f"pretrain run {name}: train_only starts from {run.init}, which another run has trained on slides "
                    "that its folds test; drop init, or train_only"
                )
            if run.train_only is not None and run.fold is None:
                self.pretrain.train_by_fold(name, self._folds_of(run.train_only, f"pretrain run {name}: train_only"))
        return self

    def _folds_of(self, task: str, key: str) -> int:
        """Number of splits of a task, of whose folds there is one deal."""
        tasks = self.benchmark.tasks
        if task not in tasks:
            raise ValueError(f"{key}: {task} is none of benchmark.tasks ({', '.join(tasks) or 'none'}); name one")
        if tasks[task].permuted:
            raise ValueError(
                f"{key}: the labels of {task} are dealt by chance; name the task of which it is the control"
            )
        kind, dealing = tasks[task].splits.kind, self.benchmark.dealing(task)
        if tasks[task].splits.test_manifest:
            raise ValueError(f"{key}: {task} tests cohort.test_manifest, which no run is pretrained on; drop it")
        if kind in ("external", "column"):
            return 1
        if kind != "folds":
            raise ValueError(f"{key} takes splits of kind folds, external or column, and {task} has {kind}")
        if dealing["repeats"] > 1:
            raise ValueError(
                f"{key}: the folds of {task} are dealt {dealing['repeats']} times, and each would be pretrained for; "
                f"name a task with splits.repeats: 1, for {dealing['folds']} pretrainings"
            )
        return int(dealing["folds"])

    @model_validator(mode="after")
    def _names_of_representations(self) -> "Config":
        taken = {**dict.fromkeys(BASELINES, "a baseline"), PATCHES: "the bags of patches"}
        taken |= taken_names(self.embed, self.pretrain)
        runs = dict.fromkeys([*self.pretrain.named, *self.pretrain.runs])
        for key, names in (("embed.tables", self.embed.tables), ("pretrain: runs", runs)):
            for name in names:
                if name in taken:
                    raise ValueError(f"{key}: {name} is the name of {taken[name]}; choose another")
            taken |= dict.fromkeys(names, f"a table of {key}")
        if self.embed.prototypes and not self.prototype_sets:
            raise ValueError("embed.prototypes: no pretraining run has prototypes of slides; set it to false")
        return self

    @model_validator(mode="after")
    def _heads_on_prototypes_have_sets(self) -> "Config":
        if not self.prototype_sets and (problem := head_on_sets(self.benchmark.heads, self.benchmark.set_heads)):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _no_run_starts_from_itself(self) -> "Config":
        for first in self.pretrain.runs:
            seen: set[str] = set()
            name: str | None = first
            while name is not None:
                run = self.pretrain.run(name)
                if run.warm_up_key() in seen:
                    raise ValueError(
                        f"pretrain init: {run.init} is made by the run that is to start from it; "
                        "copy the file elsewhere, or set init under pretrain.runs in another run"
                    )
                seen.add(run.warm_up_key())
                name = self.made_by(run.init)
        return self

    def made_by(self, file: str | None) -> str | None:
        """The run of this configuration that makes a file, or one whose warm-up it belongs to; None for any other."""
        folder = f"results/{self.cohort.name}/pretrain/"
        path = os.path.relpath(file) if file else ""
        if not path.startswith(folder):
            return None
        part = path.removeprefix(folder).split("/")[0]
        makers = {f"warm_up_{self.pretrain.run(name).warm_up_key()}": name for name in self.pretrain.runs}
        return part if part in self.pretrain.runs else makers.get(part)

    @model_validator(mode="after")
    def _encoder_fits_patches(self) -> "Config":
        if not self.source.kind and (problem := misfit(self.features, self.regions)):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _source_has_no_colour(self) -> "Config":
        if self.source.kind and "colour" in self.embed.baselines:
            raise ValueError(
                f"embed.baselines: colour needs pixels, and features of {self.source.kind} bring none; write [mean]"
            )
        return self

    @model_validator(mode="after")
    def _crops_fit_grid(self) -> "Config":
        for name in self.pretrain.runs:
            size = self.pretrain.run(name).crops.global_size
            if size > self.regions.grid:
                raise ValueError(
                    f"pretrain run {name}: crops.global_size ({size}) exceeds regions.grid ({self.regions.grid})"
                )
        return self

    @model_validator(mode="after")
    def _external_cohort_is_named(self) -> "Config":
        for name, task in self.benchmark.tasks.items():
            if task.splits.test_manifest and self.cohort.test_manifest is None:
                raise ValueError(
                    f"benchmark.tasks.{name}: splits of kind external test the slides of cohort.test_manifest, which "
                    "names no file; set it, or give the splits column and value"
                )
        return self

    @model_validator(mode="after")
    def _compares_what_is_there(self) -> "Config":
        for pair in self.benchmark.compare or []:
            for name in pair:
                if name not in self.compared:
                    raise ValueError(f"benchmark.compare: {name} is none of {', '.join(self.compared)}")
            if pair[0] == pair[1]:
                raise ValueError(f"benchmark.compare: {pair[0]} is compared with itself; name two representations")
        return self


def load_config(raw: dict[str, Any]) -> Config:
    """Validate a whole configuration.

    Raises:
        UserError: one sentence with the first wrong key.
    """
    try:
        return Config.model_validate(with_model(raw))
    except ValidationError as error:
        raise UserError(f"configuration: {first_problem(error)}; see config/README.md") from None
