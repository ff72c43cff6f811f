"""What sets add to slide vectors, from planted predictions."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.mil.planted import facts, predictions
from workflow_scripts.core import schemas
from workflow_scripts.core.tasks import METRICS
from workflow_scripts.mil.intervals import difference, holm
from workflow_scripts.mil.results import Cell, mean_cells, score_cells
from workflow_scripts.mil.set_results import set_rows

PRIMARY = {"classification": "logistic"}
SETS = {"slpd-prototypes": "slpd", "mean-prototypes": "mean"}
BUDGETS = {"all": {"design": "folds", "learnt_per_left": 3.0}, "2/class": {"design": "draws", "learnt_per_left": 9.0}}


def cell(name, head, shift, seed=0, budget="all", **more):
    table = predictions(shift, seed=seed, head=head)
    table = table.set_column(table.column_names.index("budget"), "budget", pa.array([budget] * len(table)))
    own = {budget: BUDGETS[budget]}
    return score_cells(table, facts(name, heads=[head], budgets=own, **more))


def planted():
    """Sets are better than vectors with one of two heads, on one of two embeddings."""
    found = []
    for seed, (name, head, shift) in enumerate(
        [
            ("slpd", "knn", 0.0),
            ("slpd", "logistic", 1.0),
            ("slpd-prototypes", "matching_knn", 4.0),
            ("slpd-prototypes", "matching_logistic", 1.0),
            ("slpd-prototypes", "knn", 1.0),
            ("mean", "knn", 0.3),
            ("mean-prototypes", "matching_knn", 0.2),
        ]
    ):
        found += cell(name, head, shift, seed)
    return found


def test_heads_on_sets_are_held_against_their_like_on_the_vectors_of_the_same_embedding():
    cells = planted()
    rows = set_rows(cells, SETS, PRIMARY)
    assert pa.Table.from_pylist(rows, schema=schemas.SETS).num_rows == 3
    assert [[row[key] for key in ("first", "head", "second", "other")] for row in rows] == [
        ["slpd-prototypes", "matching_knn", "slpd", "knn"],
        ["slpd-prototypes", "matching_logistic", "slpd", "logistic"],
        ["mean-prototypes", "matching_knn", "mean", "knn"],
    ]
    of = {(one.representation, one.head): one.scored["all", "auc"].scores for one in cells}
    for row in rows:
        one, two = of[row["first"], row["head"]], of[row["second"], row["other"]]
        change, p = difference(one, two, METRICS["auc"].bounds)
        assert (row["difference"], row["low"], row["high"], row["p"]) == (change.value, change.low, change.high, p)
        assert row["metric"] == "auc" and not row["primary"]
    assert [row["p_holm"] for row in rows] == holm(np.array([row["p"] for row in rows])).tolist()
    assert [row["verdict"] for row in rows] == ["better", "not shown", "not shown"]
    assert {row["comparisons"] for row in rows} == {3}


def test_all_budgets_are_corrected_together():
    cells = cell("slpd", "knn", 0.0) + cell("slpd-prototypes", "matching_knn", 2.5, 1)
    few = cell("slpd", "knn", 0.0, 2, "2/class") + cell("slpd-prototypes", "matching_knn", 1.0, 3, "2/class")
    merged = [replace(one, scored=one.scored | other.scored) for one, other in zip(cells, few, strict=True)]
    rows = set_rows(merged, SETS, PRIMARY)
    assert [row["budget"] for row in rows] == ["all", "2/class"] and {row["comparisons"] for row in rows} == {2}
    assert [row["p_holm"] for row in rows] == holm(np.array([row["p"] for row in rows])).tolist()


def test_of_several_trainings_the_means_are_compared():
    cells = cell("slpd", "knn", 0.0) + cell("slpd-2", "knn", 0.1, 1)
    cells += cell("slpd-prototypes", "matching_knn", 2.0, 2) + cell("slpd-2-prototypes", "matching_knn", 2.5, 3)
    trainings = {"slpd": ["slpd", "slpd-2"], "slpd-prototypes": ["slpd-prototypes", "slpd-2-prototypes"]}
    (row,) = set_rows(mean_cells(cells, trainings), SETS, PRIMARY)
    values = [one.scored["all", "auc"].scores.value for one in cells]
    assert row["difference"] == pytest.approx(np.mean(values[2:]) - np.mean(values[:2]))


def test_retrieval_is_corrected_by_itself():
    cells = planted()
    for name, likeness in (("slpd", "retrieval_cosine"), ("slpd-prototypes", "retrieval_matching")):
        one = next(one for one in cells if one.representation == name)
        cells.append(Cell(one.facts, likeness, {}, {("all", "mean_average_precision"): one.scored["all", "auc"]}))
    rows = set_rows(cells, SETS, PRIMARY)
    sizes = {(row["head"], row["other"]): row["comparisons"] for row in rows}
    assert sizes["retrieval_matching", "retrieval_cosine"] == 1 and sizes["matching_knn", "knn"] == 3


def test_without_sets_there_is_nothing():
    assert set_rows(planted(), {}, PRIMARY) == []
