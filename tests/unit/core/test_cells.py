"""Missing values by one rule, and ids of slides with and without the suffix of a file."""

import pytest

from workflow_scripts.core.cells import (
    SlideNames,
    bare_id,
    find_alike,
    first_few,
    is_missing,
    is_number,
    looks_missing,
    parse_number,
)


@pytest.mark.parametrize(
    "cell",
    [
        *(
            "",
            " ",
            "NA",
            "na",
            "N/A",
            "n/a",
            "#N/A",
            "<NA>",
            "NaN",
            "nan",
            "NaT",
            "NULL",
            "None",
            "unknown",
            "-",
            " - ",
        ),
        *(
            "--",
            "'--",
            "[Not Available]",
            "[Unknown]",
            "not reported",
            "Not\N{NO-BREAK SPACE}Available",
            "\ufeff",
            "[NA]",
        ),
        *("#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!", "#NA", "#N/A N/A", "-nan", "1.#IND", "-1.#QNAN"),
        *("(null)", "(blank)", "\\N"),
    ],
)
def test_missing_values(cell):
    assert is_missing(cell)


@pytest.mark.parametrize("cell", ["0", "no", "N", "nano", "unknown primary", "?", ".", "NA1", "+", "[", "[]x"])
def test_values_that_are_not_missing(cell):
    assert not is_missing(cell)


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("TCGA-3C-AALI-01Z-00-DX1.F6E9A5DF.svs", "TCGA-3C-AALI-01Z-00-DX1.F6E9A5DF"),
        ("a.ome.tiff", "a"),
        ("a.SVS", "a"),
        ("a.h5", "a"),
        ("a.b", "a.b"),
        ("svs", "svs"),
    ],
)
def test_suffixes_of_files_are_no_part_of_an_id(name, bare):
    assert bare_id(name) == bare


def test_slides_are_found_with_and_without_suffix_and_exactly_first():
    names = SlideNames(["a", "b.svs", "c", "c.tiff"])
    assert [names.find(name) for name in ("a.svs", "b", "b.svs", "c", "c.tiff", "c.svs", "d")] == [
        *("a", "b.svs", "b.svs", "c", "c.tiff", None, None)
    ]


@pytest.mark.parametrize(
    "cell",
    [
        *("?", ".", "***", "[Discrepancy]", "<unspecified>", "unk", "Not done", "-999", "9999"),
        *("N/K", "N / A", "na.", "not stated", "unspecified", "Not Performed", "\N{EM DASH}"),
    ],
)
def test_what_looks_like_a_missing_value_and_is_not_in_the_list(cell):
    assert looks_missing(cell) and not is_missing(cell)


@pytest.mark.parametrize("cell", ["", "NA", "[Unknown]", "0", "-1", "99", "+", "-", "++", "a?", "<5%", "ER-"])
def test_what_does_not_look_like_a_missing_value(cell):
    assert not looks_missing(cell)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("12", 12),
        ("12.5", 12.5),
        ("12,5", 12.5),
        ("0,125", 0.125),
        ("-0,5", -0.5),
        (" 1e3 ", 1000),
        (",5", 0.5),
        ("1234,567", 1234.567),
        ("\N{MINUS SIGN}3", -3),
        ("12.", 12),
    ],
)
def test_numbers_with_a_decimal_point_or_a_comma_that_can_be_nothing_else(cell, value):
    assert parse_number(cell) == value and is_number(cell)


@pytest.mark.parametrize("cell", ["1.234,5", "1,2,3", "inf", "nan", "1_000", "12 days", "", "1e999", "0x10", "\u0661"])
def test_what_is_no_number(cell):
    assert not is_number(cell)
    with pytest.raises(ValueError, match="write a number, or leave it empty"):
        parse_number(cell)


@pytest.mark.parametrize("cell", ["1,234", "-12,500", "999,000"])
def test_a_comma_that_may_separate_thousands_is_not_guessed(cell):
    with pytest.raises(ValueError, match="its comma may separate thousands or decimals, so write "):
        parse_number(cell)


@pytest.mark.parametrize(
    "names",
    [
        *(
            ["LUAD", "luad"],
            ["high\u00a0grade", "high grade"],
            ["high  grade", "high grade"],
            ["pre-op", "pre\u2013op"],
        ),
        *(["1", "1.0"], ["100", "1e2"], ["0,5", "0.5"], ["high_grade", "High-Grade"], ["a\u200bb", "ab"]),
        *(["e\u0301", "\u00e9"], ["G\uff11", "G1"]),
    ],
)
def test_names_that_look_alike(names):
    assert find_alike([*names, "other", names[0]]) == [sorted(names)]


def test_names_that_differ():
    different = [
        "0",
        "1",
        "01",
        "10",
        "a",
        "b",
        "ER",
        "ER+",
        "ER-",
        "-1",
        "1+",
        "2+",
        "<5%",
        ">5%",
        "I",
        "II",
        "T1",
        "T1a",
    ]
    assert find_alike(different) == []


def test_first_few():
    assert first_few(["a", "b"]) == "a, b"
    assert first_few("abcd") == "a, b, c ..."
