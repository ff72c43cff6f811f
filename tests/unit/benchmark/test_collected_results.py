"""Results and pairs that collect_results writes, and what a head that fails costs."""

import numpy as np
import pytest

from tests.unit.benchmark.made import collect, fit_heads, split_cohort
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_meta, read_table
from workflow_scripts.mil.heads.knn import KnnHead


def test_results_compare_the_pairs_that_are_named(cohort):
    split_cohort(cohort, repeats=2)
    files = [fit_heads(cohort, "knn", "logistic", representation=name) for name in ("good", "mean")]
    rows, pairs, log = collect(cohort, *files)
    assert read_table(cohort / "results.parquet").schema.equals(schemas.RESULTS)
    assert read_table(cohort / "comparisons.parquet").schema.equals(schemas.COMPARISONS)
    of = {(row["representation"], row["head"], row["metric"]): row for row in rows}
    good, mean = of["good", "logistic", "auc"], of["mean", "logistic", "auc"]
    assert good["value"] > 0.9 > mean["value"]
    pair = next(row for row in pairs if row["head"] == "logistic" and row["metric"] == "auc")
    assert pair["difference"] == pytest.approx(good["value"] - mean["value"])
    assert pair["low"] > 0 and pair["verdict"] == "better" and pair["primary"]
    assert (good["n_patients"], good["n_slides"], good["n_excluded"], len(good["folds"])) == (24, 30, 2, 6)
    assert f"{good['value']:.3f} [" in log and "good is better than mean in AUC" in log


def test_without_predictions_the_tables_are_empty(cohort):
    """A cohort without a task: the rule names no file."""
    rows, pairs, log = collect(cohort)
    assert rows == pairs == [] and "no task is named" in log
    assert read_table(cohort / "results.parquet").schema.equals(schemas.RESULTS)


def test_a_head_that_fails_costs_no_other_head_anything(cohort):
    """Cox cannot learn from classes: it stands in for any head that breaks."""
    split_cohort(cohort)
    path = fit_heads(cohort, "cox", "logistic")
    assert set(read_table(path)["head"].to_pylist()) == {"logistic"}
    assert "head cox is not made for classification" in read_meta(path)["failures"]["cox"]["all"]
    rows, _, log = collect(cohort, path)
    failed = [row for row in rows if row["head"] == "cox"]
    assert len(failed) == 1 and "not made for classification" in failed[0]["failure"] and failed[0]["value"] is None
    assert "failed: head cox" in log


def test_a_budget_in_which_a_head_fails_costs_the_other_budgets_nothing(cohort, monkeypatch):
    split_cohort(cohort, few_shot=[2], draws=3, train_fractions=[1.0, 0.5])
    files = [fit_heads(cohort, "knn", "logistic", representation=name) for name in ("good", "mean")]
    rows, pairs, _ = collect(cohort, *files)
    fit = KnnHead.fit

    def needs_more(self, train, *more):
        if len(train) < 6:
            raise UserError("too few to learn from")
        return fit(self, train, *more)

    monkeypatch.setattr(KnnHead, "fit", needs_more)
    files[0] = fit_heads(cohort, "knn", "logistic", output=cohort / "some.parquet")
    assert read_meta(files[0])["failures"] == {"knn": {"2/class": "too few to learn from"}}
    some, fewer, log = collect(cohort, *files)
    failed = [row for row in some if row["failure"]]
    assert [[row[key] for key in ("representation", "head", "budget", "metric", "value")] for row in failed] == [
        ["good", "knn", "2/class", "auc", None]
    ]
    lost = ("good", "knn", "2/class")
    stand = [row for row in rows if (row["representation"], row["head"], row["budget"]) != lost]
    assert [str(row) for row in some if not row["failure"]] == [str(row) for row in stand]
    assert [str(row) for row in fewer] == [str(row) for row in pairs if (row["head"], row["budget"]) != lost[1:]]
    assert "failed: too few to learn from" in log


def test_predictions_that_are_no_numbers_are_a_failure_and_no_class(cohort, monkeypatch):
    split_cohort(cohort)

    def spoilt(self, vectors):
        return np.full((len(vectors), 2), np.nan)

    monkeypatch.setattr("workflow_scripts.mil.heads.knn.KnnHead.predict_vectors", spoilt)
    path = fit_heads(cohort, "knn")
    assert len(read_table(path)) == 0
    assert (
        read_meta(path)["failures"]["knn"]["all"] == "ValueError: the predictions of 3 of 3 fits are no finite numbers"
    )
