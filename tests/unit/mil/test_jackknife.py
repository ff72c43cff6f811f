"""Metrics with groups left out, against computing them anew."""

import numpy as np
import pytest

from tests.unit.mil.outcomes import of_kind
from workflow_scripts.core import tasks
from workflow_scripts.mil.metrics import METRICS, Outcomes, jackknife, metrics_of

CASES = [(kind, name) for kind in tasks.KINDS for name in metrics_of(kind)]


def plain(name, outcomes, groups):
    return np.array([METRICS[name](outcomes.take(np.flatnonzero(groups != g))) for g in np.unique(groups)])


def equal(name, outcomes, groups):
    found = jackknife(name, outcomes, groups)
    assert found.dtype == np.float64 and found.shape == (len(np.unique(groups)),)
    np.testing.assert_allclose(found, plain(name, outcomes, groups), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_metric_equals_the_plain_loop(kind, name, ties):
    random = np.random.default_rng(4)
    for seed in range(3):
        for outcomes in of_kind(kind, 45, seed, ties):
            equal(name, outcomes, np.arange(45))
            equal(name, outcomes, random.integers(0, 12, 45))  # patients of several slides
            equal(name, outcomes, 10 * random.permutation(45) + 7)  # any numbers, in any order
            equal(name, outcomes, np.repeat([0, 1], [40, 5]))


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_what_is_left_may_be_without_a_class_an_event_or_anything(kind, name):
    for outcomes in of_kind(kind, 14, 1):
        first = outcomes.target if outcomes.target.dtype == np.int64 else np.arange(14) // 5
        first = outcomes.target["event"].astype(int) if kind == "survival" else first
        equal(name, outcomes, first)
        assert np.isnan(jackknife(name, outcomes, np.zeros(14, int))).all()


@pytest.mark.parametrize("name", metrics_of("regression"))
def test_a_group_that_holds_all_the_spread_may_be_left_out(name):
    """Without the one large value all true values are equal, or all but equal."""
    for rest in (np.full(9, 0.1), 0.1 + 1e-4 * np.arange(9) ** 2):
        outcomes = Outcomes(np.append(rest, 1e7), np.append(np.arange(9.0), 2e7))
        equal(name, outcomes, np.arange(10))


def test_times_may_be_outlived_by_the_case_that_is_left_out_alone():
    """Cohorts of two to six with ties and every pattern of censoring, at times before, between and after all."""
    random = np.random.default_rng(0)
    for n in (2, 3, 4, 6):
        for events in range(2**n):
            event = np.array([bool(events >> i & 1) for i in range(n)])
            target = np.zeros(n, dtype=[("time", float), ("event", bool)])
            target["time"], target["event"] = random.integers(0, 4, n), event
            times = np.array([0.0, 0.5, 1.0, 1.5, 2.5, 3.0, 9.0])
            outcomes = Outcomes(target, np.zeros(n), times, random.random((n, len(times))))
            equal("integrated_brier", outcomes, np.arange(n))
            equal("integrated_brier", outcomes, np.arange(n) // 2)
