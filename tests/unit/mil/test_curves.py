"""Survival probabilities against lifelines, sums written out, and the heads that predict them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter, NelsonAalenFitter

from tests.unit.mil.cohorts import NONE, of_patients, survival_bags
from tests.unit.mil.test_heads import FEW, components
from workflow_scripts.core.heads import HEADS, heads_for
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.curves import between, log_baseline, proportional, with_curves
from workflow_scripts.mil.head import Job
from workflow_scripts.mil.heads import make_head
from workflow_scripts.mil.metrics.survival import brier_times
from workflow_scripts.mil.objectives import INTERVALS, DiscreteTime, PartialLikelihood

TIMES = np.array([0.0, 0.3, 1.0, 2.5, 100.0])


def judged(bags):
    return replace(bags, times=brier_times(bags.target["time"], bags.target["event"]))


@pytest.mark.parametrize("ties", [True, False])
def test_breslows_hazard_is_its_sum(ties):
    bags, random = survival_bags(40, ties=ties), np.random.default_rng(0)
    risk, weights, times = random.normal(size=40), random.uniform(0.2, 1, 40), TIMES * (4 if ties else 1)
    time, event = bags.target["time"], bags.target["event"]
    expected = [
        sum(
            weights[i] / (weights * np.exp(risk))[time >= time[i]].sum()
            for i in np.flatnonzero(event & (time <= moment))
        )
        for moment in times
    ]
    found = log_baseline(risk, bags.target, weights, times)
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-12)
    curves = proportional(np.array([0.0, 1.5]), found)
    np.testing.assert_allclose(curves, np.exp(-np.outer([1, np.exp(1.5)], expected)), rtol=1e-12)


@pytest.mark.parametrize("ties", [True, False])
def test_without_risk_it_is_the_estimate_of_nelson_and_aalen(ties):
    bags = survival_bags(50, ties=ties)
    fitted = NelsonAalenFitter(nelson_aalen_smoothing=False).fit(bags.target["time"], bags.target["event"])
    times = np.linspace(0, bags.target["time"].max(), 30)
    found = np.exp(log_baseline(np.zeros(50), bags.target, np.ones(50), times))
    np.testing.assert_allclose(found, fitted.cumulative_hazard_at_times(times), rtol=1e-9)


def test_extreme_risks_give_probabilities_all_the_same():
    bags = survival_bags(20)
    risk = np.linspace(-900, 900, 20)
    curves = proportional(risk, log_baseline(risk, bags.target, np.ones(20), TIMES))
    assert np.isfinite(curves).all() and ((curves >= 0) & (curves <= 1)).all() and (curves[:, 0] == 1).all()


def test_between_the_ends_of_intervals_are_straight_lines():
    survival = np.array([[0.8, 0.4, 0.2]])
    found = between(survival, np.array([1.0, 3.0, 4.0]), np.array([0, 0.5, 1, 2, 3.5, 4, 9]))
    np.testing.assert_allclose(found, [[1, 0.9, 0.8, 0.6, 0.3, 0.2, 0.2]])
    tied = between(survival, np.array([2.0, 2.0, 2.0]), np.array([1.0, 1.999, 3.0]))  # every event at one time
    np.testing.assert_allclose(tied, [[0.9, 0.8, 0.2]], atol=1e-3)
    assert between(np.empty((0, 3)), np.array([1.0, 3.0, 4.0]), TIMES).shape == (0, 5)


def test_risks_alone_where_no_time_is_asked_for():
    risk = np.array([1.0, 2.0])
    assert with_curves(risk, np.empty((2, 0))) is risk
    np.testing.assert_array_equal(with_curves(risk, np.array([[0.5], [0.4]])), [[1, 0.5], [2, 0.4]])


def test_cox_curves_are_those_of_lifelines():
    bags = replace(survival_bags(), times=np.array([0.2, 0.5, 1.0, 2.0]))
    table = pd.DataFrame(components(bags, int(bags.target["event"].sum()) // 5))
    table = table.assign(time=bags.target["time"], event=bags.target["event"])
    model = CoxPHFitter(penalizer=0.1).fit(table, "time", "event")
    job = Job(np.arange(60), NONE, np.arange(60), 0)
    found = make_head("cox", "survival", {}).predict(bags, [job])[0]
    expected = np.exp(-model.predict_cumulative_hazard(table).T)
    places = np.searchsorted(expected.columns, bags.times, side="right") - 1  # a step function
    np.testing.assert_allclose(found[:, 1:], expected.to_numpy()[:, places], atol=1e-5)


def test_cox_without_any_spread_predicts_the_curve_of_the_training_patients():
    """Of patients, not of slides: copies of a slide change nothing."""
    bags = survival_bags(20)
    slides = np.concatenate([np.repeat(np.arange(15), [3 if i % 3 else 1 for i in range(15)]), np.arange(15, 20)])
    flat = Bags(np.ones((len(slides), 3)), [np.ones((1, 3))] * len(slides), bags.target[slides], 0)
    flat = judged(of_patients(flat, [str(i) for i in slides]))
    n = len(slides) - 5
    found = make_head("cox", "survival", {}).predict(flat, [Job(np.arange(n), NONE, np.arange(n, n + 5), 0)])[0]
    fitted = NelsonAalenFitter(nelson_aalen_smoothing=False).fit(bags.target["time"][:15], bags.target["event"][:15])
    expected = np.exp(-fitted.cumulative_hazard_at_times(flat.times).to_numpy())
    np.testing.assert_allclose(found[:, 1:], np.tile(expected, (5, 1)), rtol=1e-9)


def test_partial_likelihood_predicts_by_the_hazard_of_its_training_bags():
    bags = replace(of_patients(survival_bags(12), list("aabbcdefghij")), times=TIMES)
    train, logits = np.arange(4, 12), np.random.default_rng(0).normal(size=(3 + 8, 1))
    found = PartialLikelihood().predictions(logits, bags, train)
    baseline = log_baseline(logits[3:, 0], bags.target[train], bags.weights[train], TIMES)
    np.testing.assert_array_equal(found, with_curves(logits[:3, 0], proportional(logits[:3, 0], baseline)))


def test_discrete_time_predicts_its_own_hazards():
    bags, train = replace(survival_bags(40), times=TIMES), np.arange(10, 40)
    logits = np.random.default_rng(0).normal(size=(4 + 30, INTERVALS))
    found = DiscreteTime().predictions(logits, bags, train)
    time, event = bags.target["time"][train], bags.target["event"][train]
    ends = [*np.quantile(time[event], [0.25, 0.5, 0.75]), time.max()]
    survival = np.cumprod(1 - 1 / (1 + np.exp(-logits[:4])), axis=1)
    np.testing.assert_allclose(found[:, 0], -survival.sum(axis=1))
    np.testing.assert_allclose(found[:, 1:], between(survival, np.array(ends), TIMES))


@pytest.mark.parametrize("loss", ["cox", "discrete_time"])
@pytest.mark.parametrize("name", heads_for("survival"))
def test_every_head_of_survival_predicts_falling_curves_beside_the_same_risks(name, loss):
    bags = judged(survival_bags(24))
    jobs = [Job(np.arange(4, 24), NONE, np.array([3, 0, 1]), 5), Job(np.arange(20), NONE, np.arange(20, 24), 6)]
    settings = {} if HEADS[name].light else FEW | {"survival_loss": loss}
    for job, found in zip(jobs, make_head(name, "survival", settings).predict(bags, jobs), strict=True):
        assert found.shape == (len(job.test), 1 + 20) and np.isfinite(found).all()
        curves = found[:, 1:]
        assert ((curves >= 0) & (curves <= 1)).all() and (np.diff(curves, axis=1) <= 0).all()
    plain = make_head(name, "survival", settings).predict(replace(bags, times=np.empty(0)), jobs)
    np.testing.assert_allclose(found[:, 0], plain[1], atol=1e-5)
