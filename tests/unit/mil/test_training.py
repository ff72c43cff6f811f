"""Networks trained for many jobs at once: the same bits, jobs that do not know of each other, and what is kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.unit.mil.cohorts import NONE, bags_of, class_bags, joined, of_patients, predict
from workflow_scripts.core.heads import HEADS
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Job
from workflow_scripts.mil.heads import make_head
from workflow_scripts.mil.heads.nets import batch_for, epochs_for, with_validation
from workflow_scripts.mil.training import _Stream

NETS = [name for name, head in HEADS.items() if head.module == "nets"]


def _jobs(n, count, seed=0):
    random = np.random.default_rng(seed)
    orders = [random.permutation(n) for _ in range(count)]
    return [Job(order[5 + i :], NONE, order[: 5 + i], 100 + i) for i, order in enumerate(orders)]


@pytest.mark.parametrize("name", NETS)
def test_same_seed_same_bits(name):
    bags, jobs = class_bags(24), _jobs(24, 3)
    settings = {"epochs": 3, "hidden": 16, "attention": 8}
    first, again = (make_head(name, "classification", settings).predict(bags, jobs) for _ in range(2))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    others = [job._replace(seed=job.seed + 1) for job in jobs]
    assert (make_head(name, "classification", settings).predict(bags, others)[0] != first[0]).any()


@pytest.mark.parametrize("kind", ["classification", "survival", "regression"])
@pytest.mark.parametrize("name", NETS)
def test_a_job_does_not_know_of_the_others(name, kind):
    """Jobs of other sizes and seeds in the stack change a job's predictions by no more than rounding."""
    bags, jobs = bags_of(kind, 30), _jobs(30, 4)
    settings = {"epochs": 4, "hidden": 16, "attention": 8, "batch_size": 5}
    together = make_head(name, kind, settings).predict(bags, jobs)
    for job, found in zip(jobs, together, strict=True):
        alone = make_head(name, kind, settings).predict(bags, [job])[0]
        if kind == "survival":  # the partial likelihood leaves the level of the risks open, and rounding moves it
            found, alone = found - found.mean(), alone - alone.mean()
        np.testing.assert_allclose(found, alone, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("survival_loss", ["cox", "discrete_time"])
@pytest.mark.parametrize("name", ["abmil", "mean_mil", "dtfd", "transmil"])
def test_risk_is_higher_for_earlier_events(name, survival_loss):
    train, test = bags_of("survival", 100, seed=2), bags_of("survival", 40, seed=3)
    risk = predict(name, "survival", train, test, survival_loss=survival_loss, lr=1e-3)
    assert np.corrcoef(risk, test.vectors[:, 0])[0, 1] > 0.5


@pytest.mark.parametrize("name", ["abmil", "max_mil", "clam_sb", "hipt"])
def test_numbers_are_learnt(name):
    train, test = bags_of("regression", 100), bags_of("regression", 40, seed=1)
    found = predict(name, "regression", train, test, lr=1e-3)
    assert np.corrcoef(found, test.target)[0, 1] > 0.5
    assert abs(found.mean() - test.target.mean()) < 5


def test_global_torch_state_is_left_alone():
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    predict("abmil", "classification", class_bags(6), class_bags(2, seed=1), epochs=1)
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("name", [name for name in NETS if name not in ("dtfd", "transmil")])
def test_the_order_of_regions_does_not_matter(name):
    """DTFD deals regions in their order, and TransMIL lays them on a grid; all others know of sets."""
    train, test = class_bags(10), class_bags(6, seed=1)
    turned = replace(test, regions=[region[::-1].copy() for region in test.regions])
    values = [predict(name, "classification", train, bags, epochs=2) for bags in (test, turned)]
    np.testing.assert_allclose(*values, atol=1e-5)


def test_classes_are_balanced():
    """Without signal the mean probability of a class of one in nine must not be its frequency."""
    random = np.random.default_rng(0)
    regions = [np.zeros((3, 4), np.float32) for _ in range(45)]
    bags = Bags(np.zeros((45, 4), np.float32), regions, random.permutation(np.array([1] * 5 + [0] * 40)), 2)
    assert 0.35 < predict("abmil", "classification", bags, bags, epochs=40)[:, 1].mean() < 0.65


def test_validation_chooses_the_pass():
    """Validation slides with turned labels like the untrained net best, so the first pass must be kept."""
    train = class_bags(20, shift=4.0)
    turned = replace(train, target=1 - train.target)
    settings = {"lr": 1e-3, "batch_size": 4}
    chosen = predict("abmil", "classification", train, train, validation=turned, epochs=15, **settings)
    one = predict("abmil", "classification", train, train, epochs=1, **settings)
    np.testing.assert_array_equal(chosen, one)
    last = predict("abmil", "classification", train, train, epochs=15, **settings)
    assert np.abs(last - one).max() > 0.2
    right = predict("abmil", "classification", train, train, validation=train, epochs=15, **settings)
    np.testing.assert_allclose(right, last, atol=0.05)


def test_validation_patients_are_drawn_by_stratum_from_the_training_part():
    bags = of_patients(class_bags(60), [f"p{i // 4}{i % 2}" for i in range(60)])
    job = with_validation(bags, Job(np.arange(40), NONE, np.arange(40, 60), 3), 0.25)
    patients = np.array(bags.patients)
    assert not set(patients[job.train]) & set(patients[job.validation])
    assert sorted([*job.train, *job.validation]) == list(range(40))
    drawn = patients[job.validation]
    assert {name[-1] for name in drawn} == {"0", "1"} and len(set(drawn)) == 4  # of ten patients a class
    given = Job(np.arange(40), np.arange(40, 44), np.arange(44, 60), 3)
    assert with_validation(bags, given, 0.25) is given
    assert with_validation(bags, given._replace(validation=NONE), 0.0).validation is NONE


def test_inner_validation_is_used():
    train, test = class_bags(40, seed=1), class_bags(10, seed=2)
    kept, chosen = (predict("abmil", "classification", train, test, inner_fraction=f) for f in (0.0, 0.3))
    assert (kept != chosen).any()


def test_instances_are_dropped_apart_and_a_bag_alike():
    stream = _Stream(Job(np.arange(4), NONE, NONE, 5))
    apart = stream.kept_each(np.array([300, 1]), 400, 8, 0.25).reshape(2, 400, 8)
    assert set(np.unique(apart)) == {0, np.float32(1 / 0.75)}
    assert not apart[0, 300:].any() and not apart[1, 1:].any()  # slots of no instance
    assert abs((apart[0, :300] == 0).mean() - 0.25) < 0.03 and (apart[0, 0] != apart[0, :300]).any()
    alike = stream.kept(500, 8, 0.25)
    assert alike.shape == (500, 8) and abs((alike == 0).mean() - 0.25) < 0.03


def test_small_cohorts_are_seen_more_often():
    assert [epochs_for(n) for n in (10, 60, 100, 150, 1000)] == [50, 50, 30, 20, 10]
    assert [batch_for(n, "ordinal") for n in (10, 60, 100, 400, 1000)] == [1, 3, 5, 16, 16]
    assert [batch_for(n, "survival") for n in (10, 60)] == [10, 32]


def test_weights_of_slides_are_what_counts():
    """A patient's weight on one slide or halved on two equal ones trains alike, in the mean over seeds."""
    train, test = class_bags(24, seed=1), class_bags(12, seed=2)
    twice = np.repeat(np.arange(24), [2 if i < 12 else 1 for i in range(24)])
    copies = of_patients(train.take(twice), [str(i) for i in twice])
    settings = {"hidden": 16, "attention": 8, "batch_size": 6, "epochs": 60}
    both = joined(joined(train, copies), test)
    here, there, last = np.split(np.arange(len(both)), [24, 24 + len(copies)])
    jobs = [Job(part, NONE, last, seed) for part in (here, there) for seed in range(8)]
    found = np.array(make_head("abmil", "classification", settings).predict(both, jobs))[..., 1]
    assert np.abs(found[:8].mean(axis=0) - found[8:].mean(axis=0)).max() < 0.2
