"""Missing values by one rule, and ids of slides with and without the suffix of a file."""

import pytest

from workflow_scripts.core.cells import SlideNames, bare_id, first_few, is_missing


@pytest.mark.parametrize(
    "cell", ["", " ", "NA", "na", "N/A", "n/a", "NaN", "nan", "NULL", "None", "unknown", "-", " - "]
)
def test_missing_values(cell):
    assert is_missing(cell)


@pytest.mark.parametrize("cell", ["0", "no", "N", "nano", "unknown primary", "--", ".", "NA1"])
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


def test_first_few():
    assert first_few(["a", "b"]) == "a, b"
    assert first_few("abcd") == "a, b, c ..."
