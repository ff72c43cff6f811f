"""Events and censoring as tables write them. Standard library only."""

import re
from collections.abc import Mapping
from typing import Any

from workflow_scripts.core.cells import is_number, parse_number, plain_text
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import SlideRow

_CODED = re.compile(r"([01])\s*:.*")  # cBioPortal: 1:DECEASED, 0:LIVING
_SWITCHES = {**dict.fromkeys(("true", "yes", "t", "y"), True), **dict.fromkeys(("false", "no", "f", "n"), False)}
_FATES = {
    **dict.fromkeys(("dead", "deceased", "died", "event"), True),
    **dict.fromkeys(("alive", "living", "censored", "no event"), False),
}
_MANY, _NEARLY_ALL = 10, 0.9  # patients, and the share of them with an event above which the column may be the reverse


def _switch(cell: str) -> bool | None:
    """What 1 and 0, True and False, yes and no, or 1:WORD and 0:WORD say; None for anything else."""
    text = plain_text(cell)
    if text in _SWITCHES:
        return _SWITCHES[text]
    coded = _CODED.fullmatch(text)
    number = coded[1] if coded else text
    return parse_number(number) == 1 if is_number(number) and parse_number(number) in (0, 1) else None


def _is_duration(cell: str) -> bool:
    """Whether a cell is a number that stands for neither an event nor censoring in any coding."""
    return is_number(cell) and parse_number(cell) not in (0, 1, 2)


def parse_event(cell: str) -> bool:
    """Whether there is an event: a switch, or a word such as dead and alive.

    Raises:
        ValueError: the cell says neither.
    """
    value = _FATES.get(plain_text(cell), _switch(cell))
    if value is None:
        raise ValueError("write 1 for an event and 0 for censoring, or leave it empty")
    return value


def parse_censored(cell: str) -> bool:
    """Whether there is an event, from the reverse of it: 1 is censoring.

    Raises:
        ValueError: the cell says neither.
    """
    value = _FATES.get(plain_text(cell))
    if value is not None:  # a word says itself which it is
        return value
    censored = _switch(cell)
    if censored is None:
        raise ValueError("write 1 for censoring and 0 for an event, or leave it empty")
    return not censored


def require_event_column(rows: list[SlideRow], columns: list[str], is_event: bool, source: str) -> None:
    """Refuse time and event that are exchanged, and an event column that tells of censoring by its name.

    Args:
        rows: labelled rows.
        columns: those of the time and of the event.
        is_event: whether the second is read as events, and not as censoring.
        source: file of the columns, for messages.

    Raises:
        UserError: as said.
    """
    time, event = columns
    if is_event and "censor" in event.lower():
        raise UserError(
            f"{source}: column {event} is named as event, yet its name tells of censoring, the reverse; write "
            f"censored: {event} in place of event, or rename the column where its 1 is an event"
        )
    times, events = ({plain_text(row.labels[column]) for row in rows} for column in columns)
    if rows and all(_switch(cell) is not None for cell in times) and any(_is_duration(cell) for cell in events):
        raise UserError(
            f"{source}: column {time} (time) holds only 0 and 1, column {event} (event) other values; exchange them"
        )


def from_r_coding(rows: list[SlideRow], column: str) -> tuple[list[SlideRow], list[str]]:
    """Rows with 0 and 1 where the column holds 1 and 2, both and nothing else: R's Surv, in which 2 is an event.

    Returns:
        The rows, and a sentence that tells where they were changed.
    """
    known = {"1": "0", "1.0": "0", "2": "1", "2.0": "1"}
    recoded = [known.get(row.labels[column], "") for row in rows]
    if set(recoded) != {"0", "1"}:
        return rows, []
    told = f"column {column} holds 1 and 2 and is read as R's survival package writes it: 2 is an event, 1 censoring"
    changed = [row._replace(labels=row.labels | {column: cell}) for row, cell in zip(rows, recoded, strict=True)]
    return changed, [told]


def nearly_all_events(rows: list[SlideRow], values: Mapping[str, Any], column: str, is_event: bool) -> list[str]:
    """A sentence where so many patients have the event that it may be the reverse.

    Args:
        rows: labelled rows.
        values: time and event of each slide, by its id.
        column: that the event was read from.
        is_event: whether it was read as events, and not as censoring.
    """
    events = {row.patient_id: values[row.slide_id][1] for row in rows}
    count = sum(events.values())
    if len(events) < _MANY or count <= _NEARLY_ALL * len(events):
        return []
    other = f"censored: {column} in place of event" if is_event else f"event: {column} in place of censored"
    return [f"column {column}: {count} of {len(events)} patients have the event; if it is the reverse, write {other}"]
