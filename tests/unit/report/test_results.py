import math

import pytest

from workflow_scripts.config import Task
from workflow_scripts.core.tasks import METRICS, Metric
from workflow_scripts.report.results import (
    headline_lines,
    interval,
    number,
    result_tables,
    sentences,
    smaller_is_better,
    verdict,
)

TASKS = {"subtype": Task(kind="classification", label="subtype")}


def _row(representation, pooled, low=None, high=None, **changes):
    compared = representation != "mean"
    row = {"task": "subtype", "kind": "classification", "representation": representation, "pretrained_on": "x"}
    row |= {"head": "knn", "metric": "auc", "pooled": pooled, "ci_low": pooled - 0.1, "ci_high": pooled + 0.1}
    row |= {"mean": pooled, "sd": 0.1, "n_patients": 60, "n_excluded": 4, "baseline": "mean" if compared else None}
    return row | {"difference": 0.1 if compared else None, "difference_low": low, "difference_high": high} | changes


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.01, 0.2, "better"), (-0.2, -0.01, "worse"), (-0.01, 0.2, "none"), (0.0, 0.2, "none"), (math.nan, math.nan, "")],
)
def test_a_claim_needs_an_interval_without_zero(low, high, expected):
    assert verdict(_row("slpd", 0.8, low, high)) == expected


def test_of_an_error_the_smaller_value_is_the_better(monkeypatch):
    monkeypatch.setitem(METRICS, "mae", Metric("mean absolute error", larger_is_better=False))
    rows = [_row("mean", 9.0, metric="mae"), _row("slpd", 7.0, -3.0, -1.0, metric="mae")]
    assert verdict(rows[1]) == "better"
    assert verdict(_row("slpd", 11.0, 1.0, 3.0, metric="mae")) == "worse"
    assert result_tables(rows, TASKS, ["mean", "slpd"])[0]["lines"][0]["best"] == "slpd"
    assert smaller_is_better([*rows, _row("mean", 0.5)]) == ["mean absolute error"]


def test_the_baseline_is_compared_with_nothing():
    assert verdict(_row("mean", 0.8)) == ""


def test_the_highest_is_marked_only_where_it_is_shown_to_be_better():
    def best(*rows):
        return result_tables(list(rows), TASKS, ["mean", "slpd", "dino"])[0]["lines"][0]["best"]

    assert best(_row("mean", 0.7), _row("slpd", 0.8, 0.01, 0.2), _row("dino", 0.75, 0.01, 0.1)) == "slpd"
    assert best(_row("mean", 0.7), _row("slpd", 0.8, -0.01, 0.2), _row("dino", 0.75, 0.01, 0.1)) is None
    assert best(_row("mean", 0.9), _row("slpd", 0.8, -0.2, -0.1)) is None
    assert best(_row("mean", 0.7), _row("slpd", math.nan, math.nan, math.nan)) is None


def test_columns_follow_the_settings_and_gaps_stay_gaps():
    rows = [_row("dino", 0.7, -1, 1), _row("mean", 0.6), _row("mean", 0.5, head="abmil")]
    table = result_tables(rows, TASKS, ["mean", "slpd", "dino"])[0]
    assert [name for name, _ in table["representations"]] == ["mean", "dino"]
    assert [line["head"] for line in table["lines"]] == ["knn", "abmil"]
    assert table["lines"][1]["cells"][1] is None
    assert table["baseline"] == "mean"


def test_the_headline_metric_is_fixed_by_the_kind():
    rows = [_row("slpd", 0.99, 0.1, 0.2, metric="accuracy"), _row("slpd", 0.6, -0.1, 0.2), _row("mean", 0.5)]
    table = result_tables(rows, TASKS, ["mean", "slpd"])[0]
    assert [line["metric"] for line in headline_lines(table)] == ["auc"]
    told = sentences(table, ["slpd"])
    assert [(t["name"], t["verdict"], t["base"]["pooled"]) for t in told] == [("slpd", "none", 0.5)]


def test_numbers_are_printed_with_a_true_minus_and_no_minus_zero():
    assert number(-0.1234) == "−0.123"
    assert number(0.1234, sign=True) == "+0.123"
    assert number(-0.0001) == "0.000" and number(-0.0001, sign=True) == "0.000"
    assert number(None) == number(math.nan) == "–"
    assert interval(-0.5, 1) == "[−0.500, 1.000]" and interval(None, 1) == ""
