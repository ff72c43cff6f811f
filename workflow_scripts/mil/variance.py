"""The variance of a metric over cohorts, of patients tested and learnt from, told by the repeats of one cohort.

An interval of what a procedure is expected to have must tell of the choice of all patients, tested and learnt from. A
bootstrap of cross-validated predictions tells of the tested ones alone: every patient is also in the training part of
the other folds' models, which the bootstrap holds fixed, and its intervals are too narrow (Bengio and Grandvalet 2004;
Bates, Hastie and Tibshirani 2023). How the variance is put together is in docs/benchmark.md.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Design = Literal["folds", "draws", "held_out", "ranking"]
# Patients for each value of a slide vector below which what learning takes back is not believed: with fewer, models
# follow so many patients at once that effects of pairs alone do not describe them (simulated, docs/benchmark.md).
_PAIRS_FROM = 2.5
_MOST_AGAIN = 0.75  # of a sum of squares that is taken off for what it counts again


@dataclass(frozen=True)
class Scores:
    """A metric over all tests of a procedure: R repeats of the folds, or R draws, on the same G patients.

    Attributes:
        values: float64 `[R]`: the metric of each repeat; NaN where it is not defined.
        influence: float64 `[R, G]`: how much each patient moves the metric of each repeat, so that the sum of squares
            over patients is the variance by the choice of tested patients (jackknife); 0 for patients not tested.
        design: `folds`: every patient is tested once a repeat; `draws`: test patients are drawn anew for each value;
            `held_out`: one training and one test part; `ranking`: each patient asks and is found, none is learnt from.
        learnt_per_left: patients that a model learns from over those that it does not, K - 1 for K folds; of draws, all
            others over the tested ones.
        group: int64 `[G]`: number of each patient's group: its class, or with or without an event; all 0 where there
            are none.
        smallest: patients in the smallest group that the metric needs, such as the rarer class or those with an event.
        share: how many these are of an equal share of the patients: 0.3 where 15 % are of the rarer of two classes.
        learnt_again: as `core.tasks.Metric` has it.
        strata: folds whose cases are ranked apart; 1 where all are ranked together.
        ranking_noise: what of the spread of `influence` over repeats, summed over patients, comes from the cases that
            happen to be ranked with each patient and not from the models; 0 where all are ranked together.
        learning: float64 `[G]`: how much each patient moves the metric through all models that learn from it
            (`learning_effect`), where that can be told and models are fitted to the optimum of a loss like the metric;
            None elsewhere.
        width: values of a slide vector, where `learning` is given.
        again: of rankings, the share of the sum of squared `influence` that is counted once too often
            (`mil.retrieval.counted_again`).
        replicates: float64 `[P]`: the value of each of P trainings of the representation, whose mean all else is; of
            a difference those of both; empty where there is one training.
    """

    values: np.ndarray
    influence: np.ndarray
    design: Design
    learnt_per_left: float
    group: np.ndarray
    smallest: int
    share: float = 1.0
    learnt_again: float = 1.0
    strata: int = 1
    ranking_noise: float = 0.0
    learning: np.ndarray | None = None
    width: int = 0
    again: float = 0.0
    replicates: tuple[np.ndarray, ...] = ()

    def minus(self, other: "Scores") -> "Scores":
        """The difference to other scores on the same patients and splits.

        Both rank the same cases in the same folds, so that most of what comes from them is gone: none is taken off.
        """
        return Scores(
            self.values - other.values,
            self.influence - other.influence,
            self.design,
            self.learnt_per_left,
            self.group,
            self.smallest,
            self.share,
            self.learnt_again,
            max(self.strata, other.strata),
            learning=None if self.learning is None or other.learning is None else self.learning - other.learning,
            width=max(self.width, other.width),
            again=min(
                self.again, other.again
            ),  # a difference keeps no less of it, for what single patients do is common
            replicates=_paired(self, other),
        )

    @property
    def value(self) -> float:
        """Mean over the repeats in which the metric is defined; NaN if there is none."""
        kept = self.values[np.isfinite(self.values)]
        return float(kept.mean()) if len(kept) else math.nan

    @property
    def degrees(self) -> float:
        """Degrees of freedom of `variance`, at least 1.

        Of folds, Welch's and Satterthwaite's for what the groups add each, but half of the patients at most, for half
        of the variance is told by the same patients again; and less one for each further fold that is ranked apart.
        """
        kept = np.isfinite(self.values)
        if self.design == "draws" or not kept.any():
            return max(int(kept.sum()) - 1, 1)
        squares = self.influence[kept].mean(axis=0) ** 2
        sizes, parts = np.bincount(self.group), np.bincount(self.group, squares)
        total = float(parts.sum())
        welch = total**2 / (parts**2 / np.maximum(sizes - 1, 1)).sum() if total > 0 else self.smallest - 1
        most = len(self.group) - len(sizes)
        return max(min(welch, most / 2 if self.design == "folds" else most) - (self.strata - 1), 1)


def influence(value: float, left_out: np.ndarray) -> np.ndarray:
    """Jackknife influence of each of G patients on a metric, float64 `[G]`; their squares sum to its variance.

    Efron and Stein (1981): variance = (G - 1) / G * sum of (value without a patient - value) squared. A patient without
    whom the metric is not defined has none.

    Args:
        value: the metric of all patients.
        left_out: float64 `[G]`: the metric without each patient.
    """
    scale = math.sqrt((len(left_out) - 1) / len(left_out))
    return np.nan_to_num((value - left_out) * scale)


def learning_effect(influences: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """How much each of G patients moves the mean of R repeats of a metric by being learnt from, float64 `[G]`.

    Of the tests of a repeat, those that share the fold of patient j have models that have not learnt from j. What
    j moves a test by when it is learnt from is what such tests gain against their own means over repeats, with the sign
    turned; which others share the fold depends a little on j, since folds are of one size. Taken by its share of the
    tests, all but a fold. Noise of one patient's effect is far larger than the effect: only sums over patients tell.

    Args:
        influences: float64 `[R, G]`, R of 2 or more, as in `Scores`.
        fold: int64 `[R, G]`: fold that tests each patient in each repeat; folds are dealt by chance, all of about one
            size.
    """
    repeats, patients = influences.shape
    folds = int(fold.max()) + 1
    size = patients / folds
    own = influences - influences.mean(axis=0)
    beside = np.array([np.bincount(where, row, folds)[where] - row for where, row in zip(fold, own, strict=True)])
    together = (size - 1) / (patients - 1)
    unlike = together * (1 - (size - 2) / (patients - 2))
    return np.asarray(-beside.sum(axis=0) / (repeats - 1) * (1 - 1 / folds) / unlike)


def variance(scores: Scores) -> float:
    """Variance of `scores.value` over cohorts; NaN where it cannot be told.

    Of folds, three parts. What each patient adds when tested, averaged over the repeats (`patients`). What it adds when
    learnt from (`_learnt`). And what is left of the repeats' own noise.

    Of draws, the corrected resampled variance of Nadeau and Bengio (2003). Of one test part held out, the jackknife
    over its patients, which holds the model fixed; so of rankings, where nothing is learnt.
    """
    if scores.design == "draws":
        kept = scores.values[np.isfinite(scores.values)]
        if len(kept) < 2:
            return math.nan
        return float(kept.var(ddof=1) * (1 / len(kept) + 1 / scores.learnt_per_left))
    kept = scores.influence[np.isfinite(scores.values)]
    if not len(kept):
        return math.nan
    total = float((kept.mean(axis=0) ** 2).sum())
    if scores.design == "ranking":
        return total * (1 - min(scores.again, _MOST_AGAIN))
    if scores.design == "held_out":
        return total
    if len(kept) == 1:
        return 2 * total
    within = float(kept.var(axis=0, ddof=1).sum())
    patients = max(total - within / len(kept), 0.0)
    return patients + _learnt(scores, kept, within, patients) + within / len(kept)


def _learnt(scores: Scores, kept: np.ndarray, within: float, patients: float) -> float:
    """What patients add to the variance when they are learnt from; less than 0 where learning takes noise back.

    `learnt_again` times what the repeats show of the models' dependence on their training patients: the spread of a
    patient's influence over repeats, which the overlap of their training parts makes `learnt_per_left` times smaller;
    at most as much as `patients`. With `learning`, (1 + c)^2 / 2 - 1 of it, where c is the part of it that learning has
    in common with being tested: 1 where each pair of patients moves the metric twice alike, 0 where models make
    exactly as much of it small as the tests of pairs add (docs/benchmark.md).
    """
    of_models = max(within - scores.ranking_noise, 0.0)
    pairs = min(scores.learnt_again * scores.learnt_per_left * of_models, patients)
    if scores.learning is None or pairs <= 0:
        return pairs
    common = min(max(float(kept.mean(axis=0) @ scores.learning) / pairs, 0.0), 1.0)
    believed = max(1 - _PAIRS_FROM * scores.width / len(scores.learning), 0.0)
    common = believed * common + 1 - believed
    return pairs * ((1 + common) ** 2 / 2 - 1)


def mean_of(trainings: list[Scores]) -> Scores:
    """Scores of P trainings of one representation, by other seeds, as those of the representation: their mean."""
    first = trainings[0]
    if len(trainings) == 1:
        return first
    learning = [one.learning for one in trainings if one.learning is not None]
    return replace(
        first,
        values=np.mean([one.values for one in trainings], axis=0),
        influence=np.mean([one.influence for one in trainings], axis=0),
        ranking_noise=float(np.mean([one.ranking_noise for one in trainings])) / len(trainings),  # if they had no more
        learning=np.mean(learning, axis=0) if len(learning) == len(trainings) else None,
        again=float(np.mean([one.again for one in trainings])) / len(trainings),
        replicates=(np.array([one.value for one in trainings]),),
    )


def _paired(first: Scores, second: Scores) -> tuple[np.ndarray, ...]:
    """Trainings of a difference: pair by pair where both have as many, mostly by the same seeds; others are as good."""
    both = (*first.replicates, *second.replicates)
    return (both[0] - both[1],) if len(both) == 2 and len(both[0]) == len(both[1]) else both
