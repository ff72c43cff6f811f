"""Intervals against a naive bootstrap, and what they must do on simulated cohorts."""

import math
import statistics

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from workflow_scripts.mil.intervals import (
    bootstrap_values,
    mean_sd,
    paired_difference,
    patient_resamples,
    percentile_interval,
)
from workflow_scripts.mil.metrics import Outcomes, accuracy, auc, metrics_of


def _binary(label, score):
    label, score = np.asarray(label), np.asarray(score, float)
    return Outcomes(label, np.column_stack([1 - score, score]))


def _draw(n, shift, random):
    label = np.arange(n) % 2
    return label, 1 / (1 + np.exp(-random.normal(shift * label, 1.0)))


def _interval(outcomes, metric, bootstraps, seed=0):
    values = bootstrap_values({"m": metric}, outcomes, patient_resamples(len(outcomes), bootstraps, seed))["m"]
    return percentile_interval(metric(outcomes), values)


def test_values_are_the_metric_of_each_resample():
    label, score = _draw(24, 1.0, np.random.default_rng(0))
    resamples = patient_resamples(24, 50, 3)
    values = bootstrap_values({"auc": auc}, _binary(label, score), resamples)["auc"]
    expected = [roc_auc_score(label[rows], score[rows]) for rows in resamples]
    np.testing.assert_allclose(values, expected)


def test_interval_agrees_with_a_naive_bootstrap():
    label, score = _draw(80, 1.0, np.random.default_rng(1))
    interval = _interval(_binary(label, score), accuracy, 4000)
    hit = [int((s > 0.5) == y) for s, y in zip(score, label, strict=True)]
    random = np.random.default_rng(99)
    naive = sorted(sum(hit[random.integers(0, 80)] for _ in range(80)) / 80 for _ in range(4000))
    assert interval.value == pytest.approx(sum(hit) / 80)
    assert interval.low == pytest.approx(naive[100], abs=0.015)
    assert interval.high == pytest.approx(naive[3899], abs=0.015)


def test_resamples_with_one_class_are_skipped():
    outcomes = _binary([0, 1, 1, 1], [0.2, 0.9, 0.6, 0.1])
    resamples = np.array([[0, 1, 2, 3], [1, 1, 2, 3], [0, 0, 0, 0]])
    values = bootstrap_values({"auc": auc, "accuracy": accuracy}, outcomes, resamples)
    assert np.isnan(values["auc"]).tolist() == [False, True, True]
    assert np.isnan(values["accuracy"]).tolist() == [False, True, True]
    only = percentile_interval(0.5, np.array([np.nan, 0.25, np.nan]))
    assert (only.low, only.high) == (0.25, 0.25)
    assert math.isnan(percentile_interval(0.5, np.array([np.nan])).low)


@pytest.mark.slow
def test_interval_covers_the_truth():
    """Scores shifted by 1 sd have AUC Phi(1 / sqrt 2) = 0.7602; nominal coverage 95 %, 100 cohorts of 80."""
    truth = statistics.NormalDist().cdf(1 / math.sqrt(2))
    random = np.random.default_rng(5)
    covered = 0
    for trial in range(100):
        interval = _interval(_binary(*_draw(80, 1.0, random)), auc, 120, trial)
        covered += interval.low <= truth <= interval.high
    assert 0.86 <= covered / 100 <= 1.0


@pytest.mark.slow
def test_shuffled_labels_give_an_interval_around_chance():
    random = np.random.default_rng(7)
    label, score = _draw(100, 2.0, random)
    assert _interval(_binary(label, score), auc, 300).low > 0.8  # the labels do carry a signal
    inside = 0
    for trial in range(40):
        interval = _interval(_binary(random.permutation(label), score), auc, 120, trial)
        inside += interval.low <= 0.5 <= interval.high
    assert inside >= 34


def test_paired_difference_is_of_the_same_patients():
    random = np.random.default_rng(2)
    label, score = _draw(60, 1.0, random)
    noisy = np.clip(score + random.normal(0, 0.05, 60), 0, 1)
    resamples = patient_resamples(60, 500, 0)
    one, two = _binary(label, score), _binary(label, noisy)
    values = [bootstrap_values({"auc": auc}, outcomes, resamples)["auc"] for outcomes in (one, two)]
    paired = paired_difference(auc(one), values[0], auc(two), values[1])
    naive = [roc_auc_score(label[r], score[r]) - roc_auc_score(label[r], noisy[r]) for r in resamples]
    assert paired.value == pytest.approx(roc_auc_score(label, score) - roc_auc_score(label, noisy))
    np.testing.assert_allclose([paired.low, paired.high], np.percentile(naive, [2.5, 97.5]))
    unpaired = percentile_interval(0, values[0] - bootstrap_values({"auc": auc}, two, resamples[::-1])["auc"])
    assert paired.high - paired.low < 0.5 * (unpaired.high - unpaired.low)


def test_a_representation_does_not_differ_from_itself():
    values = np.array([0.1, 0.4, np.nan])
    same = paired_difference(0.3, values, 0.3, values)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def test_resamples_are_seeded():
    np.testing.assert_array_equal(patient_resamples(9, 20, 1), patient_resamples(9, 20, 1))
    assert (patient_resamples(9, 20, 1) != patient_resamples(9, 20, 2)).any()
    assert set(np.unique(patient_resamples(4, 100, 0))) == {0, 1, 2, 3}


def test_mean_and_sd_over_folds():
    values = [0.5, 0.75, 0.9]
    assert mean_sd([*values, math.nan]) == pytest.approx((statistics.mean(values), statistics.stdev(values)))
    assert math.isnan(mean_sd([0.5])[1])
    assert math.isnan(mean_sd([])[0])


def test_survival_resample_without_event_is_skipped():
    target = np.array([(1.0, True), (2.0, False), (3.0, False)], dtype=[("time", float), ("event", bool)])
    outcomes = Outcomes(target, np.arange(3.0))
    values = bootstrap_values(metrics_of("survival"), outcomes, np.array([[1, 2, 2], [0, 1, 2]]))["c_index"]
    assert math.isnan(values[0])
    assert values[1] == 0.0
