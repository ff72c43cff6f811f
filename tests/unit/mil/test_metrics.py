"""Metrics against counting by hand."""

import math

import numpy as np
import pytest

from workflow_scripts.core import tasks
from workflow_scripts.mil.metrics import (
    METRICS,
    Outcomes,
    accuracy,
    auc,
    balanced_accuracy,
    c_index,
    metrics_of,
    quadratic_kappa,
)


def _classes(n, n_classes, seed, ties=True):
    random = np.random.default_rng(seed)
    label = np.concatenate([np.arange(n_classes), random.integers(0, n_classes, n - n_classes)])
    raw = random.random((n, n_classes)) + np.eye(n_classes)[label] * 0.4
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    if ties:
        probabilities = np.round(probabilities, 1)
    return Outcomes(label, probabilities)


def _survival(time, event, risk):
    pairs = list(zip(time, event, strict=True))
    return Outcomes(np.array(pairs, dtype=[("time", float), ("event", bool)]), np.asarray(risk))


def _pair_auc(positive, score):
    pairs = [(p, q) for p in score[positive] for q in score[~positive]]
    return sum((p > q) + 0.5 * (p == q) for p, q in pairs) / len(pairs)


@pytest.mark.parametrize("seed", range(4))
def test_binary_auc_counts_pairs_with_the_last_class_positive(seed):
    outcomes = _classes(40, 2, seed)
    assert auc(outcomes) == pytest.approx(_pair_auc(outcomes.target == 1, outcomes.prediction[:, 1]))


@pytest.mark.parametrize("seed", range(4))
def test_multiclass_auc_is_the_mean_of_one_against_the_rest(seed):
    outcomes = _classes(40, 4, seed)
    expected = np.mean([_pair_auc(outcomes.target == c, outcomes.prediction[:, c]) for c in range(4)])
    assert auc(outcomes) == pytest.approx(expected)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_accuracies_and_kappa_from_the_confusion_matrix(n_classes):
    outcomes = _classes(50, n_classes, n_classes, ties=False)
    table = np.zeros((n_classes, n_classes))
    for truth, guess in zip(outcomes.target, outcomes.prediction.argmax(axis=1), strict=True):
        table[truth, guess] += 1
    assert accuracy(outcomes) == pytest.approx(np.trace(table) / 50)
    assert balanced_accuracy(outcomes) == pytest.approx(np.mean(np.diag(table) / table.sum(axis=1)))
    grades = np.arange(n_classes)
    weight = (grades[:, None] - grades[None]) ** 2
    chance = np.outer(table.sum(axis=1), table.sum(axis=0)) / 50
    assert quadratic_kappa(outcomes) == pytest.approx(1 - (weight * table).sum() / (weight * chance).sum())


@pytest.mark.parametrize("seed", range(4))
def test_c_index_counts_comparable_pairs(seed):
    random = np.random.default_rng(seed)
    time, event = random.random(30), random.random(30) < 0.6
    risk = np.round(-time + random.normal(0, 0.4, 30), 1)
    good = total = 0.0
    for i in np.flatnonzero(event):
        for j in range(30):
            if time[j] > time[i]:  # i had its event while j was still at risk
                total += 1
                good += (risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j])
    assert c_index(_survival(time, event, risk)) == pytest.approx(good / total)


def test_c_index_sign_is_fixed():
    time, event = [1.0, 2.0, 3.0], [True, True, True]
    assert c_index(_survival(time, event, np.array([3.0, 2.0, 1.0]))) == 1.0
    assert c_index(_survival(time, event, np.array([1.0, 2.0, 3.0]))) == 0.0


def test_undefined_metrics_are_nan():
    one = _classes(10, 2, 0).take(np.array([0, 0, 0]))
    assert math.isnan(auc(one))
    assert math.isnan(quadratic_kappa(one))
    assert one.one_class
    missing = _classes(30, 3, 0)
    assert math.isnan(auc(missing.take(np.flatnonzero(missing.target != 2))))
    assert math.isnan(c_index(_survival([1.0, 2.0], [False, False], np.zeros(2))))


def test_each_kind_of_task_has_its_metrics():
    assert list(metrics_of("classification")) == ["auc", "accuracy", "balanced_accuracy"]
    assert list(metrics_of("ordinal")) == ["auc", "accuracy", "balanced_accuracy", "quadratic_kappa"]
    assert list(metrics_of("survival")) == ["c_index"]


def test_every_metric_that_is_named_is_computed_and_the_other_way_round():
    assert set(METRICS) == set(tasks.METRICS)
    assert all(kind.headline in kind.metrics for kind in tasks.KINDS.values())


@pytest.mark.parametrize("name", [name for name, metric in tasks.METRICS.items() if metric.chance is not None])
def test_chance_is_what_guessing_scores(name):
    """Predictions that know nothing of 2,000 patients score the metric's level of chance."""
    random = np.random.default_rng(0)
    kind = next(kind for kind in tasks.KINDS.values() if name in kind.metrics)
    if kind.has_classes:
        guessed = Outcomes(random.integers(0, 3, 2000), random.dirichlet(np.ones(3), 2000))
    else:
        guessed = _survival(random.random(2000), random.random(2000) < 0.5, random.random(2000))
    assert METRICS[name](guessed) == pytest.approx(tasks.METRICS[name].chance, abs=0.05)
