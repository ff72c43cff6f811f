"""Nearest neighbours by matched prototypes, against loops over permutations and the neighbours of pretraining."""

from itertools import permutations

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.mil.cohorts import NONE, class_bags, of_patients
from workflow_scripts.config import Neighbours, load_config, stages
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tasks import KINDS
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Job
from workflow_scripts.mil.heads import make_head
from workflow_scripts.mil.units import LABELS, make_units
from workflow_scripts.slpd.neighbours import find_neighbours


def set_bags(n=40, m=3, dim=6, n_classes=2, seed=0, missing=()):
    """Sets of prototypes in an order of their own, one of which tells the class; `missing` have one of the whole."""
    random = np.random.default_rng(seed)
    label, dim = np.arange(n) % n_classes, max(dim, n_classes)
    sets = random.normal(size=(n, m, dim)).astype(np.float32)
    sets[np.arange(n), random.integers(0, m, n), label] += 6
    rows = [own[:1] if i in missing else own for i, own in enumerate(sets)]
    for i in missing:
        sets[i] = sets[i, 0]  # as embed_prototypes fills the vector
    return Bags(sets.reshape(n, -1), rows, label, n_classes)


def likeness(one, other):
    one, other = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (one, other))
    return max(sum(one[k] @ other[place] for k, place in enumerate(order)) for order in permutations(range(len(one))))


def predict(bags, *jobs, kind="classification", **settings):
    return make_head("matching_knn", kind, settings).predict(bags, [Job(train, NONE, test, 0) for train, test in jobs])


@pytest.mark.parametrize("neighbours", [1, 5])
def test_the_slides_whose_prototypes_match_best_vote(neighbours):
    bags = set_bags(30, m=4, n_classes=3, missing=(2, 20))
    sets = bags.vectors.reshape(30, 4, -1).astype(float)
    train, test = np.arange(5, 30), np.array([3, 0, 2, 4])
    found = predict(bags, (train, test), (np.arange(20), np.array([25])), neighbours=neighbours)
    for i, shares in zip(test, found[0], strict=True):
        best = sorted(train, key=lambda j: -likeness(sets[i], sets[j]))[:neighbours]
        np.testing.assert_allclose(shares, np.bincount(bags.target[best], minlength=3) / neighbours)
    best = sorted(range(20), key=lambda j: -likeness(sets[25], sets[j]))[:neighbours]
    np.testing.assert_allclose(found[1][0], np.bincount(bags.target[best], minlength=3) / neighbours)


@pytest.mark.parametrize("m", [4, 10])
def test_the_nearest_are_the_neighbours_of_pretraining(m):
    bags = set_bags(25, m=m, n_classes=25)  # a class a slide, so that the vote names it
    nearest = find_neighbours(bags.vectors.reshape(25, m, -1), np.ones(25, bool), Neighbours(count=1)).index[:, 0]
    jobs = [(np.delete(np.arange(25), i), np.array([i])) for i in range(25)]
    assert [int(shares[0].argmax()) for shares in predict(bags, *jobs, neighbours=1)] == nearest.tolist()


def test_the_order_and_length_of_prototypes_do_not_matter():
    bags, random = set_bags(24, m=5), np.random.default_rng(1)
    turned = np.stack([random.permutation(own) for own in bags.vectors.reshape(24, 5, -1)])
    turned *= 2.0 ** random.integers(-3, 4, (24, 5, 1))
    other = Bags(turned.reshape(24, -1), list(turned), bags.target, 2)
    job = (np.arange(8, 24), np.arange(8))
    np.testing.assert_array_equal(*(predict(one, job)[0] for one in (bags, other)))


def test_votes_are_the_same_however_many_slides_are_counted_at_once(monkeypatch):
    bags, job = set_bags(24, m=3), (np.arange(8, 24), np.arange(8))
    at_once = predict(bags, job)[0]
    monkeypatch.setattr("workflow_scripts.mil.heads.matching._AT_ONCE", 3)
    np.testing.assert_array_equal(predict(bags, job)[0], at_once)


def test_it_finds_a_planted_signal_in_grades_too():
    bags = set_bags(120, seed=2)
    job = (np.arange(80), np.arange(80, 120))
    assert (predict(bags, job, kind="ordinal")[0].argmax(axis=1) == bags.target[80:]).mean() > 0.9


def test_a_patient_votes_once_and_slides_do_not_count():
    bags = set_bags(20, seed=3)
    slides = np.concatenate([np.repeat(np.arange(12), [3 if i % 3 else 1 for i in range(12)]), np.arange(12, 20)])
    copies = of_patients(bags.take(slides), [str(i) for i in slides])
    n = len(slides)
    expected = predict(bags, (np.arange(12), np.arange(12, 20)))[0]
    np.testing.assert_array_equal(predict(copies, (np.arange(n - 8), np.arange(n - 8, n)))[0], expected)


def test_of_a_patients_bag_the_prototypes_are_means_over_its_slides():
    bags = set_bags(6)
    rows = [{"slide_id": f"s{i}", "patient_id": f"p{i // 2}", "label": "ab"[i // 2 % 2]} for i in range(6)]
    labels = pa.Table.from_pylist(rows, LABELS)
    together = make_units(labels, KINDS["classification"], ["a", "b"], True, bags.vectors, bags.regions).bags
    sets = bags.vectors.reshape(3, 2, 3, -1).mean(axis=1)
    best = max((0, 1), key=lambda j: likeness(sets[2], sets[j]))
    assert predict(together, (np.array([0, 1]), np.array([2])), neighbours=1)[0][0].argmax() == best


def test_what_is_no_set_of_prototypes_is_refused():
    bags = class_bags(10)
    with pytest.raises(UserError, match=r"matching_knn compares sets.*vector of 6 values.*use it on the rep"):
        predict(bags, (np.arange(5), np.arange(5, 10)))


def test_it_is_fitted_on_sets_of_prototypes_alone():
    task = {"kind": "classification", "label": "a"}
    heads = {"classification": ["knn", "matching_knn", "abmil"]}
    raw = {"embed": {"prototypes": True}, "benchmark": {"tasks": {"t": task}, "heads": heads}}
    config = load_config(raw)
    assert stages.cells_of(config, "t", "slpd-prototypes") == ["vectors", "sets", "abmil"]
    assert all(stages.cells_of(config, "t", name) == ["vectors", "abmil"] for name in ("slpd", "dino", "mean"))
    settings = stages.cell_settings(config, "t", "sets", "slpd-prototypes")
    assert settings["heads"] == {"matching_knn": {"neighbours": 5}}
