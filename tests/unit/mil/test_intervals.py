"""Intervals against closed forms, simulations with known truth, and published corrections."""

import math

import numpy as np
import pytest
from scipy import stats

from tests.benchmarks.coverage import Condition, run, scores_of_cohort
from workflow_scripts.core.tasks import METRICS as FACTS
from workflow_scripts.mil.intervals import covers, difference, holm, interval, spread
from workflow_scripts.mil.metrics import METRICS, Outcomes, jackknife
from workflow_scripts.mil.variance import Scores, influence, learning_effect, mean_of, variance

UNIT = (0.0, 1.0)


def scores(values, influences, design="folds", ratio=4.0, smallest=30, group=None, **more):
    moved = np.array(influences, float)
    group = np.zeros(moved.shape[1], int) if group is None else group
    return Scores(np.array(values, float), moved, design, ratio, group, smallest, **more)


def test_degrees_of_freedom_are_welchs_up_to_half_of_the_patients():
    """Of two groups, those of the t test of unequal variances (scipy's `ttest_ind`)."""
    random = np.random.default_rng(9)
    one, two = random.normal(size=12), random.normal(size=50) * 0.2
    welch = stats.ttest_ind(one, two, equal_var=False).df
    moved = np.concatenate([(x - x.mean()) / np.sqrt(len(x) * (len(x) - 1)) for x in (one, two)])
    group = np.repeat([0, 1], [12, 50])
    assert scores([0.7], moved[None], group=group).degrees == pytest.approx(welch)
    assert scores([0.7], moved[None], group=group, strata=4).degrees == pytest.approx(welch - 3)
    alike = np.tile([0.1, -0.1], 20)
    assert scores([0.7], alike[None]).degrees == 39 / 2
    assert scores([0.7], alike[None], "held_out").degrees == pytest.approx(39)
    assert scores([0.7], alike[None] * 0, smallest=12).degrees == 11


def test_jackknife_influence_gives_the_variance_of_a_mean():
    right = np.random.default_rng(0).random(40) < 0.7
    n, share = len(right), right.mean()
    moved = influence(share, (right.sum() - right) / (n - 1))
    assert (moved**2).sum() == pytest.approx(right.var(ddof=1) / n)


def test_jackknife_variance_of_the_auc_is_near_delongs():
    """DeLong, DeLong and Clarke-Pearson (1988), from placement values; the two agree up to terms of 1 / n."""
    random = np.random.default_rng(1)
    label = np.arange(200) % 2
    score = random.normal(size=200) + label
    wins = (score[label == 1][:, None] > score[label == 0]).astype(float)
    delong = wins.mean(axis=1).var(ddof=1) / 100 + wins.mean(axis=0).var(ddof=1) / 100
    outcomes = Outcomes(label, np.stack([-score, score], axis=1))
    moved = influence(METRICS["auc"](outcomes), jackknife("auc", outcomes, np.arange(200)))
    assert (moved**2).sum() == pytest.approx(delong, rel=0.02)


def test_variance_of_folds_adds_what_is_learnt_up_to_what_is_tested():
    tested = np.tile([0.01, -0.02, 0.03], (2, 1))
    total = float((tested[0] ** 2).sum())
    assert variance(scores([0.7, 0.7], tested)) == pytest.approx(total)  # models that never differ: nothing to learn
    noisy = tested + np.array([[0.001], [-0.001]])
    within = 3 * 2 * 0.001**2
    patients = total - within / 2
    assert variance(scores([0.7, 0.7], noisy)) == pytest.approx(patients + 4 * within + within / 2)
    assert variance(scores([0.7, 0.7], noisy, ratio=1e6)) == pytest.approx(2 * patients + within / 2)
    assert variance(scores([0.7, 0.7], noisy, ranking_noise=within)) == pytest.approx(patients + within / 2)
    half = variance(scores([0.7, 0.7], noisy, learnt_again=0.5))
    assert half == pytest.approx(patients + 2 * within + within / 2)


def test_learning_effect_is_what_a_patient_moves_by_being_learnt_from():
    """Tests of a known model: a patient's own part, and what each other moves it by unless both share a fold."""
    random = np.random.default_rng(5)
    repeats, patients, folds, deals = 3, 12, 3, 8000
    moves = random.normal(size=(patients, patients))
    np.fill_diagonal(moves, 0.0)
    own = random.normal(size=patients)
    fold = np.array([[random.permutation(patients) % folds for _ in range(repeats)] for _ in range(deals)])
    apart = fold[..., :, None] != fold[..., None, :]
    influences = own + (apart * moves).sum(axis=-1)
    found = np.mean([learning_effect(*deal) for deal in zip(influences, fold, strict=True)], axis=0)
    expected = moves.sum(axis=0) * (1 - 1 / folds)
    # what all others move a test by cannot be told from its own part: folds are of one size
    constant = moves.sum(axis=1).sum() / (patients - 1) - moves.sum(axis=1) / (patients - 1)
    assert found == pytest.approx(expected - constant * (1 - 1 / folds), abs=0.15)


def test_what_learning_takes_back_lessens_the_variance():
    """With c = 1 of all pairs nothing changes, with 0 half of them goes, and patients few for the width keep all."""
    random = np.random.default_rng(6)
    noise = (random.normal(size=400) * 2 + random.normal(size=(2, 400))) * 0.01
    plain = scores([0.7, 0.7], noise)
    told = variance(plain)
    mean, within = noise.mean(axis=0), noise.var(axis=0, ddof=1).sum()
    pairs = min(4 * within, float((mean**2).sum()) - within / 2)
    same = scores([0.7, 0.7], noise, learning=mean * pairs / (mean**2).sum(), width=16)
    assert variance(same) == pytest.approx(told)
    none = scores([0.7, 0.7], noise, learning=mean * 0, width=16)
    common = 40 / 400
    assert variance(none) == pytest.approx(told + pairs * ((1 + common) ** 2 / 2 - 2))
    wide = scores([0.7, 0.7], noise, learning=mean * 0, width=160)
    assert (
        variance(none)
        < variance(wide)
        == told
        == variance(none.minus(scores([0, 0], noise * 0, learning=mean * 0, width=160)))
    )


@pytest.mark.parametrize(
    "kind, head, metric",
    [
        ("regression", "ridge", "r2"),
        pytest.param("classification", "logistic", "brier", marks=pytest.mark.slow),
    ],
)
def test_variance_of_a_loss_without_signal_is_that_of_cohorts(kind, head, metric):
    """Models that make squared errors small take back half of what tests of pairs add; else it is 2.7 times as much."""
    condition = Condition(head, kind, 200, signal=False)
    found = [one for seed in range(40) for one in scores_of_cohort(condition, 5, 5, seed)[metric]]
    truth = np.var([one.value for one in found], ddof=1)
    assert 0.7 < np.mean([variance(one) for one in found]) / truth < 1.8


def test_what_learning_takes_back_is_never_more_than_all_nor_less_than_nothing():
    random = np.random.default_rng(6)
    noise = (random.normal(size=400) * 2 + random.normal(size=(2, 400))) * 0.01
    told = [variance(scores([0.7, 0.7], noise, learning=noise.mean(axis=0) * c, width=16)) for c in (-100, 0, 100)]
    assert told[0] == told[1] < told[2] == variance(scores([0.7, 0.7], noise))


def test_learning_of_a_difference_and_of_several_trainings_is_their_difference_and_mean():
    moved, known = np.ones((2, 3)), [np.array([1.0, 2.0, 4.0]), np.array([3.0, 1.0, 0.0])]
    first, second = (scores([0.7, 0.7], moved, learning=one) for one in known)
    without = scores([0.7, 0.7], moved)
    np.testing.assert_array_equal(first.minus(second).learning, known[0] - known[1])
    np.testing.assert_array_equal(mean_of([first, second]).learning, (known[0] + known[1]) / 2)
    assert first.minus(without).learning is None and without.minus(first).learning is None
    assert mean_of([first, without]).learning is None


def test_metrics_that_go_with_the_shares_have_no_interval_where_a_class_is_rare():
    rare, enough, equal = (scores([0.7], np.zeros((1, 40)), share=share) for share in (0.59, 0.6, 0.9))
    for name in ("accuracy", "macro_f1"):
        assert not covers(FACTS[name], rare) and covers(FACTS[name], enough)
        assert covers(FACTS[name], scores([0.7], np.zeros((1, 40)), "held_out", share=0.59))
    assert not covers(FACTS["brier"], enough) and covers(FACTS["brier"], equal)
    assert covers(FACTS["auc"], rare) and covers(FACTS["balanced_accuracy"], rare)
    assert not covers(FACTS["calibration_error"], equal)


def test_variance_of_one_deal_takes_the_bound_and_of_a_held_out_part_the_tested_alone():
    moved = [[0.01, -0.02, 0.03]]
    total = 0.01**2 + 0.02**2 + 0.03**2
    assert variance(scores([0.7], moved)) == pytest.approx(2 * total)
    assert variance(scores([0.7], moved, "held_out")) == pytest.approx(total)


def test_draws_have_nadeau_and_bengios_corrected_interval():
    values = np.array([0.71, 0.68, 0.75, 0.7, 0.66, 0.73, 0.69, 0.72, 0.7, 0.74])
    one = scores(values, np.zeros((10, 5)), "draws", ratio=845 / 98)
    found = interval(one, (-math.inf, math.inf))
    error = math.sqrt((1 / 10 + 98 / 845) * values.var(ddof=1))
    low, high = stats.t.interval(0.95, 9, loc=values.mean(), scale=error)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_undefined_repeats_are_left_out_and_none_gives_no_interval():
    some = scores([0.6, math.nan, 0.8], np.full((3, 4), 0.02))
    assert some.value == pytest.approx(0.7)
    assert math.isfinite(interval(some, UNIT).low)
    none = interval(scores([math.nan] * 2, np.zeros((2, 4))), UNIT)
    assert math.isnan(none.value) and math.isnan(none.low)
    assert math.isnan(interval(scores([math.nan, 0.5], np.zeros((2, 4)), "draws"), UNIT).low)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("smallest", [5, 12, 100])
def test_an_interval_is_never_a_point(value, smallest):
    """Of a share of 1 in m cases the lower limit is near 1 - 3 / m, the rule of three, and not above it by much."""
    found = interval(scores([value] * 3, np.zeros((3, 40)), smallest=smallest), UNIT)
    assert found.low <= value <= found.high
    open_end = found.low if value == 1 else 1 - found.high
    assert 1 - 9 / smallest < open_end < 1 - 2 / smallest
    assert (found.high if value == 1 else found.low) == value


def test_intervals_stay_within_the_bounds_of_the_metric():
    wide = np.random.default_rng(0).normal(size=(4, 30)) * 0.1
    for bounds, value in ((UNIT, 0.97), ((-1.0, 1.0), -0.9), ((-math.inf, 1.0), 0.9), ((0.0, math.inf), 0.1)):
        found = interval(scores([value] * 4, wide), bounds)
        assert bounds[0] <= found.low < value < found.high <= bounds[1]


def test_difference_is_a_t_test_on_the_same_patients():
    random = np.random.default_rng(3)
    first, second = (scores([0.8, 0.81], random.normal(size=(2, 50)) * 0.01, "folds", smallest=20) for _ in range(2))
    found, p = difference(first, second, UNIT)
    error = math.sqrt(variance(first.minus(second)))
    assert found.value == pytest.approx(0.0)
    second = scores([0.7, 0.71], second.influence, smallest=20)
    found, p = difference(first, second, UNIT)
    degrees = first.minus(second).degrees
    assert p == pytest.approx(2 * stats.t.sf(0.1 / error, degrees))
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, degrees, loc=0.1, scale=error))
    swapped, same = difference(second, first, UNIT)
    assert (swapped.low, swapped.high, same) == pytest.approx((-found.high, -found.low, p))


def test_two_perfect_representations_differ_by_nothing_and_not_for_certain():
    perfect = scores([1.0] * 3, np.zeros((3, 24)), smallest=12)
    found, p = difference(perfect, perfect, UNIT)
    assert (found.value, p) == (0.0, 1.0)
    assert found.low < -0.05 and found.high > 0.05


def test_trainings_enter_by_their_spread():
    """Of P trainings the mean has the patients' variance and that of the seeds over P (Welch and Satterthwaite)."""
    moved = np.random.default_rng(5).normal(size=(3, 40)) * 0.02
    ones = [scores([value] * 3, moved, smallest=20) for value in (0.6, 0.7, 0.8)]
    both = mean_of(ones)
    assert both.value == pytest.approx(0.7)
    patients, seeds = variance(ones[0]), 0.1**2 / 3
    found = interval(both, (-math.inf, math.inf))
    assert found.error == pytest.approx(math.sqrt(patients + seeds))
    degrees = (patients + seeds) ** 2 / (patients**2 / ones[0].degrees + seeds**2 / 2)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, degrees) * found.error)
    assert mean_of(ones[:1]) is ones[0]
    other = scores([0.7] * 3, moved, smallest=20)
    least = 0.41 * math.sqrt(2) / 20  # the same patients move both, so that of them only the least error is left
    assert difference(both, other, UNIT)[0].error == pytest.approx(math.sqrt(least**2 + seeds))
    again = mean_of([scores([value] * 3, moved, smallest=20) for value in (0.5, 0.6, 0.7)])
    assert difference(both, again, UNIT)[0].error == pytest.approx(least)  # seed by seed the difference is the same


def test_holm_is_the_published_step_down():
    """Against the definition: reject in order while p(k) <= alpha / (n - k + 1), at every level."""
    random = np.random.default_rng(6)
    for _ in range(200):
        p = random.random(random.integers(1, 9)) ** 2
        adjusted = holm(p)
        for alpha in random.random(5):
            order, rejected = np.argsort(p), np.zeros(len(p), bool)
            for k, index in enumerate(order):
                if p[index] > alpha / (len(p) - k):
                    break
                rejected[index] = True
            assert ((adjusted <= alpha) == rejected).all()
    assert np.isnan(holm(np.array([math.nan, 0.01]))[0]) and holm(np.array([math.nan, 0.01]))[1] == 0.01


def test_spread():
    assert spread(np.array([1.0, 3.0, math.nan])) == pytest.approx(math.sqrt(2))
    assert math.isnan(spread(np.array([1.0, math.nan])))


def test_half_of_what_a_threshold_owes_to_its_training_patients_is_linear_in_them():
    """Of the step at 0 of a Gaussian margin, density squared is the linear part of the variance, Phi (1 - Phi) all."""
    margin = np.linspace(-9, 9, 20001)
    share = stats.norm.cdf(margin)
    assert (stats.norm.pdf(margin) ** 2).sum() / (share * (1 - share)).sum() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("condition", "metrics"),
    [
        (Condition("knn", "classification", 60, signal=False), ["auc", "balanced_accuracy", "brier"]),
        pytest.param(Condition("ridge", "regression", 60, signal=True), ["r2", "spearman"], marks=pytest.mark.slow),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_intervals_cover_and_equals_are_not_called_different(condition, metrics):
    """The small part of `tests.benchmarks.coverage`: 100 cohorts, two intervals each, so limits of four errors.

    The bootstrap of cross-validated predictions covers 0.81 to 0.87 of such cohorts and tells equals apart in 0.14.
    """
    found = run(condition, cohorts=100, repeats=5)["metrics"]
    for metric in metrics:
        assert 0.90 <= found[metric]["coverage"] <= 1.0, metric
        assert found[metric]["different"] <= 0.10, metric


def test_what_rounding_leaves_of_equal_predictions_is_no_interval():
    moved = np.random.default_rng(1).normal(size=(3, 24))
    one, same = scores([0.3] * 3, moved), scores([0.3 + 1e-16] * 3, moved * (1 + 1e-15))
    found, p = difference(one, same, (-math.inf, 1.0))
    assert math.isnan(found.low) and math.isnan(found.high) and math.isnan(p)
