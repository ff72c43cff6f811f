"""Kinds of task: what each reads from the manifest, how it is judged, and what its predictions are.

Standard library only: the configuration reads it, and so does every cluster job. A kind is its entry in `KINDS` here
and the functions of its metrics in `mil/metrics/`; configuration, labels, heads, tables and report take the rest from
here.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from workflow_scripts.core.cells import parse_number
from workflow_scripts.core.events import parse_censored, parse_event

Label = str | float | tuple[float, ...]
"""A slide's label: what its one column holds, or one value a column."""


@dataclass(frozen=True)
class Metric:
    """What is known of a metric besides how it is computed.

    Attributes:
        label: as it is printed.
        chance: its value for predictions without any skill; None where that depends on the cohort.
        larger_is_better: the direction.
        ranks: whether it orders test cases against each other, so that their predictions must have one scale.
        bounds: its lowest and highest possible value.
        two_classes: whether it is defined for two classes alone.
        learnt_again: what of the variance that models owe to the choice of their training patients adds to that of the
            metric once more (docs/benchmark.md): all of it, or half where classes are predicted, for a threshold lets
            only half of it through pair by pair.
        squares: whether it is a mean of squared errors of what is predicted, or such a mean by that of a constant.
        least_share: what the rarest class must have of an equal share of the patients for the interval to cover: such
            metrics go with the shares, while heads are fitted as if all classes were as large.
        has_interval: whether the interval of `mil.intervals` was shown to cover it (docs/benchmark.md).
    """

    label: str
    chance: float | None = None
    larger_is_better: bool = True
    ranks: bool = False
    bounds: tuple[float, float] = (0.0, 1.0)
    two_classes: bool = False
    learnt_again: float = 1.0
    squares: bool = False
    least_share: float = 0.0
    has_interval: bool = True


class Column(NamedTuple):
    """A column of predictions.parquet, its type by Arrow's name (`string`, `float64`, `bool`, `list<float64>`)."""

    name: str
    type: str


class Instead(NamedTuple):
    """A key that may stand in the place of another, with the function that reads a cell of its column."""

    key: str
    read: Callable[[str], Any]


@dataclass(frozen=True)
class Kind:
    """One kind of task.

    Attributes:
        columns: keys of the task that name a column of the manifest, with the function that reads a cell of it and
            raises ValueError with how to mend the cell.
        instead: by a key of `columns`, the key that may be given in its place.
        groups: names of the groups that folds are stratified by, one a label, from the labels of all patients.
        finer: value of a label by whose quantiles the groups are divided further when folds are dealt; None for none.
        group_names: the groups in order; empty where they are the task's classes.
        in_every_fold: groups of which every fold needs a patient; empty means all.
        truth: columns of predictions.parquet with the label, in the order of `columns`.
        prediction: column with what a head predicts: a list is one value a class, a number is one a slide.
        curve: column with a list of further predictions, one for each time at which the task is judged; None where
            there is no time. A head may leave it empty.
        has_classes: whether a label is the name of a class; heads are then given its index in the task's classes.
        metrics: by name, in the order of the tables; `mil/metrics/` computes them.
        headline: the metric that the report speaks of, fixed by the kind and never by the result.
        figure: what the report draws of the predictions, a name of `report/task_figures.py`; empty draws nothing.
    """

    columns: Mapping[str, Callable[[str], Any]]
    groups: Callable[[Sequence[Any]], list[str]]
    truth: tuple[Column, ...]
    prediction: Column
    metrics: Mapping[str, Metric]
    headline: str
    curve: Column | None = None
    instead: Mapping[str, Instead] = field(default_factory=dict)
    finer: Callable[[Any], float] | None = None
    group_names: tuple[str, ...] = ()
    in_every_fold: tuple[str, ...] = ()
    has_classes: bool = False
    figure: str = ""

    @property
    def of_chance(self) -> str | None:
        """The metric by which labels dealt by chance are judged; None where no metric has a value of chance.

        It is the headline, or else a metric that ranks: R squared without skill lies below 0, the farther the fewer
        patients, while a rank correlation without skill is 0 for any number of them.
        """
        found = [name for name, metric in self.metrics.items() if metric.chance is not None and metric.has_interval]
        order = sorted(found, key=lambda name: (name != self.headline, not self.metrics[name].ranks))
        return order[0] if order else None


def _time(cell: str) -> float:
    value = parse_number(cell)
    if value < 0:
        raise ValueError("a time to event cannot be negative, so correct it or leave it empty")
    return value


def _by_event(labels: Sequence[tuple[float, bool]]) -> list[str]:
    return ["event" if event else "censored" for _, event in labels]


_WITH_VALUE = "with a value"

_OF_CLASSES = {
    "accuracy": Metric("accuracy", learnt_again=0.5, least_share=0.6),
    "balanced_accuracy": Metric("balanced accuracy", learnt_again=0.5),
    "macro_f1": Metric("macro F1", learnt_again=0.5, least_share=0.6),
}
_OF_PROBABILITIES = {
    "brier": Metric("Brier score", larger_is_better=False, squares=True, least_share=0.9),
    "calibration_error": Metric("calibration error", larger_is_better=False, has_interval=False),
}
_CLASSIFICATION = Kind(
    columns={"label": str},
    groups=list,
    truth=(Column("label", "string"),),
    prediction=Column("probabilities", "list<float64>"),
    has_classes=True,
    metrics={
        "auc": Metric("AUC", chance=0.5, ranks=True),
        "average_precision": Metric("average precision", ranks=True),
        **_OF_CLASSES,
        "sensitivity": Metric("sensitivity", two_classes=True, has_interval=False),
        "specificity": Metric("specificity", two_classes=True, has_interval=False),
        **_OF_PROBABILITIES,
    },
    headline="auc",
    figure="classes",
)
KINDS: dict[str, Kind] = {
    "classification": _CLASSIFICATION,
    "ordinal": replace(
        _CLASSIFICATION,
        metrics={
            "quadratic_kappa": Metric("quadratic kappa", chance=0.0, bounds=(-1.0, 1.0), learnt_again=0.5),
            "somers_d": Metric("Somers' D", chance=0.0, ranks=True, bounds=(-1.0, 1.0)),
            **_OF_CLASSES,
            **_OF_PROBABILITIES,
        },
        headline="quadratic_kappa",
    ),
    "survival": Kind(
        columns={"time": _time, "event": parse_event},
        instead={"event": Instead("censored", parse_censored)},
        groups=_by_event,
        finer=lambda label: label[0],  # the time
        group_names=("censored", "event"),
        in_every_fold=("event",),
        truth=(Column("time", "float64"), Column("event", "bool")),
        prediction=Column("risk", "float64"),  # higher means an earlier event
        curve=Column("survival", "list<float64>"),
        metrics={
            "c_index": Metric("C-index", chance=0.5, ranks=True),
            "time_dependent_auc": Metric("time-dependent AUC", chance=0.5, ranks=True),
            "integrated_brier": Metric("integrated Brier score", larger_is_better=False, squares=True),
        },
        headline="c_index",
        figure="survival",
    ),
    "regression": Kind(
        columns={"label": parse_number},
        groups=lambda labels: [_WITH_VALUE] * len(labels),
        group_names=(_WITH_VALUE,),
        finer=float,
        truth=(Column("value", "float64"),),
        prediction=Column("predicted", "float64"),
        metrics={
            "r2": Metric("R squared", bounds=(-math.inf, 1.0), squares=True),
            "mean_absolute_error": Metric("mean absolute error", larger_is_better=False, bounds=(0.0, math.inf)),
            "pearson": Metric("Pearson correlation", chance=0.0, bounds=(-1.0, 1.0)),
            "spearman": Metric("Spearman correlation", chance=0.0, ranks=True, bounds=(-1.0, 1.0)),
        },
        headline="r2",
        figure="values",
    ),
}
# Of slides ranked by their likeness to a query, of kinds with classes (mil/ranking.py); the first is the headline.
RETRIEVAL: dict[str, Metric] = {
    "mean_average_precision": Metric("mean average precision"),
    "precision_at_1": Metric("precision at 1"),
    "precision_at_5": Metric("precision at 5"),
    "precision_at_10": Metric("precision at 10"),
}
LIKENESSES = {"retrieval_cosine": "cosine of slide vectors", "retrieval_matching": "optimal matching of prototypes"}
"""What slides are ranked by, as the results name it in the place of a head."""
ON_SETS = {"retrieval_matching": "retrieval_cosine"}
"""Of those on sets of prototypes, what slide vectors are ranked by."""
METRICS: dict[str, Metric] = {
    **{name: metric for kind in KINDS.values() for name, metric in kind.metrics.items()},
    **RETRIEVAL,
}


def headline_of(kind: str, head: str) -> str:
    """The metric that is told first of a head, or of a likeness."""
    return next(iter(RETRIEVAL)) if head in LIKENESSES else KINDS[kind].headline
