"""From predictions to scores: a metric of every repeat, and how much each patient moves it."""

from collections import Counter
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from workflow_scripts.core.heads import HeadEntry
from workflow_scripts.core.tasks import METRICS as FACTS
from workflow_scripts.core.tasks import Kind
from workflow_scripts.mil.metrics import METRICS
from workflow_scripts.mil.metrics.forms import PairMetric
from workflow_scripts.mil.metrics.within import LeftOut, jackknife, within_folds
from workflow_scripts.mil.predictions import Round, Tested
from workflow_scripts.mil.variance import Design, Scores, influence, learning_effect


@dataclass(frozen=True)
class Scored:
    """A metric of one head on one representation in one budget.

    Attributes:
        scores: by repeat, head seeds averaged.
        by_seed: float64 `[R, S]`: the metric of each repeat and head seed.
        by_fold: float64 `[R * K]`: the metric of each test part alone, head seeds averaged; NaN where not defined.
        within_folds: whether cases were ranked within their fold alone.
        patient_ids: G patients, in the order of `scores.influence`.
        n_pairs: pairs of cases that the metric compares, mean over repeats; None for metrics that compare none.
        chance: value without any skill, where it is of this cohort and not of the metric.
    """

    scores: Scores
    by_seed: np.ndarray
    by_fold: np.ndarray
    within_folds: bool
    patient_ids: list[str]
    n_pairs: float | None = None
    chance: float | None = None


def group_numbers(kind: Kind, tested: Tested) -> np.ndarray:
    """Number of the group of each patient, int64 `[G]`: of its first case; all 0 for kinds of numbers."""
    if not (kind.has_classes or kind.in_every_fold):
        return np.zeros(len(tested.patient_ids), dtype=np.int64)
    _, first = np.unique(tested.patients, return_index=True)
    _, number = np.unique(np.array(kind.groups(tested.labels))[first], return_inverse=True)
    return number


def smallest_group(kind: Kind, tested: Tested) -> tuple[int, float]:
    """Patients in the smallest group that a metric needs, and how many these are of an equal share.

    Groups are the classes, or those with an event, or all. A patient with slides of two classes is in both of them.
    """
    groups = kind.groups(tested.labels)
    members = Counter(group for group, _ in set(zip(groups, tested.patients.tolist(), strict=True)))
    needed = list(kind.in_every_fold) or (list(members) if kind.has_classes else [])
    smallest = min((members[name] for name in needed), default=len(tested.patient_ids))
    return smallest, smallest * len(members) / sum(members.values())


def score(
    metric: str,
    kind: Kind,
    tested: Tested,
    design: Design,
    learnt_per_left: float,
    head: HeadEntry,
    balanced: bool = True,
    width: int | None = None,
) -> Scored:
    """A metric of all tests.

    Ranks need scores of one scale: those of models that have none are compared within a fold only.

    Args:
        metric: its name.
        kind: kind of the task.
        tested: predictions of one head and budget.
        design: how the splits were made.
        learnt_per_left: see `Scores`.
        head: what is known of the head; its `common_scale` holds where all folds have the same share of each class.
        balanced: whether folds were dealt by chance with the same share of each class in all of them.
        width: values of a slide vector, where all patients that are not tested are learnt from; None elsewhere.
    """
    facts = FACTS[metric]
    apart = facts.ranks and not (head.common_scale and balanced) and design == "folds"
    groups = group_numbers(kind, tested)
    classes = groups if kind.has_classes else None
    values, influences, noise, by_fold, by_seed = [], [], [], [], []
    for _, group in groupby(tested.rounds, key=lambda one: one.repeat):
        seeds = [(one, _left_out(metric, one, tested, apart)) for one in group]
        by_seed.append([result.value for _, result in seeds])
        values.append(_mean(np.array(by_seed[-1])))
        influences.append(np.mean([_influence(*seed, tested, classes) for seed in seeds], axis=0))
        noise.append(np.mean([result.ranking_noise for _, result in seeds]) / len(seeds))  # seeds may share none of it
        by_fold.append(_by_fold(metric, [one for one, _ in seeds]))
    moved = np.array(influences)
    told = facts.squares and head.to_optimum and balanced and width and design == "folds"
    scores = Scores(
        np.array(values),
        moved,
        design,
        learnt_per_left,
        groups,
        *smallest_group(kind, tested),
        facts.learnt_again,
        len(np.unique(tested.rounds[0].fold)) if apart else 1,
        float(np.mean(noise)) if apart else 0.0,
        learning=_learning(moved, tested) if told and np.isfinite(values).all() else None,
        width=width or 0,
    )
    n_pairs = _n_pairs(metric, tested, apart)
    return Scored(scores, np.array(by_seed), np.concatenate(by_fold), apart, tested.patient_ids, n_pairs)


def _learning(moved: np.ndarray, tested: Tested) -> np.ndarray | None:
    """`learning_effect` of influences `[R, G]`; None where there is one repeat, or one that does not test all."""
    fold = np.full(moved.shape, -1)
    for row, (_, group) in zip(fold, groupby(tested.rounds, key=lambda one: one.repeat), strict=True):
        one = next(group)
        row[tested.patients[one.case]] = one.fold
    return learning_effect(moved, fold) if len(moved) > 1 and (fold >= 0).all() else None


def _left_out(metric: str, one: Round, tested: Tested, apart: bool) -> LeftOut:
    function, groups = METRICS[metric], tested.patients[one.case]
    if apart:
        return within_folds(function, one.outcomes, groups, one.fold)
    return LeftOut(float(function(one.outcomes)), jackknife(function, one.outcomes, groups))


def _n_pairs(metric: str, tested: Tested, apart: bool) -> float | None:
    """Pairs of cases that are compared, mean over repeats; None for a metric of single cases."""
    function = METRICS[metric]
    if not isinstance(function, PairMetric):
        return None
    once = [one for one in tested.rounds if one.seed == tested.rounds[0].seed]  # seeds are tested on the same cases
    parts = [
        one.outcomes.take(one.fold == fold) if apart else one.outcomes
        for one in once
        for fold in (np.unique(one.fold) if apart else [0])
    ]
    return float(sum(function.counts(part)[..., 1].sum() / 2 for part in parts)) / len(once)


def _influence(one: Round, result: LeftOut, tested: Tested, classes: np.ndarray | None) -> np.ndarray:
    """Influence of every patient, float64 `[G]`, about the mean of its class; 0 for those that were not tested."""
    full = np.zeros(len(tested.patient_ids))
    there, own = np.unique(tested.patients[one.case]), influence(result.value, result.without)
    full[there] = own if classes is None else within_classes(own, classes[there])
    return full


def within_classes(influences: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Influences of patients less the mean of their class, float64 `[G]`.

    What all patients of a class have in common is how the metric goes with the share of that class, which is the same
    in all cohorts that the estimate speaks of.

    Args:
        influences: float64 `[G]`.
        classes: int64 `[G]`, number of the class of each.
    """
    means = np.bincount(classes, influences) / np.maximum(np.bincount(classes), 1)
    return np.asarray(influences - means[classes])


def _by_fold(metric: str, rounds: list[Round]) -> np.ndarray:
    function, folds = METRICS[metric], np.unique(rounds[0].fold)
    values = [[function(one.outcomes.take(one.fold == fold)) for one in rounds] for fold in folds]
    return np.array([_mean(np.array(row)) for row in values])


def _mean(values: np.ndarray) -> float:
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if len(kept) else np.nan
