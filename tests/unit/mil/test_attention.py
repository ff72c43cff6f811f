"""What heads attend to: over the fits that had not seen a bag, and where planted bags have their one telling region."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.mil.cohorts import NONE, bags_of, class_bags
from workflow_scripts.core.budgets import WHOLE
from workflow_scripts.core.heads import HEADS
from workflow_scripts.core.tasks import KINDS
from workflow_scripts.mil import crossval, forward
from workflow_scripts.mil.attention import ATTENTION, AttentionSums, Watched, attention_table
from workflow_scripts.mil.bags import Bags, JoinedBags, bag_lengths
from workflow_scripts.mil.crossval import Part, predict_parts
from workflow_scripts.mil.head import Job
from workflow_scripts.mil.heads import make_head
from workflow_scripts.mil.jobs import fits
from workflow_scripts.mil.units import LABELS, make_units

NETS = [name for name, head in HEADS.items() if head.module == "nets"]
SMALL = {"epochs": 3, "hidden": 16, "attention": 8, "batch_size": 5}


def _watching(bags, jobs):
    sums = AttentionSums(bag_lengths(bags.regions))
    return sums, [job._replace(attention=Watched(sums, job.test)) for job in jobs]


def _jobs(n, count):
    orders = [np.random.default_rng(i).permutation(n) for i in range(count)]
    return [Job(order[8:], NONE, order[:8], 100 + i) for i, order in enumerate(orders)]


@pytest.mark.parametrize("kind", ["classification", "survival", "regression"])
@pytest.mark.parametrize("name", NETS)
def test_predictions_keep_their_bits_and_attention_is_of_tested_bags_alone(name, kind):
    bags, jobs = bags_of(kind, 24), _jobs(24, 3)
    if kind == "survival":  # then training bags are predicted, too
        bags = replace(bags, times=np.array([0.5, 1.0]))
    plain = make_head(name, kind, SMALL).predict(bags, jobs)
    sums, watched = _watching(bags, jobs)
    for one, two in zip(plain, make_head(name, kind, SMALL).predict(bags, watched), strict=True):
        np.testing.assert_array_equal(one, two)
    tested = np.bincount(np.concatenate([job.test for job in jobs]), minlength=24)
    assert sums.fits.tolist() == (tested if HEADS[name].attends else 0 * tested).tolist()
    shares = np.add.reduceat(sums.totals, np.cumsum(sums.counts) - sums.counts) / sums.counts
    np.testing.assert_allclose(shares, sums.fits, rtol=1e-5)  # each fit gives a bag 1 in all


def test_attention_of_abmil_is_that_of_its_weights_by_hand(monkeypatch):
    """From the weights of each fit, caught where it predicts, in numpy; summed over fits by a plain loop."""
    bags, jobs = class_bags(24), _jobs(24, 3)
    caught = []

    def catch(plan, cohort, weights, scale, chosen, watched=None):
        caught.append(({n: v[0].double().numpy() for n, v in weights.items()}, [s[0].double().numpy() for s in scale]))
        return predict(plan, cohort, weights, scale, chosen, watched)

    predict = forward.predict
    monkeypatch.setattr("workflow_scripts.mil.training.predict", catch)
    sums, watched = _watching(bags, jobs)
    make_head("abmil", "classification", SMALL).predict(bags, watched)
    assert len(caught) == len(jobs)
    expected, starts = np.zeros(sums.counts.sum()), np.cumsum(sums.counts) - sums.counts
    for job in jobs:
        # a job is told by the mean of its training regions, which they are standardised by
        mean = np.concatenate([bags.regions[bag] for bag in job.train]).mean(axis=0)
        p, (centre, inverse) = next(one for one in caught if np.allclose(one[1][0], mean, atol=1e-5))
        for bag in job.test:
            x = (bags.regions[bag] - centre) * inverse
            h = np.maximum(x @ p["embedding.weight"] + p["embedding.bias"], 0)
            content, gate = np.split(h @ p["score.content.weight"] + p["score.content.bias"], 2, axis=1)
            score = (np.tanh(content) / (1 + np.exp(-gate))) @ p["score.weigh.weight"] + p["score.weigh.bias"]
            share = np.exp(score[:, 0]) / np.exp(score[:, 0]).sum()
            expected[starts[bag] : starts[bag] + len(x)] += len(x) * share
    np.testing.assert_allclose(sums.totals, expected, rtol=1e-4, atol=1e-5)
    assert np.ptp(sums.totals) > 0.01


@pytest.mark.parametrize("name", ["abmil", "clam_mb", "dsmil", "dtfd"])
def test_a_telling_region_is_attended_to(name):
    """One of 20 regions carries the class; a head that has learnt it gives that more than an even share, and most."""
    random = np.random.default_rng(0)
    label, place = np.arange(60) % 2, random.integers(20, size=60)
    regions = [random.normal(size=(20, 6)).astype(np.float32) for _ in label]
    for own, c, where in zip(regions, label, place, strict=True):
        own[where, c] += 10
    bags = Bags(np.stack([own.mean(axis=0) for own in regions]), regions, label, 2)
    sums, jobs = _watching(bags, [Job(np.arange(40), NONE, np.arange(40, 60), 0)])
    settings = {"hidden": 32, "attention": 16, "epochs": 40, "batch_size": 4, "lr": 1e-3}
    make_head(name, "classification", settings).predict(bags, jobs)
    given = sums.totals.reshape(60, 20)
    at = given[np.arange(40, 60), place[40:]]
    assert at.mean() > 3 and (at == given[40:].max(axis=1)).mean() > 0.8


def _units(by_patient, slides=("a", "b", "c", "d", "e", "f"), patients=("p", "q", "p", "q", "r", "s")):
    """Slides of 2 to 4 regions whose patients' slides do not follow each other."""
    random = np.random.default_rng(3)
    matrices = [random.normal(size=(2 + i % 3, 4)).astype(np.float32) for i in range(len(slides))]
    names = [(slide, f"{slide}{i}") for slide, own in zip(slides, matrices, strict=True) for i in range(len(own))]
    named = pa.table({"slide_id": [s for s, _ in names], "region_id": [r for _, r in names]})
    columns = {"slide_id": slides, "patient_id": patients, "label": ["xy"["pr".count(p)] for p in patients]}
    labels = pa.table({name: pa.array(columns.get(name, [None] * 6), LABELS.field(name).type) for name in LABELS.names})
    vectors = np.stack([own.mean(axis=0) for own in matrices])
    units = make_units(labels, KINDS["classification"], ["x", "y"], by_patient, vectors, matrices, regions=named)
    return units, dict(zip([r for _, r in names], np.concatenate(matrices), strict=True))


@pytest.mark.parametrize("by_patient", [False, True])
def test_regions_are_named_in_the_order_of_the_bags(by_patient):
    units, vector_of = _units(by_patient)
    rows = np.concatenate(list(units.bags.regions))
    np.testing.assert_array_equal(rows, [vector_of[name] for name in units.regions["region_id"].to_pylist()])
    owner = np.repeat(np.arange(len(units.bags)), bag_lengths(units.bags.regions))
    assert owner.tolist() == [units.bag_of[slide] for slide in units.regions["slide_id"].to_pylist()]
    assert len(units.bags) == (4 if by_patient else 6)


def test_rows_of_joined_bags_are_those_of_their_parts():
    parts = [np.full((count, 1), count, np.float32) + np.arange(count)[:, None] * 10 for count in (2, 1, 3)]
    joined = JoinedBags(parts, [[2, 0], [1], [0]])
    np.testing.assert_array_equal(np.concatenate(parts)[joined.rows()], np.concatenate(list(joined)))


def _splits(*tests, budget=WHOLE, slides="abcdef", repeat=0, also_learnt=""):
    """Splits that test some slides each and learn from the others."""
    rows = []
    for fold, test in enumerate(tests):
        for slide in slides:
            parts = ["test"] if slide in test else ["train"]
            parts += ["train"] if slide in also_learnt and slide in test else []
            facts = {"slide_id": slide, "patient_id": slide, "repeat": repeat, "fold": fold, "budget": budget}
            rows += [facts | {"part": part} for part in parts]
    return pa.Table.from_pylist(rows)


def _one_by_one(units, splits, seeds):
    """Mean over fits by a plain loop: each fit alone, its attention times the size of the bag."""
    found = {}
    for fit in fits("abmil", splits, units.bag_of, 0, seeds):
        if fit.budget != WHOLE:
            continue
        sums, (job,) = _watching(units.bags, [fit.job])
        make_head("abmil", "classification", SMALL).predict(units.bags, [job])
        names, owner = units.regions["region_id"].to_pylist(), np.repeat(np.arange(len(units.bags)), sums.counts)
        for name, bag, value in zip(names, owner, sums.totals, strict=True):
            if bag in fit.job.test and bag not in fit.job.train:
                found.setdefault(name, []).append(value)
    return {name: (np.mean(values), len(values)) for name, values in found.items()}


@pytest.mark.parametrize("by_patient", [False, True])
def test_the_mean_is_over_fits_of_the_whole_budget_that_had_not_seen_the_slide(by_patient):
    units, _ = _units(by_patient)
    splits = pa.concat_tables(
        [
            _splits("ac", "bd", "ef" if by_patient else "e"),  # else f is tested by no whole fit of the first repeat
            _splits("ac", "bd", repeat=1, also_learnt="bd"),  # the second of these leaks
            _splits("acbd", "ef", budget="50%"),
        ]
    )
    rows = predict_parts("abmil", "classification", [Part(units, splits)], SMALL, 0, 2).attention
    assert rows.schema.equals(ATTENTION) and set(rows["head"].to_pylist()) == {"abmil"}
    expected = _one_by_one(units, splits, 2)
    found = {row["region_id"]: row for row in rows.to_pylist()}
    assert found.keys() == expected.keys() and len(found) == len(rows)
    assert ("f0" in found) == by_patient
    for name, (mean, count) in expected.items():
        assert found[name]["slide_id"] == name[0]
        assert found[name]["attention"] == pytest.approx(mean, rel=2e-3) and found[name]["n_fits"] == count
    assert {found["a0"]["n_fits"], found["b0"]["n_fits"]} == {4, 2}


def test_folds_with_bags_of_their_own_are_put_together():
    units, _ = _units(False)
    splits = _splits("ab", "abc")
    parts = crossval.by_fold([units, units], splits)
    rows = predict_parts("abmil", "classification", parts, SMALL, 0, 1).attention.to_pylist()
    whole = predict_parts("abmil", "classification", [Part(units, splits)], SMALL, 0, 1).attention.to_pylist()
    assert [(row["region_id"], row["n_fits"]) for row in rows] == [(row["region_id"], row["n_fits"]) for row in whole]
    assert [row["attention"] for row in rows] == pytest.approx([row["attention"] for row in whole], rel=2e-3)
    assert {row["slide_id"]: row["n_fits"] for row in rows} == {"a": 2, "b": 2, "c": 1}


def test_heads_without_attention_and_bags_without_names_have_no_rows():
    units, _ = _units(False)
    for head, own in (("mean_mil", units), ("logistic", units), ("abmil", units._replace(regions=None))):
        settings = SMALL if head != "logistic" else {"c": 1.0}
        found = predict_parts(head, "classification", [Part(own, _splits("ab", "cd"))], settings, 0, 1)
        assert len(found.predictions) == 4 and found.attention.equals(ATTENTION.empty_table())


def test_a_head_that_fails_with_its_budgets_leaves_no_attention_of_them(monkeypatch):
    """All budgets are fitted together first: what that has added up is not counted again where each is fitted alone."""
    units, _ = _units(False)
    splits = pa.concat_tables([_splits("ab", "cd"), _splits("ab", "cd", budget="50%")])
    real = crossval.prediction_table

    def fail(head, kind, truth, tests):
        tests = list(tests)
        if any(test.budget == "50%" for test in tests):
            raise ValueError("no")
        return real(head, kind, truth, tests)

    monkeypatch.setattr(crossval, "prediction_table", fail)
    rows, failures = crossval.predict_heads({"abmil": SMALL}, "classification", [Part(units, splits)], 0, 1)
    assert failures == {"abmil": {"50%": "ValueError: no"}}
    assert set(rows.attention["n_fits"].to_pylist()) == {1} and len(rows.attention) == 2 + 3 + 4 + 2


def test_sums_are_of_even_shares():
    sums = AttentionSums(np.array([2, 3, 1]))
    sums.add(1, np.array([0.5, 0.5, 0.0], np.float32))
    sums.add(1, np.array([0.0, 0.5, 0.5], np.float32))
    sums.add(2, np.array([1.0], np.float32))
    regions = pa.table({"slide_id": list("aabbbc"), "region_id": list("uvwxyz")})
    rows = attention_table("h", [sums.table(regions)]).to_pylist()
    assert [(row["slide_id"], row["region_id"], row["attention"], row["n_fits"]) for row in rows] == [
        ("b", "w", 0.75, 2), ("b", "x", 1.5, 2), ("b", "y", 0.75, 2), ("c", "z", 1.0, 1),
    ]  # fmt: skip
    assert attention_table("h", []).equals(ATTENTION.empty_table())
