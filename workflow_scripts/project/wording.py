"""Figures in words: hours, bytes and counts as a person says them, and text as YAML takes it."""

import json
import math
import textwrap
from collections.abc import Iterable

import yaml

from workflow_scripts.project.survey import Range

_UNITS = ((1 / 60, "minutes"), (1.0, "hours"), (24.0, "days"))  # hours


def rounded(value: float) -> str:
    """Two significant digits, thousands apart: 1,300; 0.21; 13."""
    if value <= 0:
        return "0"
    digits = 1 - math.floor(math.log10(value))
    text = f"{round(value, digits):,.{max(0, digits)}f}"
    return text.rstrip("0").rstrip(".") if digits > 0 else text


def _between(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def hours(span: Range) -> str:
    """A length of time in the unit that suits it: `2 to 6 hours`, `under a minute`."""
    if span.high < 1 / 60:
        return "under a minute"
    size, unit = next(((s, u) for s, u in reversed(_UNITS) if span.high >= 2 * s), _UNITS[0])
    low, high = (max(1, round(value / size)) if value / size < 10 else round(value / size) for value in span)
    return f"{_between(f'{low:,}', f'{high:,}')} {unit if high > 1 else unit[:-1]}"


def numbers(span: Range) -> str:
    """A count: `430`, `51,000 to 62,000`."""
    if span.low == span.high:
        return f"{span.high:,.0f}"
    return _between(rounded(span.low), rounded(span.high))


def size(count: float) -> str:
    """Bytes as MB, GB or TB (powers of 1000)."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9)):
        if count >= factor:
            return f"{rounded(count / factor)} {unit}"
    return f"{rounded(count / 1e6)} MB" if count >= 1e5 else "under 0.1 MB"


def counted(count: int, noun: str) -> str:
    """A number with its noun, whose plural has an s: `1 slide`, `8 slides`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def wrapped(sentences: Iterable[str], width: int, first: str = "", further: str = "") -> list[str]:
    """Sentences as lines of text, each begun on a line of its own; empty ones are left out.

    Args:
        sentences: whose line breaks are taken for spaces.
        width: characters of a line at most; a longer word stays whole.
        first: what a sentence's first line begins with.
        further: what its other lines begin with.
    """
    wrapper = textwrap.TextWrapper(
        width, initial_indent=first, subsequent_indent=further, break_long_words=False, break_on_hyphens=False
    )
    return [line for sentence in sentences for line in wrapper.wrap(" ".join(sentence.split()))]


def scalar(text: str) -> str:
    """Text as a YAML value: as it is where YAML reads it back as the same text, else in quotes."""
    special = any(character in text for character in "#:,[]{}&*!|>'\"%@`\n") or text != text.strip()
    if not special and text and yaml.safe_load(text) == text:
        return text
    return json.dumps(text, ensure_ascii=False)
