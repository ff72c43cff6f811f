"""Settings of the benchmark: tasks, heads, folds and intervals."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from workflow_scripts.config.base import Count, Name, Section, free, without_dropped, without_repeats
from workflow_scripts.config.expand import MULTILABEL, expand
from workflow_scripts.config.heads import HeadSettings
from workflow_scripts.config.splits import FewShot, Folds, Fractions, Splits
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.heads import HEADS, default_heads, head_entry
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
_DRAWS = 10
_PRIMARY = ("logistic", "cox", "ridge")
_HEADS = {kind: default_heads(kind) for kind in KINDS}


def _own_keys(kind: str) -> list[str]:
    """Keys of a task that say where the labels of its kind are and what they can be."""
    entry = KINDS[kind]
    of_classes = ["classes", "other_classes"] if entry.has_classes else []
    return [*entry.columns, *(other.key for other in entry.instead.values()), *of_classes]


_OF_KINDS = list(dict.fromkeys(key for kind in KINDS for key in _own_keys(kind)))


class Task(Section):
    kind: TaskKind
    """classification, ordinal (grades in the order of `classes`), survival, regression, or multilabel, which stands for
    a task of kind classification for each label, named `<name>-<label>`."""
    label: str | None = None
    """Column of the manifest, or of `table`, with the class (classification, ordinal) or the number (regression)."""
    labels: list[str] | None = None
    """Columns with the classes, several labels at once (multilabel)."""
    family: str | None = None
    """Tasks of one family are corrected for multiple comparisons together; those of a multilabel task are one."""
    classes: list[Annotated[str, BeforeValidator(_as_text)]] | None = None
    """Class names in order; null takes the sorted values of the column."""
    other_classes: Literal["refuse", "leave_out"] = "refuse"
    """Slides whose value is none of `classes`: refuse them, or leave them out and count them."""
    missing: list[Annotated[str, BeforeValidator(_as_text)]] = Field([])
    """Texts that stand for a missing value in the task's columns, beside NA, unknown and the like (docs/tables.md)."""
    time: str | None = None
    """Column with the time to event or censoring (survival)."""
    event: str | None = None
    """Column with 1 for an event and 0 for censoring (survival)."""
    censored: str | None = None
    """Column with 1 for censoring and 0 for an event, in place of `event` (survival)."""
    table: str | None = None
    """File with the labels where the manifest has none: CSV, TSV (also zipped) or Parquet, with slide_id, patient_id or
    case_id."""
    level: Literal["patient", "slide"] = "patient"
    """What has a label and is scored: the patient; or the slide, where slides of a patient may differ. Splits are by
    patient all the same."""
    slides_of_patient: Literal["average", "bag"] = "average"
    """Predictions of a patient's slides are averaged, or all its slides are one bag."""
    permutation_control: StrictBool = False
    """true adds the task `<name>-permuted`, whose labels are dealt to the patients by chance: its intervals must hold
    chance."""
    permuted: bool = False
    """Whether labels are dealt to the patients by chance; permutation_control sets it."""
    splits: Splits = Splits()
    train_fractions: Fractions | None = None
    """As benchmark.train_fractions, for this task; null takes that."""
    few_shot: FewShot = FewShot()

    @model_validator(mode="after")
    def _columns(self) -> "Task":
        kind = KINDS[self.kind]
        missing = [key for key in kind.columns if getattr(self, self._key(key)) is None]
        if missing:
            raise ValueError(f"a task of kind {self.kind} needs the key {' and '.join(missing)}")
        if self.labels is not None:
            raise ValueError(f"labels is a key of kind {MULTILABEL}; a task of kind {self.kind} has one label")
        stray = [key for key in _OF_KINDS if key not in _own_keys(self.kind) and self._is_given(key)]
        if stray:
            raise ValueError(
                f"{stray[0]} is no key of a task of kind {self.kind}, whose own are {', '.join(_own_keys(self.kind))}; "
                f"drop {stray[0]}, or write another kind"
            )
        both = [(key, other.key) for key, other in kind.instead.items() if getattr(self, key) and self._key(key) != key]
        if both:
            raise ValueError(f"{both[0][0]} and {both[0][1]} are both given; one is the reverse of the other, drop one")
        return self

    @model_validator(mode="before")
    @classmethod
    def _as_published(cls, value: Any) -> Any:
        """Splits as published are judged by slide, with their leaks left in, unless the task says otherwise."""
        splits = value.get("splits") if isinstance(value, dict) else None
        if isinstance(splits, dict) and splits.get("as_published") is True:
            return {"level": "slide", **value, "splits": {"leaks": "report", **splits}}
        return value

    @model_validator(mode="after")
    def _unit(self) -> "Task":
        if self.level == "slide" and self.slides_of_patient == "bag":
            raise ValueError("slides_of_patient: bag makes one bag of a patient, so level cannot be slide; drop one")
        if self.splits.as_published and (self.level, self.splits.leaks) != ("slide", "report"):
            raise ValueError("splits.as_published is by slide with leaks reported; drop it, or level and splits.leaks")
        if self.few_shot.patients and not KINDS[self.kind].has_classes:
            raise ValueError(f"few_shot counts patients of a class, and {self.kind} has none; drop it")
        return self

    def _is_given(self, key: str) -> bool:
        return bool(getattr(self, key) != type(self).model_fields[key].default)

    def _key(self, key: str) -> str:
        """The key that is given for one of the kind's `columns`."""
        other = KINDS[self.kind].instead.get(key)
        return other.key if other and getattr(self, other.key) is not None else key

    @property
    def columns(self) -> list[str]:
        """Columns that it reads, in the order of the kind's `columns`."""
        return [getattr(self, self._key(key)) for key in KINDS[self.kind].columns]

    @property
    def readers(self) -> list[Callable[[str], Any]]:
        """The function that reads a cell of each column."""
        kind = KINDS[self.kind]
        return [read if self._key(key) == key else kind.instead[key].read for key, read in kind.columns.items()]

    @property
    def published(self) -> str | None:
        """Folder of HIPT's splits, which tell the class of slides that have no other."""
        return self.splits.folder if self.splits.kind == "hipt" else None


class Benchmark(Section):
    tasks: dict[Name, Task] = Field({})
    """Tasks by name; without any nothing is benchmarked. null drops a task of a config below."""
    heads: dict[KindName, Annotated[list[str], AfterValidator(without_repeats)]] = Field(_HEADS)
    """Heads of each kind of task, names of the table in workflow_scripts/core/heads.py."""
    set_heads: dict[KindName, Annotated[list[str], AfterValidator(without_repeats)]] = Field({})
    """Heads of each kind of task on the sets of embed.prototypes, in place of `heads`, which a kind that is not named
    has there too; an empty list leaves its tasks without sets."""
    head_settings: HeadSettings = HeadSettings()
    folds: Folds = 5
    """Patient-level stratified folds."""
    repeats: Count = 10
    """How often the folds are dealt anew."""
    train_fractions: Fractions = Field([1.0])
    """Fractions of the training patients that heads learn from, smaller ones within larger; 1.0 must be among them."""
    few_shot: FewShot = FewShot()
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Fraction of a split's training patients held out as part `val`, by which heads choose."""
    seed: int = 0
    """Seed of folds and heads."""
    seeds: Count = 1
    """Seeds of the heads that have chance in them; results are means over them."""
    gpu: bool = free(False)
    """true asks for a GPU for each MIL head; on regions of a cohort of hundreds of slides a core is enough."""
    compare: list[tuple[Name, Name]] | None = None
    """Pairs of representations that are compared, such as [[slpd, dino]]; null compares every run with `dino` and
    `mean`."""
    primary_heads: dict[KindName, str] = Field({})
    """The head of each kind of task that claims are made of; logistic, cox or ridge unless named, or else the first."""
    export_heads: bool = False
    """true fits each task's head that claims are made of (logistic, cox or ridge) on all its slides too, for the runs'
    models."""
    region_truth: str | None = None
    """Folder with maps of true tissue classes, {slide_id}.npz for each slide that has one, to score the prototypes
    against: in it `map`, whole numbers [h, w], 0 for glass and what is not known, and `um_per_px`, its scale
    (docs/tables.md)."""

    def heads_of(self, kind: str, sets: bool) -> list[str]:
        """Heads of a kind of task on sets of prototypes, or on all other representations."""
        if sets:
            return self.set_heads.get(kind, self.heads[kind])
        return [head for head in self.heads[kind] if not HEADS[head].prototypes]

    def dealing(self, task: str) -> dict[str, Any]:
        """What decides the splits of a task besides the task itself: its own settings, or else the benchmark's."""
        own, counts = self.tasks[task], KINDS[self.tasks[task].kind].has_classes
        shots = own.few_shot if own.few_shot.patients is not None else self.few_shot
        return {
            "folds": own.splits.folds or self.folds,
            "repeats": own.splits.repeats or self.repeats,
            "train_fractions": own.train_fractions or self.train_fractions,
            "few_shot": (shots.patients or []) if counts else [],
            "draws": own.few_shot.draws or self.few_shot.draws or _DRAWS,
            "seed": self.seed,
            "validation_fraction": self.validation_fraction,
        }

    @field_validator("tasks", mode="before")
    @classmethod
    def _named_tasks(cls, value: Any) -> Any:
        kept = without_dropped({} if value is None else value)
        return expand(kept) if isinstance(kept, dict) else kept

    @field_validator("heads", mode="before")
    @classmethod
    def _add_to_default_heads(cls, value: Any) -> Any:
        return {**_HEADS, **(value or {})} if isinstance(value, dict | None) else value

    @field_validator("heads", "set_heads")
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
    def _primary_heads_are_heads(self) -> "Benchmark":
        for kind, head in self.primary_heads.items():
            if head not in self.heads.get(kind, []):
                raise ValueError(f"primary_heads.{kind}: {head} is none of heads.{kind}; name one of them")
        return self

    @model_validator(mode="after")
    def _exported_heads_are_affine(self) -> "Benchmark":
        for name, task in self.tasks.items() if self.export_heads else ():
            head = self.primary().get(task.kind)
            if head and not HEADS[head].affine:
                able = " or ".join(key for key, entry in HEADS.items() if entry.affine and task.kind in entry.kinds)
                raise ValueError(
                    f"export_heads: {name} is judged by {head}, which cannot be stored with a model; set "
                    f"primary_heads.{task.kind} to {able}, or export_heads: false"
                )
        return self

    def primary(self) -> dict[str, str]:
        """The head of each kind of task that claims are made of."""
        named = {kind: [self.primary_heads.get(kind), *_PRIMARY] for kind in self.heads}
        return {
            kind: next((name for name in named[kind] if name in heads), heads[0])
            for kind, heads in self.heads.items()
            if heads
        }

    @model_validator(mode="after")
    def _every_task_has_heads(self) -> "Benchmark":
        for name, task in self.tasks.items():
            if not self.heads.get(task.kind):
                raise ValueError(f"heads.{task.kind} names none, and {name} is such a task; name one or drop the task")
        return self
