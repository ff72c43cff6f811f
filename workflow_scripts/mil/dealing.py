"""All splits of a task: whole ones, dealt or given, and those of smaller budgets; and what is told of them."""

from typing import Any, NamedTuple, Protocol

import numpy as np

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.labels import Labels
from workflow_scripts.core.permuted import DEALS, deals
from workflow_scripts.core.task_splits import ToSplit, require_splits
from workflow_scripts.mil.budgets import few_shot, train_fractions
from workflow_scripts.mil.metrics.survival import brier_times, brier_without_skill
from workflow_scripts.mil.splits import Cohort, Split, as_given, deal_folds, require_learnable, require_no_leak


class _Source(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def preserve(self) -> str | None: ...


class Dealing(NamedTuple):
    """How a task is split.

    Attributes:
        folds: stratified folds by patient.
        repeats: how often they are dealt anew.
        train_fractions: fractions of the training patients.
        few_shot: patients of each class.
        draws: how often these few are drawn.
        seed: seed of the deal and of all draws.
        validation_fraction: fraction of a split's training patients that becomes `val`.
    """

    folds: int
    repeats: int
    train_fractions: list[float]
    few_shot: list[int]
    draws: int
    seed: int
    validation_fraction: float


def cohort_of(labels: Labels, sites: list[str] | None) -> Cohort:
    """What of the labels the deal depends on."""
    strata, by_slide = np.array(labels.strata()), labels.level == "slide"
    return Cohort(labels.slide_ids, labels.patient_ids, strata, labels.finer_values(), sites, by_slide)


def make_splits(cohort: Cohort, found: ToSplit, how: Dealing, leaks: str) -> list[Split]:
    """Splits of all budgets.

    Args:
        cohort: `cohort_of` the labels found.
        found: labels and given splits.
        how: how the rest is dealt.
        leaks: `report` lets a patient stand in two parts of a given split.

    Raises:
        UserError: a split has nothing to learn from or to test, or too few patients for a few-shot budget.
        AssertionError: a patient is in two parts of a split all the same.
    """
    names = found.labels.group_names()
    if found.given:
        whole = as_given(cohort, found.given.splits, how.seed, how.validation_fraction)
    else:
        whole = deal_folds(cohort, how.folds, how.repeats, how.seed, how.validation_fraction)
        require_learnable(cohort, whole, {names.index(name): name for name in found.labels.needed()})
    if leaks != "report" or not found.given:
        require_no_leak(cohort.patient_ids, whole)
    shots = few_shot(cohort, whole, how.few_shot, how.draws, how.seed, names)
    return [*train_fractions(cohort, whole, how.train_fractions, how.seed), *shots]


def deal_task(found: ToSplit, how: Dealing, leaks: str, by_chance: bool) -> tuple[ToSplit, Cohort, list[Split]]:
    """Splits of a task, and of what.

    A permutation control takes the first of `core.permuted.deals` that can be split, so that it can be wherever the
    true labels can, but for rare luck.

    Args:
        found: true labels and given splits.
        how: how the rest is dealt.
        leaks: as in `make_splits`.
        by_chance: whether the labels are to be dealt to the patients by chance.

    Raises:
        UserError: as `make_splits`; or no deal of the labels can be split.
    """
    if not by_chance:
        cohort = cohort_of(found.labels, found.sites)
        return found, cohort, make_splits(cohort, found, how, leaks)
    problem = ""
    for labels, words in deals(found.labels, found.kept_together()):
        dealt = found._replace(labels=labels, dealt=words)
        try:
            require_splits(dealt, how.folds, how.few_shot, "the control")
            return deal_task(dealt, how, leaks, by_chance=False)
        except UserError as error:
            problem = str(error)
    raise UserError(
        f"permutation_control: {DEALS} deals of the labels by chance left a part of the splits too small, the last: "
        f"{problem}; or drop permutation_control"
    )


def survival_facts(labels: Labels, splits: list[Split]) -> dict[str, Any]:
    """`times` at which survival probabilities are predicted and judged, and `brier_without_skill` of those tested.

    They are fixed with the splits, before anything is fitted, so that they are the same for all heads and
    representations. Other kinds of task have no times.
    """
    if not labels.kind.curve:
        return {"times": [], "brier_without_skill": None}
    tested = np.any([split.parts == "test" for split in splits], axis=0)
    owners = zip(labels.patient_ids, labels.values, tested, strict=True)
    outcomes = {(patient, value) for patient, value, is_tested in owners if is_tested}  # a patient counts once
    time, event = (np.array(part) for part in zip(*(value for _, value in sorted(outcomes)), strict=True))
    times = brier_times(time, event.astype(bool))
    return {"times": times.tolist(), "brier_without_skill": brier_without_skill(time, event.astype(bool), times)}


def split_facts(found: ToSplit, splits: list[Split], leaks: str) -> dict[str, Any]:
    """What is told of the splits in their table's metadata, see docs/tables.md."""
    labels, given = found.labels, found.given
    return {
        "level": labels.level,
        "slides_of_patient": labels.slides_of_patient,
        "classes": labels.classes,
        "counts": labels.counts(),
        "n_patients": len(set(labels.patient_ids)),
        "n_slides": len(labels.slide_ids),
        "n_excluded": sum(labels.excluded.values()),
        "excluded": labels.excluded,
        "missing": labels.missing,
        "implied": labels.implied,
        "design": given.design if given else "folds",
        "balanced": given is None and found.sites is None,
        "splits": [[split.repeat, split.fold, split.name] for split in given.splits] if given else [],
        "unknown": {"count": len(given.unknown), "first": given.unknown[:5]} if given else {"count": 0, "first": []},
        **survival_facts(labels, splits),
        "leaks": {"policy": leaks, "splits": [leak.counts() for leak in found.leaks]},
    }


def in_words(found: ToSplit, source: _Source, how: Dealing) -> str:
    """How the splits were made, and labels that are not the true ones, as a table says it.

    Args:
        found: what was split.
        source: section `splits` of the task.
        how: how the splits were dealt.
    """
    given, labels = found.given, f"; labels {found.dealt}" if found.dealt else ""
    if given is None:
        kept = f", {source.preserve} kept together" if source.preserve else ""
        return f"{how.repeats} x {how.folds} folds{kept}{labels}"
    return f"{source.kind}, {len(given.splits)} split{'s' if len(given.splits) > 1 else ''}{labels}"
