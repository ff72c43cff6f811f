"""A folder of `slpd apply`, to which each call adds slides: its manifests, its table, and a folder a slide."""

import csv
import io
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_text
from workflow_scripts.core.manifest import SlideRow, load_manifest, path_key, write_manifest
from workflow_scripts.core.model_facts import DIGEST, model_digest
from workflow_scripts.core.tables import read_meta, read_table

ALL, NOW = "slides.csv", "last_call.csv"
"""Manifests in the folder: of all slides that were ever shown, by their whole paths, and of those of the last call."""
TABLE = "slides.parquet"
_OF_SCALE = {"no_mpp", "implausible_mpp", "scale_mismatch"}  # reasons to exclude a slide
_COLUMNS = ["slide_id", "path", "mpp", "patient_id"]


def require_own_folder(folder: Path, model: str | Path) -> None:
    """Refuse a folder that is a cohort's, or holds what another model says of slides, or somebody else's manifest.

    Raises:
        UserError: it is or does, or is no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; give a folder as --output")
    if any((folder / name).exists() for name in ("pretrain", "embeddings", "benchmark")):
        raise UserError(
            f"{folder} holds a cohort that was trained on, which new slides must not change; give another folder as "
            "--output"
        )
    if (table := folder / TABLE).is_file() and read_meta(table).get(DIGEST) != model_digest(model):
        raise UserError(f"{table} holds slides as another model sees them; give another folder as --output")
    if (manifest := folder / ALL).is_file() and load_manifest(manifest).table.columns != _COLUMNS:
        raise UserError(f"{manifest} is no list of slides that slpd apply has shown; give another folder as --output")


def add_slides(folder: Path, slides: list[str], mpp: float | None, patient: str = "") -> list[SlideRow]:
    """Write the manifest of a call, and add its slides to that of all; rows of the call.

    Args:
        folder: one that `require_own_folder` lets pass.
        slides: files on this machine.
        mpp: um/px of all of them; None for what they say themselves.
        patient: id of the patient of all of them, where it is known.

    Raises:
        UserError: see `write_manifest`; or another slide of that name was shown before.
    """
    earlier = load_manifest(folder / ALL).table.rows if (folder / ALL).is_file() else []
    rows = write_manifest(folder / NOW, slides, mpp, patient)
    there = {cells["slide_id"]: cells for cells in earlier}
    for row in rows:
        other = there.get(row.slide_id)
        if other and path_key(other["path"]) != path_key(row.path):
            raise UserError(
                f"{row.path} has the name of a slide that is in {folder} already, {other['path']}; give another folder "
                "as --output"
            )
        cells = (row.slide_id, os.path.abspath(row.path), "" if mpp is None else str(mpp), patient)
        there[row.slide_id] = dict(zip(_COLUMNS, cells, strict=True))
    text = io.StringIO()
    csv.writer(text).writerows([_COLUMNS, *([cells[name] for name in _COLUMNS] for cells in there.values())])
    write_text(folder / ALL, text.getvalue())
    return rows


def require_usable(table: Path, slides: Collection[str], mpp: float | None = None) -> None:
    """Tell of slides that cannot be used, after the others are done.

    Args:
        table: of the checked slides.
        slides: whose rows count.
        mpp: um/px that the user gave for them.

    Raises:
        UserError: the table says so of some of these slides; why in full stands there, and in the log.
    """
    rows = [row for row in read_table(table).to_pylist() if row["slide_id"] in slides and row["status"] != "ok"]
    if not rows:
        return
    told = ", ".join(f"{row['slide_id']} ({row['reason']})" for row in rows)
    hint = "; --mpp tells a scale" if mpp is None else f"; is --mpp {mpp:g} right?"
    hint = hint if {row["reason"] for row in rows} & _OF_SCALE else ""
    raise UserError(f"{len(rows)} of {len(slides)} slides cannot be used, {table} says why: {told}{hint}")


def rows_of_others(table: Path, slides: Collection[str]) -> list[dict[str, Any]]:
    """Rows of a table, where there is one, of other slides than these."""
    rows = read_table(table).to_pylist() if table.is_file() else []
    return [row for row in rows if row["slide_id"] not in slides]


def remove_other_folders(folder: Path, slides: Collection[str]) -> None:
    """Remove the folders of slides that are none of these."""
    for path in folder.glob("*"):
        if path.is_dir() and path.name not in slides:
            shutil.rmtree(path, ignore_errors=True)
