"""Cells of tables that people write: which are missing values, which look alike, numbers, and the ids of slides.

Standard library only: the configuration is checked with it, and every cluster job reads it again.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

_MISSING = frozenset(
    (
        *("", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "-", "--", "'--"),
        *("unknown", "missing", "not available", "not applicable", "not reported", "not evaluated"),
        *("#na", "#n/a n/a", "-nan", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "(null)", "(blank)", "\\n"),
        # what a spreadsheet shows where it cannot compute a cell
        *("#div/0!", "#name?", "#null!", "#num!", "#ref!", "#value!", "#spill!", "#calc!"),
    )
)
# what may be a value, and is told where it is read as one
_LIKE_MISSING = frozenset(
    (
        *("unk", "n.a", "n.a.", "na.", "n / a", "n/d", "nd", "n.d.", "n/k", "nk", "tbd", "nil", "void", "blank"),
        *("empty", "no data", "no value", "not known", "not done", "not performed", "not assessed", "not tested"),
        *("not determined", "not stated", "not recorded", "not specified", "unspecified", "not provided"),
        *("undetermined", "indeterminate", "undefined"),
        *("-9", "-99", "-999", "-9999", "999", "9999"),
    )
)
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)
# of files of slides, and of features that tools name by slide
_SUFFIXES = (
    *(".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide", ".czi", ".dcm", ".ome"),
    *(".png", ".jpg", ".jpeg", ".h5", ".pt"),
)


def plain_text(cell: str) -> str:
    """A cell without what the eye does not see: in lower case, with single blanks, without marks of no width."""
    if cell.isascii():  # most cells of most tables
        return " ".join(cell.casefold().split())
    shown = "".join(sign for sign in unicodedata.normalize("NFKC", cell) if unicodedata.category(sign) != "Cf")
    return " ".join(shown.casefold().split())


def is_missing(cell: str) -> bool:
    """Whether a cell holds no value, by the one rule for every column of every table (docs/tables.md lists them).

    It is empty or one of a list of texts, such as NA, NaN, None and unknown, in upper or lower case, and in square
    brackets too. A name among a task's `classes` is a value all the same.
    """
    text = plain_text(cell)
    return text in _MISSING or (text.startswith("[") and text.endswith("]") and text[1:-1].strip() in _MISSING)


def looks_missing(cell: str) -> bool:
    """Whether a cell that `is_missing` takes for a value looks as if it stood for none: `?`, `[Discrepancy]`, -999."""
    text = plain_text(cell)
    bracketed = len(text) > 1 and text[0] + text[-1] in ("[]", "<>")
    signs_only = bool(text) and not any(sign.isalnum() or sign in "+-" for sign in text)
    return not is_missing(cell) and (text in _LIKE_MISSING or bracketed or signs_only)


def parse_number(cell: str) -> float:
    """A finite number with a decimal point, or a decimal comma where it can be nothing else.

    Raises:
        ValueError: it is none, or has a comma that may separate thousands; the message says how to mend it.
    """
    text = cell.strip().replace("\N{MINUS SIGN}", "-")
    if _THOUSANDS.fullmatch(text):
        point, whole = text.replace(",", "."), text.replace(",", "")
        raise ValueError(f"its comma may separate thousands or decimals, so write {whole} or {point}")
    value = float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise ValueError("write a number, or leave it empty")
    return value


def is_number(cell: str) -> bool:
    """Whether `parse_number` reads a cell."""
    try:
        return math.isfinite(parse_number(cell))
    except ValueError:
        return False


def alike_key(name: str) -> str:
    """What names that look alike share: all but case, blanks, dashes between words, and how a number is written.

    Whole numbers are text, so that 1 and 01 may be two names, but 1 and 1.0 hardly.
    """
    text = plain_text(name)
    if is_number(text) and not text.lstrip("+-").isdecimal():
        return f"{parse_number(text):.15g}"
    # dashes of any kind, and underscores
    joined = "".join(" " if unicodedata.category(sign) in ("Pd", "Pc") else sign for sign in text[1:-1])
    return " ".join(f"{text[:1]}{joined}{text[1:][-1:]}".split())


def find_alike(names: Iterable[str]) -> list[list[str]]:
    """Groups of different names that look alike, each sorted; the groups in the order of their first names."""
    by_key: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        by_key.setdefault(alike_key(name), []).append(name)
    return [group for group in by_key.values() if len(group) > 1]


def bare_id(slide_id: str) -> str:
    """A slide's id without the suffixes of files: `TCGA-3C-AALI-01Z.svs` is `TCGA-3C-AALI-01Z`."""
    name = slide_id.strip()
    while any(name.lower().endswith(suffix) for suffix in _SUFFIXES):
        name = name[: name.rindex(".")]
    return name


class SlideNames:
    """Finds the manifest's slides by ids that other tables give, with or without the suffix of a file."""

    def __init__(self, slide_ids: Iterable[str]) -> None:
        self._ids = set(slide_ids)
        counts = Counter(map(bare_id, self._ids))
        self._bare = {bare_id(name): name for name in self._ids if counts[bare_id(name)] == 1}

    def find(self, name: str) -> str | None:
        """The manifest's slide_id; None where the manifest has no such slide, or several but for suffixes."""
        return name if name in self._ids else self._bare.get(bare_id(name))


def first_few(names: Iterable[str], most: int = 3) -> str:
    """The first names of many, for a message."""
    named = list(names)
    return ", ".join(named[:most]) + (" ..." if len(named) > most else "")
