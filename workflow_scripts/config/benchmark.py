"""Settings of the benchmark: tasks, heads, folds and intervals."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from workflow_scripts.config.base import Count, Name, Section, without_dropped, without_repeats
from workflow_scripts.config.heads import HeadSettings
from workflow_scripts.config.multilabel import MULTILABEL, expand
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.heads import default_heads, head_entry
from workflow_scripts.core.tasks import KINDS


def _known_kind(value: str) -> str:
    if value not in KINDS:
        raise ValueError(f"{value} is no kind of task; write one of {', '.join([*KINDS, MULTILABEL])}")
    return value


def _as_text(value: Any) -> Any:
    """A class that YAML reads as a number, such as a grade, as the text that the manifest has."""
    if isinstance(value, bool):
        raise ValueError("YAML reads yes, no, on, off, true and false as truth values; put the name in quotes")
    return str(value) if isinstance(value, int | float) else value


_KIND_SCHEMA = {"enum": [*KINDS, MULTILABEL], "type": "string"}
KindName = Annotated[str, AfterValidator(_known_kind), WithJsonSchema({"enum": list(KINDS), "type": "string"})]
TaskKind = Annotated[str, AfterValidator(_known_kind), WithJsonSchema(_KIND_SCHEMA)]
_HEADS = {kind: default_heads(kind) for kind in KINDS}


class Task(Section):
    kind: TaskKind
    """classification, ordinal (grades in the order of `classes`), survival, regression, or multilabel, which stands for
    a task of kind classification for each label, named `<name>-<label>`."""
    label: str | None = None
    """Column of the manifest with the class (classification, ordinal) or the number (regression)."""
    labels: list[str] | None = None
    """Columns with the classes, several labels at once (multilabel)."""
    family: str | None = None
    """Tasks of one family are corrected for multiple comparisons together; those of a multilabel task are one."""
    classes: list[Annotated[str, BeforeValidator(_as_text)]] | None = None
    """Class names in order; null takes the sorted values of the column."""
    time: str | None = None
    """Column with the time to event or censoring (survival)."""
    event: str | None = None
    """Column with 1 for an event and 0 for censoring (survival)."""

    @model_validator(mode="after")
    def _columns(self) -> "Task":
        missing = [key for key in KINDS[self.kind].columns if getattr(self, key) is None]
        if missing:
            raise ValueError(f"a task of kind {self.kind} needs the key {' and '.join(missing)}")
        if self.labels is not None:
            raise ValueError(f"labels is a key of kind {MULTILABEL}; a task of kind {self.kind} has one label")
        return self

    @property
    def columns(self) -> list[str]:
        """Columns of the manifest that it reads, in the order of the kind's `columns`."""
        return [getattr(self, key) for key in KINDS[self.kind].columns]


class Benchmark(Section):
    tasks: dict[Name, Task] = Field({})
    """Tasks by name; without any nothing is benchmarked. null drops a task of a config below."""
    heads: dict[KindName, Annotated[list[str], AfterValidator(without_repeats)]] = Field(_HEADS)
    """Heads of each kind of task, names of the table in workflow_scripts/core/heads.py."""
    head_settings: HeadSettings = HeadSettings()
    folds: Annotated[int, Field(ge=2)] = 5
    """Patient-level stratified folds."""
    repeats: Count = 10
    """How often the folds are dealt anew."""
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Fraction of a fold's training patients held out as part `val`."""
    seed: int = 0
    """Seed of folds, heads and bootstrap."""
    bootstraps: Annotated[int, Field(ge=100)] = 1000
    """Patient bootstraps for the 95 % intervals."""
    baseline: Name = "mean"
    """Representation that the others are compared with, paired by patient."""
    region_truth: str | None = None
    """Folder with a map of tissue classes per slide ({slide_id}.npz), to score the prototypes against."""

    @field_validator("tasks", mode="before")
    @classmethod
    def _named_tasks(cls, value: Any) -> Any:
        kept = without_dropped({} if value is None else value)
        return expand(kept) if isinstance(kept, dict) else kept

    @field_validator("heads", mode="before")
    @classmethod
    def _add_to_default_heads(cls, value: Any) -> Any:
        return {**_HEADS, **(value or {})} if isinstance(value, dict | None) else value

    @field_validator("heads")
    @classmethod
    def _heads_serve_their_kind(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        for kind, heads in value.items():
            for head in heads:
                try:
                    head_entry(head, kind)
                except UserError as error:
                    raise ValueError(str(error)) from None
        return value

    @model_validator(mode="after")
    def _every_task_has_heads(self) -> "Benchmark":
        for name, task in self.tasks.items():
            if not self.heads.get(task.kind):
                raise ValueError(f"heads.{task.kind} names none, and {name} is such a task; name one or drop the task")
        return self
