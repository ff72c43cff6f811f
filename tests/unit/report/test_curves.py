import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from lifelines.statistics import logrank_test
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, confusion_matrix, precision_recall_curve, roc_auc_score, roc_curve

from tests.unit.report.results_folder import CLASSES
from workflow_scripts.core.tasks import KINDS
from workflow_scripts.report.curves import (
    by_patient,
    calibration,
    confusion,
    kaplan_meier,
    log_rank,
    mean_curve,
    precision_recall,
    risk_halves,
    roc,
    thin,
)


@pytest.fixture
def survival():
    random = np.random.default_rng(3)
    return np.ceil(random.exponential(20, 80)), random.random(80) < 0.6, random.random(80) < 0.4  # many ties


def test_kaplan_meier_equals_lifelines(survival):
    time, event, _ = survival
    times, estimate = kaplan_meier(time, event)
    expected = KaplanMeierFitter().fit(time, event).survival_function_at_times(times).to_numpy()
    np.testing.assert_allclose(estimate, expected, atol=1e-12)
    assert set(times) == {0.0, *time[event]}


def test_kaplan_meier_without_events_stays_at_one():
    times, estimate = kaplan_meier(np.array([3.0, 5.0]), np.array([False, False]))
    assert times.tolist() == [0.0] and estimate.tolist() == [1.0]


def test_log_rank_equals_lifelines(survival):
    time, event, group = survival
    expected = logrank_test(time[group], time[~group], event[group], event[~group]).p_value
    assert log_rank(time, event, group).p == pytest.approx(expected, rel=1e-9)


def test_log_rank_says_which_group_has_more_events_than_expected():
    time, event = np.arange(1.0, 21), np.ones(20, bool)
    early = time <= 10
    assert log_rank(time, event, early).excess > 0 > log_rank(time, event, ~early).excess
    assert log_rank(time, event, early).p == pytest.approx(log_rank(time, event, ~early).p)


def test_log_rank_of_one_group_is_nan(survival):
    time, event, _ = survival
    assert np.isnan(log_rank(time, event, np.zeros(len(time), bool)).p)


def test_roc_with_ties_equals_sklearn():
    random = np.random.default_rng(0)
    label, score = random.random(200) < 0.4, random.integers(0, 12, 200) / 12
    fpr, tpr, area = roc(label, score)
    expected = roc_curve(label, score, drop_intermediate=False)
    np.testing.assert_allclose(fpr, expected[0])
    np.testing.assert_allclose(tpr, expected[1])
    assert area == pytest.approx(roc_auc_score(label, score))


def test_precision_and_recall_with_ties_equal_sklearn():
    random = np.random.default_rng(1)
    label, score = random.random(200) < 0.3, random.integers(0, 12, 200) / 12
    recall, precision, area = precision_recall(label, score)
    expected = precision_recall_curve(label, score, drop_intermediate=False)
    np.testing.assert_allclose(precision[::-1], expected[0][:-1])
    np.testing.assert_allclose(recall[::-1], expected[1][:-1])
    assert area == pytest.approx(average_precision_score(label, score))


def test_a_mean_of_curves_has_the_mean_of_their_areas_and_their_ends():
    random = np.random.default_rng(2)
    curves = [roc(random.random(60) < 0.5, random.random(60)) for _ in range(8)]
    x, y = mean_curve([(x, y) for x, y, _ in curves])
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(y, x) == pytest.approx(np.mean([area for _, _, area in curves]), abs=0.01)
    alone = mean_curve([curves[0][:2]])
    assert alone[0] is curves[0][0] and alone[1] is curves[0][1]


def test_calibration_equals_sklearn():
    random = np.random.default_rng(3)
    probability = random.random(300) ** 2
    hit = random.random(300) < probability
    found = calibration(probability, hit)
    observed, predicted = calibration_curve(hit, probability, n_bins=10)
    np.testing.assert_allclose(found.observed, observed)
    np.testing.assert_allclose(found.predicted, predicted)
    assert found.size.sum() == 300
    assert calibration(np.array([0.0, 1.0]), np.array([False, True])).predicted.tolist() == [0, 1]


def test_confusion_equals_sklearn():
    random = np.random.default_rng(0)
    label, predicted = random.integers(0, 3, 90), random.integers(0, 3, 90)
    np.testing.assert_array_equal(confusion(label, predicted, 3), confusion_matrix(label, predicted, labels=[0, 1, 2]))


def test_a_patients_slides_are_averaged():
    base = {"fold": 0, "label": "squamous", "risk": None, "time": None, "event": None}
    rows = [
        {**base, "slide_id": "a", "patient_id": "p1", "probabilities": [0.2, 0.8]},
        {**base, "slide_id": "b", "patient_id": "p1", "probabilities": [0.6, 0.4]},
        {**base, "slide_id": "c", "patient_id": "p2", "label": "adeno", "probabilities": [0.9, 0.1]},
        {**base, "slide_id": "d", "patient_id": "p3", "probabilities": [float("nan"), 0.1]},
    ]
    patients = by_patient(rows, KINDS["classification"], CLASSES["subtype"])
    np.testing.assert_allclose(patients.scores, [[0.4, 0.6], [0.9, 0.1]])
    assert patients.truth["label"].tolist() == [1, 0]


def _row(patient, repeat, fold, probability, **more):
    keys = {"slide_id": f"{patient}-1", "patient_id": patient, "label": "adeno", "repeat": repeat, "fold": fold}
    return {**keys, "probabilities": [1 - probability, probability], "budget": "all", "seed": 0, **more}


def test_repeats_stay_apart_and_one_seed_of_the_whole_training_part_is_taken():
    rows = [
        _row("p1", 0, 0, 0.2), _row("p1", 0, 0, 0.9, seed=1), _row("p1", 1, 1, 0.4), _row("p2", 0, 1, 0.6),
        _row("p1", 0, 0, 0.8, budget="25%"), _row("p2", 1, 0, 0.7, slide_id="p2-2"), _row("p2", 1, 0, 0.5),
    ]  # fmt: skip
    patients = by_patient(rows, KINDS["classification"], CLASSES["subtype"])
    assert list(zip(patients.repeat, patients.fold, patients.scores[:, 1].round(6), strict=True)) == [
        (0, 0, 0.2), (0, 1, 0.6), (1, 0, 0.6), (1, 1, 0.4)
    ]  # fmt: skip
    assert patients.first_repeat().scores[:, 1].tolist() == [0.2, 0.6]
    assert [len(part.fold) for part in patients.parts()] == [2, 2]
    assert [len(part.fold) for part in patients.parts(by_fold=True)] == [1, 1, 1, 1]
    slides = by_patient(rows, KINDS["classification"], CLASSES["subtype"], unit="slide_id")
    assert len(slides.fold) == 5
    few = [_row("p1", 0, 0, 0.1, budget="1/class"), _row("p1", 0, 0, 0.3, budget="8/class")]
    assert by_patient(few, KINDS["classification"], CLASSES["subtype"]).scores[:, 1].tolist() == [0.3]


def test_risk_is_halved_within_each_fold():
    risk, fold = np.array([1.0, 2, 3, 4, 100, 200, 300, 400]), np.repeat([0, 1], 4)
    assert risk_halves(risk, fold).tolist() == [False, False, True, True] * 2


def test_thin_keeps_the_mean_of_equal_bins_and_short_curves():
    values = np.arange(1000.0)
    np.testing.assert_allclose(thin(values, 100), values.reshape(100, 10).mean(1))
    assert thin(values[:5], 100) is not values and thin(values[:5], 100).tolist() == [0, 1, 2, 3, 4]
