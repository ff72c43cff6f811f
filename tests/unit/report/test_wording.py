import math

from workflow_scripts.core.tasks import METRICS
from workflow_scripts.report.wording import counted, interval, listed, metric_name, number, p_value, significant


def test_numbers_have_true_minus_signs_and_dashes_where_there_is_none():
    assert [number(value) for value in (0.5, -0.25, -0.0001, None, math.nan, math.inf)] == [
        *("0.500", "−0.250", "0.000", "–", "–", "–")
    ]
    assert number(0.5, sign=True) == "+0.500" and number(-0.0, sign=True) == "0.000"
    assert interval(-0.1, 0.25, sign=True) == "[−0.100,\u00a0+0.250]" and interval(None, 0.25) == ""


def test_digits_that_count():
    values = (84.0, 179.04, 1234.5, 0.002134, 0.0999, -0.5, 0.0, None)
    assert [significant(value) for value in values] == [
        *("84.0", "179", "1234", "0.00213", "0.0999", "−0.500", "0.000", "–")
    ]


def test_p_values_are_never_nought():
    found = [p_value(value) for value in (0.04999, 0.0004, 1.0, None, math.nan)]
    assert found == ["=\u00a00.050", "<\u00a00.001", "=\u00a01.000", "–", "–"]


def test_words():
    assert [counted(1, "slide"), counted(2, "slide"), counted(0, "case")] == ["1 slide", "2 slides", "0 cases"]
    assert [listed([]), listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert metric_name("auc") == METRICS["auc"].label and metric_name("of_mine") == "of mine"
