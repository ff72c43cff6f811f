"""Losses of networks against sums written out, and predictions against their definitions."""

import numpy as np
import pytest
import torch
from scipy.special import softmax

from tests.unit.mil.cohorts import class_bags, number_bags, of_patients, survival_bags
from workflow_scripts.mil.heads.cox import log_partial_likelihood
from workflow_scripts.mil.objectives import Classes, DiscreteTime, PartialLikelihood, Values, objective_of


def _loss(objective, logits, targets, weights):
    made = objective.loss(*(torch.tensor(np.asarray(value, dtype=float))[None] for value in (logits, targets, weights)))
    return made.item()


def test_cox_loss_is_the_partial_likelihood():
    bags, random = survival_bags(30, ties=True), np.random.default_rng(0)
    objective, risk = PartialLikelihood(), random.normal(size=30)
    targets, weights = objective.targets(bags, np.arange(30))
    np.testing.assert_array_equal(weights, 1)
    assert _loss(objective, risk[:, None], targets, weights) == pytest.approx(
        -log_partial_likelihood(risk, bags.target)
    )
    counted = random.uniform(0.2, 1, 30)
    time, event = bags.target["time"], bags.target["event"]
    expected = sum(
        counted[i] * (np.log((counted * np.exp(risk))[time >= time[i]].sum()) - risk[i]) for i in np.flatnonzero(event)
    )
    assert _loss(objective, risk[:, None], targets, counted) == pytest.approx(expected)


def test_a_bag_that_does_not_count_changes_no_cox_loss_and_gives_no_nan():
    bags = survival_bags(10)
    objective, risk = PartialLikelihood(), torch.randn(1, 10, 1, dtype=torch.float64, requires_grad=True)
    targets = torch.from_numpy(objective.targets(bags, np.arange(10))[0])[None]
    last = int(np.argmax(bags.target["time"]))
    weights = torch.ones(1, 10, dtype=torch.float64)
    weights[0, last] = 0
    others = [i for i in range(10) if i != last]
    loss = objective.loss(risk, targets, weights)
    assert loss.item() == pytest.approx(objective.loss(risk[:, others], targets[:, others], weights[:, others]).item())
    loss.backward()
    assert torch.isfinite(risk.grad).all() and risk.grad[0, last] == 0


def test_discrete_time_is_the_likelihood_of_intervals():
    bags, random = survival_bags(40), np.random.default_rng(0)
    train = np.arange(5, 40)
    objective, logits = DiscreteTime(), random.normal(size=(40, 4))
    targets, _ = objective.targets(bags, train)
    events = bags.target["time"][train][bags.target["event"][train]]
    ends = np.quantile(events, [0.25, 0.5, 0.75])
    hazard, expected = 1 / (1 + np.exp(-logits)), 0.0
    for i, (time, event) in enumerate(bags.target):
        k = int((time >= ends).sum())
        assert targets[i].tolist() == [k, event]
        survived = np.prod(1 - hazard[i, :k])
        expected -= np.log(survived * (hazard[i, k] if event else 1 - hazard[i, k]))
    assert _loss(objective, logits, targets, np.ones(40)) == pytest.approx(expected)
    survival = np.cumprod(1 - hazard, axis=1)
    np.testing.assert_allclose(objective.predictions(logits, bags, train), -survival.sum(axis=1))


def test_classes_are_balanced_over_patients():
    bags = of_patients(class_bags(6, 2), ["a", "b", "a", "c", "d", "e"])
    bags.target[:] = [0, 1, 0, 1, 0, 1]  # class 0: patients a (two slides) and d
    objective, logits = Classes(2), np.random.default_rng(0).normal(size=(6, 2))
    targets, weights = objective.targets(bags, np.arange(6))
    counts = np.array([0.5, 1, 0.5, 1, 1, 1]) * np.where(bags.target == 0, 1 / 2, 1 / 3)
    np.testing.assert_allclose(weights, counts / counts.mean())
    expected = -(weights * np.log(softmax(logits, axis=1)[np.arange(6), bags.target])).sum()
    assert _loss(objective, logits, targets, weights) == pytest.approx(expected)
    np.testing.assert_allclose(objective.predictions(logits, bags, np.arange(6)), softmax(logits, axis=1))


def test_numbers_are_standardised_on_the_training_bags():
    bags, train = number_bags(20), np.arange(12)
    objective, logits = Values(), np.random.default_rng(0).normal(size=(20, 1))
    targets, weights = objective.targets(bags, train)
    mean, spread = bags.target[:12].mean(), bags.target[:12].std()
    np.testing.assert_allclose(targets[:, 0], (bags.target - mean) / spread)
    assert _loss(objective, logits, targets, np.ones(20)) == pytest.approx(((logits - targets) ** 2).sum())
    np.testing.assert_allclose(objective.predictions(logits, bags, train), mean + spread * logits[:, 0])
    assert len(weights) == 12


def test_kinds_have_their_objective():
    assert isinstance(objective_of("ordinal", 3, "cox"), Classes) and objective_of("ordinal", 3, "cox").outputs == 3
    assert isinstance(objective_of("survival", 0, "cox"), PartialLikelihood)
    assert isinstance(objective_of("survival", 0, "discrete_time"), DiscreteTime)
    assert isinstance(objective_of("regression", 0, "cox"), Values)
