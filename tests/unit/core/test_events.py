"""Events and censoring as people's tables write them, and columns that may be the reverse of what they are named."""

import pytest

from tests.unit.core.test_labels import SURVIVAL, _labels, _row
from workflow_scripts.config import Task
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.events import parse_censored, parse_event

CENSORED = Task(kind="survival", time="days", censored="alive")
YES = ["1", "1.0", "True", "TRUE", "yes", "1:DECEASED", "1: Recurred/Progressed", "Dead", "deceased", "event", "T", "y"]
NO = ["0", "0.0", "False", "no", "0:LIVING", "0:DiseaseFree", "Alive", "LIVING", "censored", "F", "n", "No event"]


def _cohort(cells, column="dead", times=None):
    times = times or [str(10 + place) for place in range(len(cells))]
    return [
        _row(f"s{place}", f"p{place}", days=time, **{column: cell})
        for place, (cell, time) in enumerate(zip(cells, times, strict=True))
    ]


def _events(rows, task=SURVIVAL):
    return [event for _, event in _labels(rows, task).values]


def test_what_is_unambiguous_is_read():
    assert [parse_event(cell) for cell in YES + NO] == [True] * len(YES) + [False] * len(NO)


def test_censoring_is_the_reverse_but_for_words_that_say_it_themselves():
    assert [parse_censored(cell) for cell in ("1", "True", "yes", "0", "no")] == [False, False, False, True, True]
    assert [parse_censored(cell) for cell in ("dead", "alive", "censored", "event")] == [True, False, False, True]


@pytest.mark.parametrize("cell", ["2", "3:OTHER", "maybe", "lost", "0.5", "-1"])
def test_what_is_ambiguous_is_refused(cell):
    with pytest.raises(ValueError, match="write 1 for an event and 0 for censoring"):
        parse_event(cell)
    with pytest.raises(ValueError, match="write 1 for censoring and 0 for an event"):
        parse_censored(cell)


def test_ones_and_twos_are_those_of_r_and_told():
    labels = _labels(_cohort(["1", "2", "2.0", "", "1"]), SURVIVAL)
    assert [event for _, event in labels.values] == [False, True, True, False]
    (doubt,) = labels.doubts
    assert "slides.csv: column dead holds 1 and 2" in doubt and "2 is an event, 1 censoring" in doubt


@pytest.mark.parametrize("cells", [["0", "1", "2"], ["2", "2"], ["1", "2", "dead"]])
def test_twos_in_any_other_column_are_refused(cells):
    with pytest.raises(UserError, match=r"column dead of slide s\d is '2'; write 1 for an event and 0 for censoring"):
        _labels(_cohort(cells), SURVIVAL)


def test_ones_alone_are_events():
    assert _events(_cohort(["1", "1"])) == [True, True]


def test_ones_and_twos_of_censoring_have_no_convention():
    with pytest.raises(UserError, match="write 1 for censoring and 0 for an event"):
        _labels(_cohort(["1", "2"], "alive"), CENSORED)


@pytest.mark.parametrize(("events", "told"), [(19, True), (18, False), (0, False)])
def test_nearly_all_with_the_event_are_told(events, told):
    cells = ["1"] * events + ["0"] * (20 - events)
    doubts = _labels(_cohort(cells), SURVIVAL).doubts
    sentence = (
        f"column dead: {events} of 20 patients have the event; if it is the reverse, write censored: dead in place"
    )
    assert any(sentence in doubt for doubt in doubts) is told
    reverse = ["0"] * events + ["1"] * (20 - events)
    assert any("write event: alive" in doubt for doubt in _labels(_cohort(reverse, "alive"), CENSORED).doubts) is told


def test_nearly_all_is_counted_by_patient():
    rows = _cohort(["1"] * 9 + ["0"])
    more = [_row(f"t{place}", "p0", days="10", dead="1") for place in range(50)]
    assert _labels(rows + more, SURVIVAL).doubts == []


def test_times_with_a_decimal_comma():
    labels = _labels(_cohort(["1", "0", "1"], times=["12,5", "3", "0,25"]), SURVIVAL)
    assert [time for time, _ in labels.values] == [12.5, 3.0, 0.25]
    with pytest.raises(UserError, match="column days of slide s1 is '1,234'; its comma may separate thousands"):
        _labels(_cohort(["1", "0"], times=["12,5", "1,234"]), SURVIVAL)


def test_words_are_no_durations_that_were_exchanged():
    assert _events(_cohort(["dead", "alive"], times=["1", "0"])) == [True, False]
