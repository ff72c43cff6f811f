"""Where a project's slides are listed, which files it is written to, and refusing to write over what is there."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.fetched import is_remote
from workflow_scripts.core.manifest import SlideRow
from workflow_scripts.project.earlier import read_earlier

CONFIG, MANIFEST, SCHEMA = "my.yaml", "slides.csv", "config.schema.json"
DEPLOYED_CONFIG = "config/config.yaml"  # that a deployed workflow always reads


class Source(NamedTuple):
    """The slides of a project, and where it is written.

    Attributes:
        origin: folder or manifest that the slides are from.
        name: after which the cohort is named: the folder, or the cohort of the configuration that is replaced.
        output: the project's folder, where the workflow is run.
        manifest: list of slides, as seen from there.
        own: whether that list is the user's, and is not written.
        benchmark: section `benchmark` of the configuration that is replaced, as text; empty where there is none.
    """

    origin: Path
    name: str
    output: Path
    manifest: str
    own: bool
    benchmark: str = ""


def choose_source(folder: Path | None, manifest: Path | None, output: Path, force: bool) -> Source:
    """Where the slides are listed and what is written, checked before anything is looked at.

    Raises:
        UserError: neither or both of folder and manifest, one that is not there, a file that would be written over, or
            a folder that cannot be written; an earlier configuration whose tasks are to be kept and cannot be read.
    """
    if (folder is None) == (manifest is None):
        raise UserError("give either the folder that holds the slides, or --manifest with your own slides.csv")
    if folder is not None and not folder.is_dir():
        own = ", or --manifest for a list of slides" if folder.is_file() else ""
        matter = "is a file" if folder.is_file() else "does not exist"
        raise UserError(f"{folder} {matter}; give the folder that holds the slides{own}")
    written = [CONFIG] + ([] if manifest else [MANIFEST])
    _refuse_existing([output / name for name in written], force)
    _prepare(output)
    if manifest is None:
        assert folder is not None
        return Source(folder, folder.resolve().name, output, MANIFEST, own=False)
    inside = manifest.resolve().is_relative_to(output.resolve())
    seen = manifest.resolve().relative_to(output.resolve()) if inside else manifest.resolve()
    earlier = read_earlier(output / CONFIG)
    name = earlier.name or output.resolve().name
    return Source(manifest, name, output, seen.as_posix(), own=True, benchmark=earlier.benchmark)


def _refuse_existing(files: Sequence[Path], force: bool) -> None:
    there = [file for file in files if file.exists()]
    if not there or force:
        return
    lists = [file for file in there if file.name == MANIFEST]
    keep = f", or --manifest {lists[0]} with --force to keep that list and its labels" if lists else ""
    names = " and ".join(str(file) for file in there)
    raise UserError(
        f"{names} exist{'s' if len(there) == 1 else ''}; give another --output-folder, --force to write over it{keep}"
    )


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror
        raise UserError(f"the folder {folder} cannot be made ({reason}); give another --output-folder") from None
    if not os.access(folder, os.W_OK):
        raise UserError(f"the folder {folder} cannot be written; give another --output-folder")


def listed_slides(text: str) -> list[SlideRow]:
    """Slides of the text of a manifest that `make_manifest` has written."""
    rows = csv.DictReader(io.StringIO(text))
    return [SlideRow(row["slide_id"], row["path"], row["patient_id"] or row["slide_id"], None, {}) for row in rows]


def seen_from(folder: Path, slides: Sequence[SlideRow]) -> list[SlideRow]:
    """Slides with their paths as they are found from here, where they are given as seen from `folder`."""
    return [slide if is_remote(slide.path) else slide._replace(path=str(folder / slide.path)) for slide in slides]
