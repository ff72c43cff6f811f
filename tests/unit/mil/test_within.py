"""Metrics within folds against counting by hand, and the chance of the folds against simulation."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tests.unit.mil import outcomes as made
from workflow_scripts.mil.metrics import METRICS
from workflow_scripts.mil.metrics.within import jackknife, within_folds
from workflow_scripts.mil.variance import influence


def counted(outcomes, folds, credit):
    """Share of the pairs within folds: `credit` of a pair of rows is None where they are no pair."""
    total = pairs = 0.0
    for i in range(len(outcomes)):
        for j in range(len(outcomes)):
            given = credit(outcomes, i, j) if folds[i] == folds[j] else None
            if given is not None:
                total, pairs = total + given, pairs + 1
    return total / pairs


def auc_pair(outcomes, i, j):
    if (outcomes.target[i], outcomes.target[j]) != (1, 0):
        return None
    return 0.5 + 0.5 * np.sign(outcomes.prediction[i, 1] - outcomes.prediction[j, 1])


def concordance_pair(outcomes, i, j):
    time, event, risk = outcomes.target["time"], outcomes.target["event"], outcomes.prediction
    if not (event[i] and (time[i] < time[j] or (time[i] == time[j] and not event[j]))):
        return None
    return 0.5 + 0.5 * np.sign(risk[i] - risk[j])


@pytest.mark.parametrize(
    ("metric", "outcomes", "credit"),
    [("auc", made.classes(30, 2, 0), auc_pair), ("c_index", made.survived(30, 1), concordance_pair)],
)
def test_pairs_are_counted_within_folds_with_every_case_and_without_each_patient(metric, outcomes, credit):
    folds, patients = np.arange(30) % 3, np.arange(30) // 6 * 3 + np.arange(30) % 3
    found = within_folds(METRICS[metric], outcomes, patients, folds)
    assert found.value == pytest.approx(counted(outcomes, folds, credit))
    for patient in range(15):
        kept = patients != patient
        assert found.without[patient] == pytest.approx(counted(outcomes.take(kept), folds[kept], credit))


def test_other_metrics_are_the_mean_of_the_folds_by_their_cases():
    outcomes, folds = made.classes(40, 2, 2), np.repeat([0, 1, 2], [20, 12, 8])
    found = within_folds(METRICS["average_precision"], outcomes, np.arange(40), folds)

    def mean(kept):
        values, sizes = [], []
        for fold in range(3):
            part = outcomes.take(kept & (folds == fold))
            if 0 < part.target.sum() < len(part):
                values.append(average_precision_score(part.target, part.prediction[:, 1]))
                sizes.append(len(part))
        return np.average(values, weights=sizes)

    assert found.value == pytest.approx(mean(np.ones(40, bool)))
    for case in range(40):
        assert found.without[case] == pytest.approx(mean(np.arange(40) != case))


@pytest.mark.parametrize(
    ("metric", "outcomes"),
    [("auc", made.classes(60, 2, 4, False)), ("auc", made.classes(60, 3, 5, False)), ("c_index", made.survived(60, 1))],
)
def test_chance_of_the_folds_is_what_deals_of_the_same_scores_show(metric, outcomes):
    """With scores that no model changes, patients' influence varies over deals by the folds alone."""
    random = np.random.default_rng(3)
    groups = outcomes.target["event"] if metric == "c_index" else outcomes.target
    moved, told = [], []
    for _ in range(400):
        folds = np.empty(60, int)
        for label in np.unique(groups):  # stratified
            places = np.flatnonzero(groups == label)
            folds[places] = random.permutation(len(places)) % 5
        found = within_folds(METRICS[metric], outcomes, np.arange(60), folds)
        moved.append(influence(found.value, found.without))
        told.append(found.ranking_noise)
    seen = np.var(moved, axis=0, ddof=1).sum()
    assert np.mean(told) == pytest.approx(seen, rel=0.15)


def test_one_fold_is_no_fold():
    outcomes = made.survived(40, 5)
    found = within_folds(METRICS["c_index"], outcomes, np.arange(40), np.zeros(40, int))
    assert found.value == pytest.approx(METRICS["c_index"](outcomes))
    assert found.without == pytest.approx(jackknife(METRICS["c_index"], outcomes, np.arange(40)))
    assert found.ranking_noise == 0
