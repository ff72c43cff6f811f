import pytest
import yaml

from workflow_scripts.project.survey import Range
from workflow_scripts.project.wording import counted, hours, numbers, rounded, scalar, size, wrapped


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0081, "0.0081"), (0.5, "0.5"), (2.0, "2"), (2.04, "2"), (13.4, "13"), (1349, "1,300")],
)
def test_two_digits(value, text):
    assert rounded(value) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.001, 0.01, "under a minute"),
        (0.01, 0.05, "1 to 3 minutes"),
        (0.4, 1.2, "24 to 72 minutes"),
        (1.0, 3.2, "1 to 3 hours"),
        (30, 47, "30 to 47 hours"),
        (30, 49, "1 to 2 days"),
        (200, 800, "8 to 33 days"),
        (1 / 60, 1 / 60, "1 minute"),
    ],
)
def test_times(low, high, text):
    assert hours(Range(low, high)) == text


def test_counts_and_sizes():
    assert numbers(Range(31, 31)) == "31" and numbers(Range(51_400, 62_853)) == "51,000 to 63,000"
    assert [size(n) for n in (10, 1.3e6, 63e9, 2.5e12)] == ["under 0.1 MB", "1.3 MB", "63 GB", "2.5 TB"]
    assert counted(1, "slide") == "1 slide" and counted(1041, "slide") == "1,041 slides"


@pytest.mark.parametrize(
    "text",
    ["lung", "2024", "true", "null", "1e3", "a: b", "a #b", "2021-01-01", "", " x", "é", "a,b", "/p/Zoë's.csv", "~"],
)
def test_text_is_read_back_as_it_was(text):
    assert yaml.safe_load(f"a: {scalar(text)}") == {"a": text}
    assert yaml.safe_load(f"{{ a: {scalar(text)}, b: 1 }}") == {"a": text, "b": 1}


def test_plain_text_stays_plain():
    assert scalar("slides.csv") == "slides.csv" and scalar("/data/a b.csv") == "/data/a b.csv"


def test_sentences_are_wrapped_and_lose_their_line_breaks():
    lines = wrapped(["one two\nthree", "", "four"], 9, "# ", "# ")
    assert lines == ["# one two", "# three", "# four"]
    assert wrapped(["a-very-long-name"], 5) == ["a-very-long-name"]
