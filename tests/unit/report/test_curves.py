import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from lifelines.statistics import logrank_test
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from tests.unit.report.results_folder import CLASSES
from workflow_scripts.core.tasks import KINDS
from workflow_scripts.report.curves import by_patient, confusion, kaplan_meier, log_rank, risk_halves, roc, thin


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
    assert log_rank(time, event, group) == pytest.approx(expected, rel=1e-9)


def test_log_rank_of_one_group_is_nan(survival):
    time, event, _ = survival
    assert np.isnan(log_rank(time, event, np.zeros(len(time), bool)))


def test_roc_with_ties_equals_sklearn():
    random = np.random.default_rng(0)
    label, score = random.random(200) < 0.4, random.integers(0, 12, 200) / 12
    fpr, tpr, area = roc(label, score)
    expected = roc_curve(label, score, drop_intermediate=False)
    np.testing.assert_allclose(fpr, expected[0])
    np.testing.assert_allclose(tpr, expected[1])
    assert area == pytest.approx(roc_auc_score(label, score))


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


def test_risk_is_halved_within_each_fold():
    risk, fold = np.array([1.0, 2, 3, 4, 100, 200, 300, 400]), np.repeat([0, 1], 4)
    assert risk_halves(risk, fold).tolist() == [False, False, True, True] * 2


def test_thin_keeps_the_mean_of_equal_bins_and_short_curves():
    values = np.arange(1000.0)
    np.testing.assert_allclose(thin(values, 100), values.reshape(100, 10).mean(1))
    assert thin(values[:5], 100) is not values and thin(values[:5], 100).tolist() == [0, 1, 2, 3, 4]
