"""Tables of results and comparisons from planted predictions."""

import math

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.mil.planted import facts, predictions
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tasks import KINDS
from workflow_scripts.mil.intervals import holm
from workflow_scripts.mil.predictions import Predicted, prediction_table
from workflow_scripts.mil.results import comparison_rows, mean_cells, result_rows, score_cells

PRIMARY = {"classification": "logistic"}


def cells(**shifts):
    found = []
    for number, (name, shift) in enumerate(shifts.items()):
        found += score_cells(predictions(shift, seed=number), facts(name))
    return found


def test_rows_have_the_schema_and_the_order_of_the_metrics():
    rows = result_rows(cells(slpd=2.0, mean=0.0), PRIMARY)
    table = pa.Table.from_pylist(rows, schema=schemas.RESULTS)
    assert len(table) == len(rows)
    of = {(row["representation"], row["metric"]): row for row in rows}
    good, poor = of["slpd", "auc"], of["mean", "auc"]
    assert good["ci_low"] > 0.6 > poor["ci_low"] and good["value"] > poor["value"]
    assert (good["aggregation"], good["n_repeats"], len(good["folds"]), good["smallest_group"]) == (
        "pooled over folds",
        3,
        12,
        20,
    )
    assert [row["headline"] for row in rows if row["metric"] == "auc"] == [True, True]
    assert {(row["n_test_seen"], row["n_tested"]) for row in rows} == {(17, 40)}


def test_a_failed_head_is_a_row_with_its_reason_and_the_others_stand():
    table = predictions(1.0)
    broken = facts(heads=["knn", "logistic"], failures={"knn": {"all": "LinAlgError: singular"}})
    rows = result_rows(score_cells(table, broken), PRIMARY)
    failed = [row for row in rows if row["head"] == "knn"]
    assert [(row["metric"], row["failure"], row.get("value")) for row in failed] == [
        ("auc", "LinAlgError: singular", None)
    ]
    assert all(row["failure"] is None and math.isfinite(row["value"]) for row in rows if row["head"] == "logistic")
    assert comparison_rows(score_cells(table, broken), [("slpd", "slpd")], PRIMARY)[0]["head"] == "logistic"


def test_only_the_headline_is_judged_and_after_correction_in_its_family():
    made = cells(slpd=2.5, dino=2.4, mean=0.0, colour=0.1)
    pairs = [("slpd", "mean"), ("slpd", "dino"), ("slpd", "colour"), ("mean", "slpd"), ("slpd", "absent")]
    rows = comparison_rows(made, pairs, PRIMARY)
    pa.Table.from_pylist(rows, schema=schemas.COMPARISONS)
    judged = [row for row in rows if row["headline"]]
    assert [(row["first"], row["second"]) for row in judged] == pairs[:4]
    assert [row["p_holm"] for row in judged] == pytest.approx(holm(np.array([row["p"] for row in judged])).tolist())
    assert [row["verdict"] for row in judged] == ["better", "not shown", "better", "worse"]
    assert {row["comparisons"] for row in judged} == {4}
    assert all("verdict" not in row for row in rows if not row["headline"])
    smaller = next(row for row in rows if row["metric"] == "brier" and row["second"] == "mean")
    assert smaller["difference"] < 0


def test_tasks_of_one_family_are_corrected_together():
    made = cells(slpd=2.0, mean=0.0)
    for name, shift in (("slpd", 1.0), ("mean", 0.0)):
        made += score_cells(predictions(shift, seed=7), facts(name, task="u"))
    rows = [row for row in comparison_rows(made, [("slpd", "mean")], PRIMARY) if row["headline"]]
    assert {row["task"] for row in rows} == {"t", "u"} and {row["comparisons"] for row in rows} == {2}


def test_trainings_by_other_seeds_are_one_representation():
    made = cells(slpd=1.0, other=1.4, third=0.6, mean=0.0)
    names = {"slpd": ["slpd", "other", "third"]}
    together = mean_cells(made, names)
    assert {cell.representation for cell in together} == {"slpd", "mean"}
    rows = result_rows(together, PRIMARY)
    row = next(row for row in rows if row["representation"] == "slpd" and row["metric"] == "auc")
    ones = [r["value"] for r in result_rows(made, PRIMARY) if r["metric"] == "auc" and r["representation"] != "mean"]
    assert row["value"] == pytest.approx(np.mean(ones)) and row["sd_trainings"] == pytest.approx(np.std(ones, ddof=1))
    assert row["trainings"] == ["slpd", "other", "third"]
    widths = {r["representation"]: r["error"] for r in result_rows(made, PRIMARY) if r["metric"] == "auc"}
    assert row["error"] > np.std(ones, ddof=1) / math.sqrt(3) and all(width > 0 for width in widths.values())


def test_a_training_that_failed_fails_the_representation():
    made = cells(slpd=1.0, mean=0.0) + score_cells(
        predictions(1.0), facts("other", failures={"logistic": {"all": "no"}})
    )
    together = mean_cells(made, {"slpd": ["slpd", "other"]})
    assert [cell.failures for cell in together if cell.representation == "slpd"] == [{"all": "other: no"}]


def test_a_training_that_failed_in_a_budget_fails_that_budget_alone():
    budgets = {name: {"design": "folds", "learnt_per_left": 3.0} for name in ("all", "2/class")}
    table = predictions(1.0)
    few = table.set_column(table.column_names.index("budget"), "budget", pa.array(["2/class"] * len(table)))
    both = pa.concat_tables([table, few])
    made = score_cells(both, facts("slpd", budgets=budgets)) + score_cells(
        table, facts("other", budgets=budgets, failures={"logistic": {"2/class": "no"}})
    )
    (cell,) = mean_cells(made, {"slpd": ["slpd", "other"]})
    assert cell.failures == {"2/class": "other: no"} and {budget for budget, _ in cell.scored} == {"all"}


def test_sites_of_other_shares_are_not_ranked_against_each_other():
    """Two sites, 80 and 20 % positive, each scored by noise about what the model has learnt: the other site's share."""
    random = np.random.default_rng(0)
    names = [f"p{i:03d}" for i in range(200)]
    positive = np.concatenate([np.arange(100) < 80, np.arange(100) < 20])
    truth = pa.table({"slide_id": names, "patient_id": names, "label": np.where(positive, "b", "a").tolist()})
    tests = []
    for site, learnt in enumerate((0.2, 0.8)):
        score = learnt + 0.1 * random.normal(size=100).clip(-1.9, 1.9)
        rows = np.arange(100) + 100 * site
        tests.append(Predicted("all", 0, site, 0, rows, np.stack([1 - score, score], axis=1)))
    table, found = prediction_table("logistic", KINDS["classification"], truth, tests), {}
    for balanced in (True, False):
        made = score_cells(
            table, facts(balanced=balanced, budgets={"all": {"design": "folds", "learnt_per_left": 1.0}})
        )
        found[balanced] = next(row for row in result_rows(made, PRIMARY) if row["metric"] == "auc")
    assert found[True]["value"] < 0.3 and found[False]["value"] == pytest.approx(0.5, abs=0.1)
    assert found[False]["ci_low"] < 0.5 < found[False]["ci_high"] and found[False]["aggregation"] == "within folds"


def test_other_patients_are_never_compared():
    made = score_cells(predictions(1.0), facts("slpd")) + score_cells(predictions(1.0, n=38), facts("mean"))
    with pytest.raises(UserError, match="different patients"):
        comparison_rows(made, [("slpd", "mean")], PRIMARY)
