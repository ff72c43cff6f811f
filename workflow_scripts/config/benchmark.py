"""Settings of the benchmark: tasks, heads, folds and intervals."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from workflow_scripts.config.base import Name, Section, known, names_in, without_dropped


class Task(Section):
    kind: Literal["classification", "ordinal", "survival"]
    """classification, ordinal (grades in the order of `classes`), or survival."""
    label: str | None = None
    """Column of the manifest with the class (classification, ordinal)."""
    classes: list[str] | None = None
    """Class names in order; null takes the sorted values of the column."""
    time: str | None = None
    """Column with the time to event or censoring (survival)."""
    event: str | None = None
    """Column with 1 for an event and 0 for censoring (survival)."""

    @model_validator(mode="after")
    def _columns(self) -> "Task":
        missing = [
            k for k in (("time", "event") if self.kind == "survival" else ("label",)) if getattr(self, k) is None
        ]
        if missing:
            raise ValueError(f"a {self.kind} task needs the key {' and '.join(missing)}")
        return self


class Benchmark(Section):
    tasks: dict[Name, Task] = Field({"subtype": Task(kind="classification", label="subtype")}, min_length=1)
    """Tasks by name. null drops a task of a config below."""
    heads: dict[Literal["classification", "ordinal", "survival"], list[str]] = Field(
        {
            "classification": ["knn", "logistic", "abmil"],
            "ordinal": ["knn", "logistic", "abmil"],
            "survival": ["cox"],
        }
    )
    """Heads of each kind of task; a file workflow_scripts/mil/heads/{name}.py each."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Patient-level stratified folds."""
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
    def _drop_tasks(cls, value: Any) -> Any:
        return without_dropped(value)

    @model_validator(mode="after")
    def _every_task_has_heads(self) -> "Benchmark":
        for name, task in self.tasks.items():
            if not self.heads.get(task.kind):
                raise ValueError(f"heads: there is none for {task.kind} tasks, which {name} is; add heads.{task.kind}")
        for heads in self.heads.values():
            for head in heads:
                known("heads", head, names_in("mil/heads"))
        return self
