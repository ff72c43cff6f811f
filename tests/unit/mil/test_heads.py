"""Heads against independent fits, on planted signals, and on a public benchmark of bags."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lifelines import CoxPHFitter
from scipy.optimize import minimize

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.heads import HEADS, heads_for
from workflow_scripts.core.labels import Labels
from workflow_scripts.core.tasks import KINDS
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.crossval import predict_folds
from workflow_scripts.mil.gated_attention import GatedAttention, predict_net, train_net
from workflow_scripts.mil.heads import make_head
from workflow_scripts.mil.heads.abmil import epochs_for
from workflow_scripts.mil.metrics import auc, c_index
from workflow_scripts.mil.predictions import patient_outcomes, prediction_rows
from workflow_scripts.mil.splits import Cohort, deal_folds

DATA = Path(os.environ.get("SLPD_TEST_DATA", Path(__file__).resolve().parents[3].parent / "shared" / "data"))


def _bags(n=40, n_classes=2, dim=6, seed=0, shift=2.0):
    """Slides of 3 to 8 regions; one region in each carries the class."""
    random = np.random.default_rng(seed)
    label = np.arange(n) % n_classes
    regions = []
    for c in label:
        region = random.normal(size=(random.integers(3, 9), dim)).astype(np.float32)
        region[0, c] += shift * 2
        regions.append(region)
    vectors = np.stack([region.mean(axis=0) for region in regions])
    return Bags(vectors, regions, label, n_classes)


def _survival_bags(n=60, dim=12, seed=0):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(n, dim)).astype(np.float32)
    death, censoring = random.exponential(np.exp(-1.5 * vectors[:, 0])), random.exponential(2.0, n)
    time, event = np.minimum(death, censoring), death <= censoring
    target = np.array(list(zip(time, event, strict=True)), dtype=[("time", float), ("event", bool)])
    return Bags(vectors, [vector[None] for vector in vectors], target, 0)


def _parts(bags, folds=4):
    names = [f"s{i}" for i in range(len(bags))]
    strata = bags.target if bags.n_classes else bags.target["event"].astype(int)
    return names, np.array([split.parts for split in deal_folds(Cohort(names, names, strata), folds, 1, 0)])


def _outcomes(head, kind, bags, parts, names, classes):
    """What a head predicts over all folds, a patient a slide."""
    values = [classes[index] for index in bags.target] if classes else bags.target.tolist()
    labels = Labels(KINDS[kind], [], names, names, values, classes, {})
    rows = prediction_rows(labels, predict_folds(head, kind, bags, parts, 0))
    return patient_outcomes(rows, KINDS[kind], classes)[2]


def _components(bags, n_components):
    """Principal components of standardised vectors, by SVD."""
    vectors = bags.vectors.astype(float)
    scaled = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    return scaled @ np.linalg.svd(scaled, full_matrices=False)[2][:n_components].T


def test_registry_refuses_unknown_and_unfit_heads():
    with pytest.raises(UserError, match=r"head tree is unknown.*knn, logistic, abmil"):
        make_head("tree", "classification", 0)
    with pytest.raises(UserError, match="head cox is not made for ordinal tasks"):
        make_head("cox", "ordinal", 0)
    with pytest.raises(UserError, match="use one of cox"):
        make_head("knn", "survival", 0)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", heads_for("classification"))
def test_heads_find_a_planted_signal(name, n_classes):
    train, test = _bags(45, n_classes, seed=1, shift=3.0), _bags(45, n_classes, seed=2, shift=3.0)
    head = make_head(name, "classification", 0)
    head.fit(train)
    probabilities = head.predict(test)
    assert probabilities.shape == (45, n_classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert (probabilities.argmax(axis=1) == test.target).mean() > 0.75


@pytest.mark.parametrize("name", heads_for("classification"))
def test_scale_of_a_feature_does_not_matter(name):
    """Heads standardise on the training slides, so units of a feature cannot change a prediction."""
    train, test = _bags(30, seed=1), _bags(10, seed=2)
    unit = np.array([1, 64, 1, 0.25, 1, 1024], np.float32)  # powers of two: exact

    def rescaled(bags):
        return Bags(bags.vectors * unit, [r * unit for r in bags.regions], bags.target, bags.n_classes)

    values = []
    for convert in (lambda bags: bags, rescaled):
        head = make_head(name, "classification", 3)
        head.fit(convert(train))
        values.append(head.predict(convert(test)))
    np.testing.assert_allclose(values[0], values[1], atol=1e-3)


def test_knn_is_the_vote_of_the_five_nearest():
    train, test = _bags(30, 3, seed=3), _bags(12, 3, seed=4)
    head = make_head("knn", "classification", 0)
    head.fit(train)
    centre, spread = train.vectors.astype(float).mean(axis=0), train.vectors.astype(float).std(axis=0)
    for vector, probabilities in zip(test.vectors, head.predict(test), strict=True):
        distance = np.linalg.norm((vector - centre) / spread - (train.vectors - centre) / spread, axis=1)
        votes = np.bincount(train.target[np.argsort(distance)[:5]], minlength=3) / 5
        np.testing.assert_allclose(probabilities, votes)


def test_knn_with_fewer_slides_than_neighbours():
    head = make_head("knn", "classification", 0)
    head.fit(_bags(3))
    np.testing.assert_allclose(head.predict(_bags(2, seed=5)), [[2 / 3, 1 / 3]] * 2)


def test_logistic_minimises_the_balanced_penalised_loss():
    train, test = _bags(31, seed=6), _bags(9, seed=7)  # 16 and 15 slides
    head = make_head("logistic", "classification", 0)
    head.fit(train)
    centre, spread = train.vectors.astype(float).mean(axis=0), train.vectors.astype(float).std(axis=0)
    scaled = (train.vectors - centre) / spread
    weight = (31 / (2 * np.bincount(train.target)))[train.target]
    sign = 2 * train.target - 1

    def loss(w):
        return (weight * np.logaddexp(0, -sign * (scaled @ w[:-1] + w[-1]))).sum() + 0.5 * w[:-1] @ w[:-1]

    w = minimize(loss, np.zeros(7), options={"gtol": 1e-8}).x
    expected = 1 / (1 + np.exp(-((test.vectors - centre) / spread @ w[:-1] + w[-1])))
    np.testing.assert_allclose(head.predict(test)[:, 1], expected, atol=2e-3)


def test_class_missing_in_training_gets_probability_zero():
    bags = _bags(30, 3)
    for name in ("knn", "logistic"):
        head = make_head(name, "classification", 0)
        head.fit(bags.take(bags.target != 1))
        assert (head.predict(bags)[:, 1] == 0).all()


def test_cox_equals_lifelines_on_components_by_svd():
    bags = _survival_bags()
    head = make_head("cox", "survival", 0)
    head.fit(bags)
    n_components = int(bags.target["event"].sum()) // 5
    table = pd.DataFrame(_components(bags, n_components)).assign(time=bags.target["time"], event=bags.target["event"])
    model = CoxPHFitter(penalizer=0.1).fit(table, "time", "event")
    np.testing.assert_allclose(head.predict(bags), model.predict_log_partial_hazard(table), atol=1e-6)


def test_cox_maximises_the_penalised_partial_likelihood():
    bags = _survival_bags(seed=1)
    head = make_head("cox", "survival", 0)
    head.fit(bags)
    scores = _components(bags, int(bags.target["event"].sum()) // 5)
    scores = (scores - scores.mean(axis=0)) / scores.std(axis=0, ddof=1)

    def loss(beta):
        eta = scores @ beta
        time = bags.target["time"]
        events = [eta[i] - np.log(np.exp(eta[time >= time[i]]).sum()) for i in np.flatnonzero(bags.target["event"])]
        return -sum(events) / len(eta) + 0.05 * beta @ beta

    beta = minimize(loss, np.zeros(scores.shape[1]), options={"gtol": 1e-8}).x
    np.testing.assert_allclose(head.predict(bags), scores @ beta, atol=1e-3)


def test_cox_risk_is_higher_for_earlier_events():
    bags = _survival_bags(200, seed=2)
    names, parts = _parts(bags)
    assert c_index(_outcomes("cox", "survival", bags, parts, names, [])) > 0.65


def test_cox_without_any_spread_gives_one_risk():
    bags = _survival_bags(20)
    flat = Bags(np.ones_like(bags.vectors), bags.regions, bags.target, 0)
    head = make_head("cox", "survival", 0)
    head.fit(flat)
    np.testing.assert_array_equal(head.predict(flat), np.zeros(20))


def test_gated_attention_equals_its_formula():
    torch.manual_seed(0)
    net = GatedAttention(5, 3).eval()
    bag = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    p = {name: value.numpy().astype(float) for name, value in net.state_dict().items()}
    hidden = np.maximum(bag @ p["embed.0.weight"].T + p["embed.0.bias"], 0)
    gate = 1 / (1 + np.exp(-(hidden @ p["gate.weight"].T + p["gate.bias"])))
    score = (np.tanh(hidden @ p["content.weight"].T + p["content.bias"]) * gate) @ p["weigh.weight"][0]
    attention = np.exp(score) / np.exp(score).sum()
    logits = p["classify.weight"] @ (attention @ hidden) + p["classify.bias"]
    np.testing.assert_allclose(predict_net(net, [bag])[0], np.exp(logits) / np.exp(logits).sum(), atol=1e-5)


def test_abmil_same_seed_same_bits():
    bags = _bags(12)

    def run(seed, drawn_before):
        torch.manual_seed(drawn_before)
        head = make_head("abmil", "classification", seed)
        head.fit(bags)
        return head.predict(bags)

    np.testing.assert_array_equal(run(0, 98), run(0, 99))
    assert (run(0, 99) != run(1, 99)).any()


def test_abmil_leaves_global_torch_state_alone():
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    train_net(_bags(4).regions, np.array([0, 1, 0, 1]), 2, 1, 0)
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_abmil_ignores_the_order_of_regions():
    bags = _bags(10)
    net = train_net(bags.regions, bags.target, 2, 2, 0)
    turned = [region[::-1].copy() for region in bags.regions]
    np.testing.assert_allclose(predict_net(net, bags.regions), predict_net(net, turned), atol=1e-6)


def test_abmil_balances_the_classes():
    """Without signal the mean probability of a class of one in nine must not be its frequency."""
    random = np.random.default_rng(0)
    regions = [np.zeros((3, 4), np.float32) for _ in range(45)]
    label = random.permutation(np.array([1] * 5 + [0] * 40))
    minority = predict_net(train_net(regions, label, 2, 40, 0), regions)[:, 1].mean()
    assert 0.35 < minority < 0.65


def test_abmil_validation_chooses_the_epoch():
    """Validation slides with turned labels like the untrained net best, so an early epoch must be kept."""
    bags = _bags(20, shift=4.0)
    one_epoch = train_net(bags.regions, bags.target, 2, 1, 0)
    chosen = train_net(bags.regions, bags.target, 2, 15, 0, (bags.regions, 1 - bags.target))
    for name, value in one_epoch.state_dict().items():
        torch.testing.assert_close(chosen.state_dict()[name], value, rtol=0, atol=0)
    last = train_net(bags.regions, bags.target, 2, 15, 0)
    assert not torch.equal(last.classify.weight, one_epoch.classify.weight)


def test_small_cohorts_are_seen_more_often():
    assert [epochs_for(n) for n in (10, 60, 100, 150, 1000)] == [50, 50, 30, 20, 20]


@pytest.mark.parametrize("name", list(HEADS))
def test_test_slides_do_not_leak_into_the_fit(name):
    """Predictions of one slide are the same whatever other slides are tested beside it."""
    kind = HEADS[name].kinds[0]
    bags = _survival_bags(40) if kind == "survival" else _bags(20)
    head = make_head(name, kind, 0)
    head.fit(bags.take(np.arange(8, len(bags))))
    both = head.predict(bags.take(np.arange(8)))
    alone = np.concatenate([head.predict(bags.take(np.array([i]))) for i in range(8)])
    np.testing.assert_allclose(both, alone, atol=1e-9)


@pytest.mark.parametrize("name", list(HEADS))
def test_every_head_of_the_table_has_what_a_head_has(name):
    """The table names modules and classes in words, so a slip of the pen shows here."""
    for kind in HEADS[name].kinds:
        head = make_head(name, kind, 0)
        assert callable(head.fit) and callable(head.predict)
        assert kind in KINDS


@pytest.mark.skipif(not (DATA / "mil" / "musk1.npz").is_file(), reason="musk1.npz is not in the folder of test data")
@pytest.mark.parametrize(("name", "least"), [("logistic", 0.75), ("abmil", 0.8)])
def test_musk1(name, least):
    """92 molecules as bags of conformations; a five-fold AUC of 0.85 to 0.95 is usual for attention MIL."""
    data = np.load(DATA / "mil" / "musk1.npz")
    regions = [data["X"][data["bag"] == bag] for bag in np.unique(data["bag"])]
    label = (data["y"] > 0).astype(np.int64)
    vectors = np.stack([region.mean(axis=0) for region in regions])
    bags = Bags(vectors, regions, label, 2)
    names, parts = _parts(bags, 3)
    assert auc(_outcomes(name, "classification", bags, parts, names, ["no", "musk"])) > least
