"""Metrics against scikit-learn, lifelines, scipy and counting by hand."""

import math

import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from lifelines.utils import concordance_index
from scipy.stats import pearsonr, somersd, spearmanr
from sklearn import metrics as sk

from tests.unit.mil.outcomes import classes, of_kind, survival, survived, values
from workflow_scripts.core import tasks
from workflow_scripts.mil.metrics import METRICS, Outcomes, metrics_of
from workflow_scripts.mil.metrics.survival import _uncensored_before, brier_times, brier_without_skill
from workflow_scripts.mil.ranking import MEASURES

SEEDS = range(6)
KIND_OF = {name: kind for kind, facts in tasks.KINDS.items() for name in facts.metrics}


def _one_hot(outcomes):
    return np.eye(outcomes.n_classes)[outcomes.target]


def _score(name, outcomes):
    """What scikit-learn gives for a metric of classes."""
    true, probability, guess = outcomes.target, outcomes.prediction, outcomes.prediction.argmax(axis=1)
    two = outcomes.n_classes == 2
    reference = {
        "auc": lambda: sk.roc_auc_score(_one_hot(outcomes)[:, 1:] if two else _one_hot(outcomes), probability[:, two:]),
        "average_precision": lambda: sk.average_precision_score(_one_hot(outcomes)[:, two:], probability[:, two:]),
        "accuracy": lambda: sk.accuracy_score(true, guess),
        "balanced_accuracy": lambda: sk.recall_score(true, guess, average="macro", labels=np.unique(true)),
        "macro_f1": lambda: sk.f1_score(true, guess, average="macro"),
        "sensitivity": lambda: sk.recall_score(true, guess, pos_label=1),
        "specificity": lambda: sk.recall_score(true, guess, pos_label=0),
        "brier": lambda: sk.brier_score_loss(true, probability, scale_by_half=True, labels=range(outcomes.n_classes)),
        "quadratic_kappa": lambda: sk.cohen_kappa_score(true, guess, weights="quadratic"),
        "somers_d": lambda: somersd(true, probability @ np.arange(outcomes.n_classes)).statistic,
    }
    return reference[name]()


_OF_CLASSES = [
    (name, n_classes)
    for n_classes in (2, 3, 5)
    for name in {**metrics_of("classification", n_classes), **metrics_of("ordinal")}
    if name != "calibration_error"
]


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize(("name", "n_classes"), _OF_CLASSES)
def test_metrics_of_classes_equal_sklearn(name, n_classes, ties):
    for seed in SEEDS:
        outcomes = classes(40, n_classes, seed, ties)
        assert METRICS[name](outcomes) == pytest.approx(_score(name, outcomes), abs=1e-12), seed


@pytest.mark.parametrize("n_classes", [2, 4])
def test_calibration_error_by_hand(n_classes):
    for seed in SEEDS:
        outcomes = classes(60, n_classes, seed, ties=False)
        top, right = outcomes.prediction.max(axis=1), outcomes.predicted == outcomes.target
        expected = 0.0
        for low in np.arange(10) / 10:
            inside = (top > low) & (top <= low + 0.1)
            if inside.any():
                expected += inside.mean() * abs(right[inside].mean() - top[inside].mean())
        assert METRICS["calibration_error"](outcomes) == pytest.approx(expected, abs=1e-12)


def test_a_probability_on_the_edge_of_a_bin_is_in_the_lower_one_whatever_its_rounding():
    """0.1 + 0.2 + 0.3 is above 0.6 by rounding; in a bin apart, the gap of 0.6 and that of 0.55 would not cancel."""
    top = np.array([0.1 + 0.2 + 0.3, 0.55])
    outcomes = Outcomes(np.array([0, 1]), np.stack([top, 1 - top], axis=1))
    assert METRICS["calibration_error"](outcomes) == pytest.approx(abs(0.4 - 0.55) / 2)


@pytest.mark.parametrize("ties", [True, False])
def test_c_index_equals_lifelines_and_counted_pairs(ties):
    for seed in SEEDS:
        outcomes = survived(40, seed, ties)
        time, event, risk = outcomes.target["time"], outcomes.target["event"], outcomes.prediction
        good = total = 0.0
        for i in np.flatnonzero(event):
            for j in range(40):
                if time[j] > time[i] or (time[j] == time[i] and not event[j]):  # i had its event while j was at risk
                    total += 1
                    good += (risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j])
        assert METRICS["c_index"](outcomes) == pytest.approx(good / total, abs=1e-12)
        assert METRICS["c_index"](outcomes) == pytest.approx(concordance_index(time, -risk, event), abs=1e-12)


def test_signs_are_fixed():
    outcomes = survival([1.0, 2.0, 3.0, 4.0], [True, True, True, True], [4.0, 3.0, 2.0, 1.0])
    turned = Outcomes(outcomes.target, -outcomes.prediction)
    for name in ("c_index", "time_dependent_auc"):
        assert (METRICS[name](outcomes), METRICS[name](turned)) == (1.0, 0.0)


def _censoring_by_hand(time, event, at):
    """Kaplan-Meier of the censoring before a time, events first where times are equal."""
    probability = 1.0
    for moment in sorted(set(time)):
        if moment < at:
            left = sum(time > moment) + sum((time == moment) & ~event)
            probability *= 1 - sum((time == moment) & ~event) / left if left else 1
    return probability


@pytest.mark.parametrize("ties", [True, False])
def test_time_dependent_auc_by_hand(ties):
    for seed in SEEDS:
        outcomes = survived(40, seed, ties)
        time, event, risk = outcomes.target["time"], outcomes.target["event"], outcomes.prediction
        values = []
        for part in (0.25, 0.5, 0.75):
            died = sorted(time[event])
            moment = died[math.ceil(part * len(died)) - 1]
            good = total = 0.0
            for i in np.flatnonzero(event & (time <= moment)):
                weight = 1 / _censoring_by_hand(time, event, time[i])
                for j in np.flatnonzero(time > moment):
                    total += weight
                    good += weight * ((risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j]))
            values.append(good / total)
        assert METRICS["time_dependent_auc"](outcomes) == pytest.approx(np.mean(values), abs=1e-12)


def test_without_censoring_every_weight_is_one():
    time, event = np.array([1.0, 2.0, 2.0, 5.0]), np.ones(4, bool)
    np.testing.assert_array_equal(_uncensored_before(time, event, time), 1)


def test_censoring_is_undone_by_its_weights():
    """Of 4,000 patients, half of them censored, nearly the AUC of the same patients without any censoring."""
    random = np.random.default_rng(0)
    risk = random.normal(size=4000)
    died, lost = random.exponential(np.exp(-risk)), random.exponential(1.0, 4000)
    seen = survival(np.minimum(died, lost), died <= lost, risk)
    moments = np.quantile(seen.target["time"][seen.target["event"]], [0.25, 0.5, 0.75])
    whole = np.mean([sk.roc_auc_score(died <= moment, risk) for moment in moments])
    assert METRICS["time_dependent_auc"](seen) == pytest.approx(whole, abs=0.015)


@pytest.mark.parametrize("ties", [True, False])
def test_integrated_brier_by_hand(ties):
    for seed in SEEDS:
        outcomes = survived(40, seed, ties)
        time, event, curves = outcomes.target["time"], outcomes.target["event"], outcomes.survival
        scores = []
        for place, moment in enumerate(outcomes.times):
            total = 0.0
            for i in range(40):
                if time[i] > moment:
                    total += (1 - curves[i, place]) ** 2 / _censoring_by_hand(time, event, np.nextafter(moment, np.inf))
                elif event[i]:
                    total += curves[i, place] ** 2 / _censoring_by_hand(time, event, time[i])
            scores.append(total / 40)
        assert len(scores) == 20 and METRICS["integrated_brier"](outcomes) == pytest.approx(np.mean(scores), abs=1e-12)


def _at(outcomes, times, survival):
    return Outcomes(outcomes.target, outcomes.prediction, np.asarray(times, float), np.asarray(survival, float))


def test_brier_of_the_kaplan_meier_curve_is_its_variance_and_of_one_half_a_quarter():
    """Weights sum to the number of cases: S (1 - S) for the cohort's own curve S, which lifelines draws."""
    for seed in SEEDS:
        outcomes = survived(50, seed)
        time, event = outcomes.target["time"], outcomes.target["event"]
        curve = KaplanMeierFitter().fit(time, event).survival_function_at_times(outcomes.times).to_numpy()
        own = _at(outcomes, outcomes.times, np.tile(curve, (50, 1)))
        assert METRICS["integrated_brier"](own) == pytest.approx((curve * (1 - curve)).mean(), abs=1e-12)
        assert brier_without_skill(time, event, outcomes.times) == pytest.approx(
            (curve * (1 - curve)).mean(), abs=1e-12
        )
        half = _at(outcomes, outcomes.times, np.full((50, 20), 0.5))
        assert METRICS["integrated_brier"](half) == pytest.approx(0.25, abs=1e-12)
        known = np.where(outcomes.times < time[:, None], 1.0, 0.0)  # wrong for the censored alone, who do not count
        assert METRICS["integrated_brier"](_at(outcomes, outcomes.times, known)) == 0


def test_censoring_is_undone_in_the_brier_score_too():
    """Of 4,000 patients, half of them censored, nearly the score of the same patients without any censoring."""
    random = np.random.default_rng(0)
    risk = random.normal(size=4000)
    died, lost = random.exponential(np.exp(-risk)), random.exponential(1.0, 4000)
    seen = survival(np.minimum(died, lost), died <= lost, risk)
    times = np.array([0.2, 0.5, 1.0])
    curves = np.exp(-np.exp(risk)[:, None] * times)
    whole = ((curves - (died[:, None] > times)) ** 2).mean()
    assert METRICS["integrated_brier"](_at(seen, times, curves)) == pytest.approx(whole, abs=0.004)


def test_a_time_that_nobody_outlives_is_left_out_of_the_brier_score():
    outcomes = survival([1.0, 2.0, 3.0], [True, True, False], np.zeros(3))
    curves = np.array([[0.5, 0.1], [0.6, 0.1], [0.9, 0.1]])
    expected = (0.5**2 + 0.4**2 + 0.1**2) / 3
    assert METRICS["integrated_brier"](_at(outcomes, [1.5, 3.0], curves)) == pytest.approx(expected)
    assert math.isnan(METRICS["integrated_brier"](_at(outcomes, [3.0, 4.0], curves)))
    time, event = outcomes.target["time"], outcomes.target["event"]
    assert brier_without_skill(time, event, np.array([1.5, 3.0])) == pytest.approx(2 / 3 * 1 / 3)
    assert brier_without_skill(time, event, np.array([3.0, 4.0])) is None
    assert math.isnan(METRICS["integrated_brier"](_at(outcomes, [1.5, 3.0], np.empty((3, 0)))))


def test_survival_is_judged_until_nine_tenths_of_the_events():
    time, event = np.arange(1.0, 21.0), np.tile([True, False], 10)
    times = brier_times(time, event)  # events at 1, 3 .. 19, of which nine come until 17
    np.testing.assert_allclose(times, 17 * (np.arange(20) + 0.5) / 20)
    np.testing.assert_allclose(brier_times(time, np.zeros(20, bool))[-1], 18 * 19.5 / 20)
    assert not brier_times(np.zeros(3), np.ones(3, bool)).any()


@pytest.mark.parametrize("ties", [True, False])
def test_metrics_of_values_equal_sklearn_and_scipy(ties):
    for seed in SEEDS:
        outcomes = values(30, seed, ties)
        true, guess = outcomes.target, outcomes.prediction
        assert METRICS["r2"](outcomes) == pytest.approx(sk.r2_score(true, guess), abs=1e-12)
        assert METRICS["mean_absolute_error"](outcomes) == pytest.approx(sk.mean_absolute_error(true, guess))
        assert METRICS["pearson"](outcomes) == pytest.approx(pearsonr(true, guess).statistic, abs=1e-12)
        assert METRICS["spearman"](outcomes) == pytest.approx(spearmanr(true, guess).statistic, abs=1e-12)


def test_undefined_metrics_are_nan():
    one = classes(10, 2, 0).take(np.array([0, 0, 0]))
    assert one.one_class
    for name in ("auc", "average_precision", "quadratic_kappa", "somers_d", "sensitivity"):
        assert math.isnan(METRICS[name](one)), name
    assert METRICS["specificity"](one) == METRICS["accuracy"](one)
    missing = classes(30, 3, 0)
    for name in ("auc", "average_precision"):
        assert math.isnan(METRICS[name](missing.take(missing.target != 2))), name
    for name in ("c_index", "time_dependent_auc"):
        assert math.isnan(METRICS[name](survival([1.0, 2.0], [False, False], np.zeros(2)))), name
    same = Outcomes(np.full(7, 0.1), np.arange(7.0))
    for name in ("r2", "pearson", "spearman"):
        assert math.isnan(METRICS[name](same)), name
    assert math.isnan(METRICS["pearson"](Outcomes(np.arange(7.0), np.full(7, 0.1))))


@pytest.mark.parametrize("name", METRICS)
def test_of_no_case_a_metric_is_nan(name):
    for outcomes in of_kind(KIND_OF[name], 12, 0):
        assert math.isnan(METRICS[name](outcomes.take(np.zeros(0, int))))


@pytest.mark.parametrize("name", METRICS)
def test_the_order_of_the_cases_does_not_matter_and_bounds_hold(name):
    low, high = tasks.METRICS[name].bounds
    for seed in SEEDS:
        for outcomes in of_kind(KIND_OF[name], 25, seed):
            value = METRICS[name](outcomes)
            order = np.random.default_rng(seed).permutation(25)
            assert METRICS[name](outcomes.take(order)) == pytest.approx(value, abs=1e-12)
            assert low <= value <= high


@pytest.mark.parametrize("name", [name for name, facts in tasks.METRICS.items() if facts.ranks])
def test_a_ranking_metric_sees_the_order_of_scores_alone(name):
    for outcomes in of_kind(KIND_OF[name], 30, 3):
        stretched = np.exp(3 * outcomes.prediction) if outcomes.prediction.ndim == 2 else outcomes.prediction**3 + 1
        if name == "somers_d":  # it orders by the expected grade, which is no monotone function of the columns
            grade = outcomes.prediction @ np.arange(outcomes.n_classes)
            outcomes = Outcomes(outcomes.target, np.stack([-grade, grade], axis=1))
            stretched = outcomes.prediction**3
        assert METRICS[name](Outcomes(outcomes.target, stretched)) == pytest.approx(METRICS[name](outcomes), abs=1e-12)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_prediction_that_is_no_number_is_never_scored(wrong):
    """The review's case: NaN of all classes was counted as the first class."""
    with pytest.raises(ValueError, match="1 of 4 predictions are no finite number"):
        Outcomes(np.array([1, 0, 1, 0]), np.array([[0.2, 0.8], [wrong, wrong], [0.6, 0.4], [0.9, 0.1]]))
    with pytest.raises(ValueError, match="2 of 3 predictions"):
        Outcomes(np.zeros(3), np.array([wrong, 1.0, wrong]))


def test_every_metric_that_is_named_is_computed_and_the_other_way_round():
    assert set(METRICS) == set(tasks.METRICS) - set(tasks.RETRIEVAL)
    assert list(tasks.RETRIEVAL) == list(MEASURES)
    assert all(kind.headline in kind.metrics for kind in tasks.KINDS.values())


def test_what_is_of_two_classes_alone_is_left_out_of_more():
    assert set(metrics_of("classification", 2)) - set(metrics_of("classification", 3)) == {"sensitivity", "specificity"}
    assert "auc" not in metrics_of("ordinal") and metrics_of("ordinal", 4) == metrics_of("ordinal")


@pytest.mark.parametrize("name", [name for name, metric in tasks.METRICS.items() if metric.chance is not None])
def test_chance_is_what_guessing_scores(name):
    """Predictions that know nothing of 2,000 patients score the metric's level of chance; for R squared, the mean."""
    random, kind = np.random.default_rng(0), tasks.KINDS[KIND_OF[name]]
    if kind.has_classes:
        guessed = Outcomes(random.integers(0, 3, 2000), random.dirichlet(np.ones(3), 2000))
    elif KIND_OF[name] == "regression":
        guessed = Outcomes(random.normal(size=2000), 0.01 * random.normal(size=2000))
    else:
        guessed = survival(random.random(2000), random.random(2000) < 0.5, random.random(2000))
    assert METRICS[name](guessed) == pytest.approx(tasks.METRICS[name].chance, abs=0.05)
