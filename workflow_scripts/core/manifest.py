"""The manifest of a cohort, slides.csv. Standard library only: every cluster job parses it again."""

import csv
import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.fetched import check_remote

_COLUMNS = {"slide_id", "path", "patient_id", "mpp", "mpp_x", "mpp_y", "size_bytes", "sha256"}
SLIDE_ID = r"[\w-][\w.-]*"
"""What a slide_id may be, as a regular expression."""


class SlideRow(NamedTuple):
    """One row of the manifest."""

    slide_id: str
    path: str
    patient_id: str
    mpp: float | None  # um/px at level 0, overrides what the file says
    labels: dict[str, str]  # all other columns
    mpp_y: float | None = None  # um/px along y, where it is given apart; mpp is then that along x
    size_bytes: int | None = None  # of a remote slide, to check what came
    sha256: str = ""  # of a remote slide, 64 hex digits


def _parse_mpp(text: str, where: str, column: str = "mpp") -> float | None:
    if not text:
        return None
    try:
        mpp = float(text)
    except ValueError:
        mpp = -1.0
    if not mpp > 0 or mpp == float("inf"):
        raise UserError(
            f"{where}: {column} is {text!r}; write um/px with a decimal point, e.g. 0.25, or leave it empty"
        )
    return mpp


def _both_axes(cells: dict[str, str], where: str) -> tuple[float | None, float | None]:
    """Columns mpp, or mpp_x and mpp_y: um/px along x (or both axes) and along y (None where mpp is for both)."""
    both, x, y = (_parse_mpp(cells.get(name, ""), where, name) for name in ("mpp", "mpp_x", "mpp_y"))
    if (x is None) != (y is None) or (x is not None and both is not None):
        raise UserError(f"{where}: give either mpp, for both axes, or mpp_x and mpp_y")
    return (both, None) if x is None else (x, y)


def _parse_check(cells: dict[str, str], where: str) -> tuple[int | None, str]:
    """Columns size_bytes and sha256."""
    size, digest = cells.get("size_bytes", ""), cells.get("sha256", "").lower()
    if size and not size.isdecimal():
        raise UserError(f"{where}: size_bytes is {size!r}; write a whole number or leave it empty")
    if digest and not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise UserError(f"{where}: sha256 is {digest!r}; write its 64 hex digits or leave it empty")
    return int(size) if size else None, digest


def _parse_row(record: dict[str, str], where: str) -> SlideRow:
    if None in record or None in record.values():
        raise UserError(f"{where} has another number of columns than the header; check its commas and quotes")
    slide_id, path = record["slide_id"].strip(), record["path"].strip()
    if not re.fullmatch(SLIDE_ID, slide_id):
        raise UserError(f"{where}: slide_id is {slide_id!r}; use letters, digits, '_', '-' and '.', not '.' first")
    if not path:
        raise UserError(f"{where}: path of slide {slide_id} is empty; give the slide's file")
    check_remote(path, where)
    cells = {key: (value or "").strip() for key, value in record.items()}
    mpp, mpp_y = _both_axes(cells, where)
    size_bytes, sha256 = _parse_check(cells, where)
    return SlideRow(
        slide_id=slide_id,
        path=path,
        patient_id=cells.get("patient_id") or slide_id,
        mpp=mpp,
        labels={key: value for key, value in cells.items() if key not in _COLUMNS},
        mpp_y=mpp_y,
        size_bytes=size_bytes,
        sha256=sha256,
    )


def read_manifest(path: Path | str) -> list[SlideRow]:
    """Read and validate slides.csv.

    Columns: slide_id and path; optionally patient_id (default: the slide_id, one patient a slide), mpp (um/px,
    overrides the file's own; or mpp_x and mpp_y), size_bytes and sha256 (of remote slides) and any label columns.

    Raises:
        UserError: the file is missing or empty, a column is missing, or a row is wrong, named by its line.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"the manifest {path} does not exist; set cohort.manifest, or make one with slpd init")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"slide_id", "path"} - set(reader.fieldnames or [])
            if missing and any(sign in "".join(reader.fieldnames or []) for sign in ";\t"):
                raise UserError(f"{path} is separated by semicolons or tabs; save it as CSV with commas")
            if missing:
                raise UserError(
                    f"{path} has no column {' and '.join(sorted(missing))}; its header must name slide_id,path"
                )
            rows = [_parse_row(record, f"{path} line {reader.line_num}") for record in reader]
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text; save it as CSV (UTF-8)") from None
    if not rows:
        raise UserError(f"{path} lists no slide; add one row a slide below the header")
    twice = [path_ for path_, count in Counter(row.path for row in rows).items() if count > 1]
    if twice:
        raise UserError(
            f"{path}: the file {twice[0]} stands in more than one row; keep one, or it is in training and test alike"
        )
    for slide_id, count in Counter(row.slide_id for row in rows).items():
        if count > 1:
            raise UserError(f"{path}: slide_id {slide_id} stands {count} times; give every slide its own")
    return rows


def shard_of(slide_id: str, shards: int) -> int:
    """Shard 0..shards-1 of a slide, by a stable hash: adding a slide moves no other."""
    return int.from_bytes(hashlib.sha256(slide_id.encode()).digest()[:4], "big") % shards
