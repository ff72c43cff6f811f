"""Heads on slide vectors against independent fits, and what all heads have in common."""

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from tests.unit.mil.cohorts import NONE, bags_of, class_bags, joined, number_bags, of_patients, predict, survival_bags
from workflow_scripts.config import HeadSettings
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.heads import HEADS, default_heads, head_entry, heads_for
from workflow_scripts.core.tasks import KINDS
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Job, balanced
from workflow_scripts.mil.heads import make_head
from workflow_scripts.mil.heads.cox import log_partial_likelihood
from workflow_scripts.mil.heads.cumulative_link import CumulativeLink
from workflow_scripts.mil.inner import inner_folds

VECTOR_HEADS = [name for name, head in HEADS.items() if head.light]
# those on sets of prototypes are in test_matching_knn.py
CASES = [(name, kind) for name, head in HEADS.items() if not head.prototypes for kind in head.kinds]
# networks take an ordinal task for one of classes
APART = [(name, kind) for name, kind in CASES if HEADS[name].light or kind != "ordinal"]
OF_CLASSES = [name for name, kind in CASES if kind == "classification"]
FEW = {"epochs": 3, "hidden": 16, "attention": 8}  # so that networks take little time


def scaled(train, *others):
    centre, spread = train.vectors.astype(float).mean(axis=0), train.vectors.astype(float).std(axis=0)
    return [(bags.vectors - centre) / spread for bags in (train, *others)]


def components(bags, n_components):
    """Principal components of standardised vectors, by SVD."""
    values = scaled(bags)[0]
    return values @ np.linalg.svd(values, full_matrices=False)[2][:n_components].T


def test_registry_refuses_unknown_and_unfit_heads():
    with pytest.raises(UserError, match=r"head tree is unknown.*use one of knn,.*logistic, abmil"):
        make_head("tree", "classification", {})
    with pytest.raises(UserError, match="head cox is not made for ordinal tasks"):
        make_head("cox", "ordinal", {})
    with pytest.raises(UserError, match="use one of cox"):
        make_head("knn", "survival", {})


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_head_of_the_table_predicts_what_its_kinds_hold(name, kind):
    """The table names modules, classes and sections in words, so a slip of the pen shows here."""
    settings = HeadSettings().of(name) | {"epochs": 1}
    assert all(section in HeadSettings.model_fields for section in head_entry(name, kind).settings)
    bags = bags_of(kind, 24)
    jobs = [Job(np.arange(4, 24), NONE, np.array([3, 0, 1]), 5), Job(np.arange(20), NONE, np.arange(20, 24), 6)]
    predictions = make_head(name, kind, settings).predict(bags, jobs)
    width = (2,) if kind in ("classification", "ordinal") else ()
    assert [values.shape for values in predictions] == [(3, *width), (4, *width)]
    assert all(values.dtype == np.float64 and np.isfinite(values).all() for values in predictions)
    if width:
        np.testing.assert_allclose(predictions[0].sum(axis=1), 1.0)


def test_heads_of_a_task_unless_it_names_them():
    assert default_heads("classification") == ["knn", "logistic", "abmil"]
    assert default_heads("survival")[0] == "cox"
    assert all(set(default_heads(kind)) <= set(heads_for(kind)) for kind in KINDS)


def test_light_heads_are_those_on_vectors_and_have_no_chance_in_them():
    assert set(VECTOR_HEADS) >= {"knn", "logistic", "cox", "ridge", "cumulative_link"}
    assert not any(HEADS[name].seeded or HEADS[name].wants_gpu for name in VECTOR_HEADS)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", OF_CLASSES)
def test_heads_find_a_planted_signal(name, n_classes):
    train, test = class_bags(45, n_classes, seed=1, shift=3.0), class_bags(45, n_classes, seed=2, shift=3.0)
    steps = {} if HEADS[name].light else {"batch_size": 9}  # few; the default schedule is tried in `test_mil_sets.py`
    probabilities = predict(name, "classification", train, test, **steps)
    assert probabilities.shape == (45, n_classes)
    assert (probabilities.argmax(axis=1) == test.target).mean() > 0.75


@pytest.mark.parametrize("name", OF_CLASSES)
def test_scale_of_a_feature_does_not_matter(name):
    """Heads standardise on the training slides, so units of a feature cannot change a prediction."""
    train, test = class_bags(30, seed=1), class_bags(10, seed=2)
    unit = np.array([1, 64, 1, 0.25, 1, 1024], np.float32)  # powers of two: exact

    def rescaled(bags):
        return Bags(bags.vectors * unit, [r * unit for r in bags.regions], bags.target, bags.n_classes)

    values = [
        predict(name, "classification", *map(convert, (train, test)), 3, **FEW) for convert in (lambda b: b, rescaled)
    ]
    np.testing.assert_allclose(*values, atol=1e-3)


@pytest.mark.parametrize(("name", "kind"), APART)
def test_test_slides_do_not_leak_into_the_fit(name, kind):
    """Predictions of one slide are the same whatever other slides are tested beside it."""
    bags = bags_of(kind, 30)
    train, test = bags.take(np.arange(8, 30)), bags.take(np.arange(8))
    both = predict(name, kind, train, test, **FEW)
    alone = np.concatenate([predict(name, kind, train, test.take(np.array([i])), **FEW) for i in (0, 7)])
    np.testing.assert_allclose(both[[0, 7]], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "kind"), [case for case in CASES if HEADS[case[0]].light])
def test_patients_count_not_slides(name, kind):
    """Slides that most patients have three times over are the same cohort, unless slides are counted."""
    bags = bags_of(kind, 30)
    train, test = bags.take(np.arange(24)), bags.take(np.arange(24, 30))
    uneven = np.repeat(np.arange(24), [3 if i % 3 else 1 for i in range(24)])
    copies = of_patients(train.take(uneven), [str(i) for i in uneven])
    choices = {"knn": {}, "logistic": {"c": 0.7}, "cumulative_link": {"c": 0.7}, "ridge": {"alpha": 2.0}}.get(name, {})
    expected = predict(name, kind, train, test, **choices)
    np.testing.assert_allclose(predict(name, kind, copies, test, **choices), expected, atol=1e-6)
    counted = Bags(copies.vectors, copies.regions, copies.target, copies.n_classes)
    other = predict(name, kind, counted, test, **choices)
    assert name == "knn" or np.abs(other - expected).max() > 1e-3


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("neighbours", [1, 5])
def test_knn_is_the_vote_of_the_nearest(metric, neighbours):
    train, test = class_bags(30, 3, seed=3), class_bags(12, 3, seed=4)
    near, far = scaled(train, test)
    found = predict("knn", "classification", train, test, metric=metric, neighbours=neighbours)
    for vector, probabilities in zip(far, found, strict=True):
        distance = np.linalg.norm(vector - near, axis=1)
        if metric == "cosine":
            distance = -near @ vector / np.linalg.norm(near, axis=1)
        votes = np.bincount(train.target[np.argsort(distance)[:neighbours]], minlength=3) / neighbours
        np.testing.assert_allclose(probabilities, votes)


@pytest.mark.parametrize(("patients", "voting"), [(2, 1), (3, 1), (4, 2), (9, 4), (10, 5), (11, 5)])
def test_at_most_half_of_the_patients_vote(patients, voting):
    """If all voted, every slide would have the same prediction."""
    train, test = class_bags(patients, seed=3), class_bags(40, seed=5)
    found = predict("knn", "classification", train, test)
    np.testing.assert_array_equal(found, predict("knn", "classification", train, test, neighbours=voting))
    assert len(np.unique(found, axis=0)) > 1
    head = make_head("knn", "classification", {"neighbours": 5, "metric": "euclidean"})
    assert head.fit(train, train.take(np.empty(0, np.int64)), 0) == ({} if voting == 5 else {"neighbours": voting})


def test_a_patient_votes_once_by_its_nearest_slide():
    vectors = np.array([[0.0], [0.1], [0.2], [1.0], [2.0], [9.0]], np.float32)
    label = np.array([0, 0, 0, 1, 1, 0])
    train = of_patients(Bags(vectors, [v[None] for v in vectors], label, 2), ["a", "a", "a", "b", "c", "d"])
    test = train.take(np.array([1]))
    np.testing.assert_allclose(predict("knn", "classification", train, test, neighbours=2), [[1 / 2, 1 / 2]])


def test_logistic_minimises_the_balanced_penalised_loss():
    train, test = class_bags(31, seed=6), class_bags(9, seed=7)  # 16 and 15 slides
    near, far = scaled(train, test)
    weight = (31 / (2 * np.bincount(train.target)))[train.target]
    sign = 2 * train.target - 1

    def loss(w):
        return (weight * np.logaddexp(0, -sign * (near @ w[:-1] + w[-1]))).sum() + 0.5 * w[:-1] @ w[:-1] / 0.3

    w = minimize(loss, np.zeros(7), options={"gtol": 1e-8}).x
    expected = 1 / (1 + np.exp(-(far @ w[:-1] + w[-1])))
    np.testing.assert_allclose(predict("logistic", "classification", train, test, c=0.3)[:, 1], expected, atol=1e-5)


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_logistic_is_solved_to_its_optimum_at_1024_dimensions(c):
    """Features with the spectrum of an encoder's: few strong directions and a long tail."""
    random = np.random.default_rng(0)
    basis = random.normal(size=(1024, 1024)) / np.arange(1, 1025)[:, None]
    vectors = (random.normal(size=(1000, 1024)) @ basis).astype(np.float32)
    label = (vectors @ random.normal(size=1024) / 3 + random.normal(size=1000) > 0).astype(np.int64)
    bags = Bags(vectors, [v[None] for v in vectors], label, 2)
    train, test = bags.take(np.arange(800)), bags.take(np.arange(800, 1000))
    scaler = StandardScaler().fit(train.vectors.astype(float))
    model = LogisticRegression(C=c, class_weight="balanced", solver="newton-cholesky", tol=1e-12, max_iter=1000)
    model.fit(scaler.transform(train.vectors.astype(float)), train.target)
    expected = model.predict_proba(scaler.transform(test.vectors.astype(float)))
    assert np.abs(predict("logistic", "classification", train, test, c=c) - expected).max() < 1e-4


def test_class_missing_in_training_gets_probability_zero():
    bags = class_bags(30, 3)
    for name in ("knn", "logistic"):
        values = predict(name, "classification", bags.take(bags.target != 1), bags)
        assert (values[:, 1] == 0).all()


def test_the_penalty_is_chosen_by_held_out_patients():
    """Noise in many dimensions asks for a strong penalty, a clear signal in few for a weak one."""
    random = np.random.default_rng(0)
    label = np.arange(60) % 2
    noise = random.normal(size=(60, 200)).astype(np.float32)
    clear = (random.normal(size=(60, 2)) + 6 * label[:, None]).astype(np.float32)
    strength = []
    for vectors in (noise, clear):
        head = make_head("logistic", "classification", {})
        head.predict(Bags(vectors, [v[None] for v in vectors], label, 2), [Job(np.arange(60), NONE, np.arange(2), 0)])
        strength.append(head.chosen[0]["c"])
    assert strength[0] <= 1e-3 and strength[1] >= 1


def test_validation_slides_choose_where_there_are_any():
    """Validation slides with turned labels like the weakest model best."""
    train = class_bags(40, shift=4.0)
    turned = Bags(train.vectors, train.regions, 1 - train.target, 2)
    both = joined(train, turned)
    head = make_head("logistic", "classification", {})
    head.predict(both, [Job(np.arange(40), np.arange(40, 80), np.arange(2), 0)])
    assert head.chosen == [{"c": 1e-4}]


def test_inner_folds_keep_patients_together_and_classes_in_each():
    bags = of_patients(class_bags(60), [f"p{i // 4}{i % 2}" for i in range(60)])
    folds = inner_folds(bags, 5, 0)
    assert len(folds) == 5
    patients = np.array(bags.patients)
    for fit, held in folds:
        assert not set(patients[fit]) & set(patients[held])
        assert set(bags.target[held]) == set(bags.target[fit]) == {0, 1}
    assert sorted(np.concatenate([held for _, held in folds])) == list(range(60))
    assert inner_folds(class_bags(3), 5, 0) == []  # one class has a single patient


def test_ridge_equals_another_solver_and_chooses_its_penalty():
    train, test = number_bags(50), number_bags(20, seed=1)
    near, far = scaled(train, test)
    for alpha in (0.5, 300.0):
        expected = Ridge(alpha=alpha, solver="cholesky").fit(near, train.target).predict(far)
        np.testing.assert_allclose(predict("ridge", "regression", train, test, alpha=alpha), expected, atol=1e-8)
    found = predict("ridge", "regression", train, test)
    assert np.corrcoef(found, test.target)[0, 1] > 0.9


def test_cumulative_link_maximises_the_likelihood_by_brute_force():
    random = np.random.default_rng(0)
    x = random.normal(size=(80, 2))
    grade = np.digitize(1.5 * x[:, 0] + random.logistic(size=80), [-1, 0.5, 2])
    weights, c = random.uniform(0.5, 2, 80), 0.8
    model = CumulativeLink(x, grade, weights, c)

    def loss(free):
        slopes, edges = free[:2], np.concatenate([[-1e9], free[2:], [1e9]])
        below = [1 / (1 + np.exp(-np.clip(edges[k] - x @ slopes, -500, 500))) for k in range(5)]
        of_grade = np.array([below[k + 1][i] - below[k][i] for i, k in enumerate(grade)])
        return -(weights * np.log(np.maximum(of_grade, 1e-300))).sum() + slopes @ slopes / (2 * c)

    best = minimize(
        loss, [0, 0, -1, 0, 1], method="Nelder-Mead", options={"maxiter": 20_000, "xatol": 1e-9, "fatol": 1e-12}
    )
    np.testing.assert_allclose([*model.slopes, *model.thresholds], best.x, atol=1e-4)
    np.testing.assert_allclose(model.probabilities(x).sum(axis=1), 1.0)


def test_cumulative_link_of_two_grades_is_logistic_regression():
    train, test = class_bags(40, seed=1), class_bags(20, seed=2)
    values = [predict(name, "ordinal", train, test, c=0.5) for name in ("cumulative_link", "logistic")]
    np.testing.assert_allclose(*values, atol=1e-5)


def test_cox_equals_lifelines_on_components_by_svd():
    bags = survival_bags()
    for l1_ratio in (0.0, 0.5):
        n_components = int(bags.target["event"].sum()) // 5
        table = pd.DataFrame(components(bags, n_components))
        table = table.assign(time=bags.target["time"], event=bags.target["event"])
        model = CoxPHFitter(penalizer=0.1, l1_ratio=l1_ratio).fit(table, "time", "event")
        found = predict("cox", "survival", bags, bags, l1_ratio=l1_ratio)
        np.testing.assert_allclose(found, model.predict_log_partial_hazard(table), atol=1e-5)


def test_cox_maximises_the_penalised_partial_likelihood():
    bags = survival_bags(seed=1)
    scores = components(bags, int(bags.target["event"].sum()) // 5)
    scores = (scores - scores.mean(axis=0)) / scores.std(axis=0, ddof=1)

    def loss(beta):
        eta = scores @ beta
        time = bags.target["time"]
        events = [eta[i] - np.log(np.exp(eta[time >= time[i]]).sum()) for i in np.flatnonzero(bags.target["event"])]
        return -sum(events) / len(eta) + 0.05 * beta @ beta

    beta = minimize(loss, np.zeros(scores.shape[1]), options={"gtol": 1e-8}).x
    np.testing.assert_allclose(predict("cox", "survival", bags, bags), scores @ beta, atol=1e-3)


def test_the_partial_likelihood_equals_its_sum():
    bags, random = survival_bags(40, ties=True), np.random.default_rng(0)
    risk, time = random.normal(size=40), bags.target["time"]
    expected = sum(risk[i] - np.log(np.exp(risk)[time >= time[i]].sum()) for i in np.flatnonzero(bags.target["event"]))
    assert log_partial_likelihood(risk, bags.target) == pytest.approx(expected)


def test_cox_components_are_by_patients_with_an_event():
    """Six slides a patient are no six events: 20 patients allow four components."""
    bags = survival_bags(20)
    target = bags.target.copy()
    target["event"] = True
    slides = np.repeat(np.arange(20), 6)
    random = np.random.default_rng(0)
    vectors = random.normal(size=(120, 40)).astype(np.float32)
    many = of_patients(Bags(vectors, [v[None] for v in vectors], target[slides], 0), [str(i) for i in slides])
    head = make_head("cox", "survival", {})
    head.predict(many, [Job(np.arange(120), NONE, np.arange(3), 0)])
    assert head.chosen[0]["components"] == 4


def test_cox_chooses_a_strong_penalty_for_noise():
    bags = survival_bags(80, dim=30)
    chosen = []
    for vectors in (bags.vectors, np.random.default_rng(1).normal(size=(80, 30)).astype(np.float32)):
        head = make_head("cox", "survival", {"penalizer": "auto"})
        head.predict(Bags(vectors, bags.regions, bags.target, 0), [Job(np.arange(80), NONE, np.arange(3), 0)])
        chosen.append(head.chosen[0]["penalizer"])
    assert chosen[1] >= 1 and chosen[1] > chosen[0]


def test_cox_risk_is_higher_for_earlier_events():
    train, test = survival_bags(150, seed=2), survival_bags(60, seed=3)
    assert np.corrcoef(predict("cox", "survival", train, test), test.vectors[:, 0])[0, 1] > 0.5


def test_cox_without_any_spread_gives_one_risk():
    bags = survival_bags(20)
    flat = Bags(np.ones_like(bags.vectors), bags.regions, bags.target, 0)
    np.testing.assert_array_equal(predict("cox", "survival", flat, flat), np.zeros(20))


def test_balanced_weights_give_classes_the_same_sum():
    target, weights = np.array([2, 0, 2, 2, 0]), np.array([1, 1, 0.5, 0.5, 1])
    found = balanced(target, weights)
    assert found[target == 0].sum() == pytest.approx(found[target == 2].sum()) == pytest.approx(2.0)
    assert found[0] == 2 * found[2]
