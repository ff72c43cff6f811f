"""Slide files in a folder as a person would list them, and what beside them was left out and why."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from workflow_scripts.core.dicom import Series, is_dicom_name, read_series
from workflow_scripts.wsi.file_head import is_pipe
from workflow_scripts.wsi.readers import READERS

SUFFIXES = frozenset(" ".join(READERS.values()).split())
# formats of slides that no reader here opens, files that are packed, and downloads that were cut off
_NOT_READ = frozenset(
    (
        *(".vsi", ".qptiff", ".isyntax", ".sdpc", ".kfb", ".btf", ".jp2", ".lif", ".lsm", ".tron", ".mds", ".afi"),
        *(".gz", ".zip", ".tar", ".7z", ".rar", ".part", ".partial", ".crdownload", ".tmp", ".download"),
    )
)
# formats that are no slides' alone: also masks, thumbnails and what tools draw
_PICTURES, _PLAIN = frozenset((".png", ".jpg", ".jpeg")), frozenset((".png", ".jpg", ".jpeg", ".tif", ".tiff"))
_DRAWN = (
    "thumb|thumbnail|mask|mask_use|overview|preview|macro|label|heatmap|overlay|stitch|contour|annotation|seg"
    "|segmentation"
)
_DRAWN_NAME = re.compile(rf"(?:.*[_\-. ])?(?:{_DRAWN})s?", re.IGNORECASE)
_DRAWN_FOLDER = re.compile(
    rf"(?:{_DRAWN}|result|output|patche|patch|tile|stitche|visualization|qc|contours_geojson)s?", re.IGNORECASE
)
_LEVEL = re.compile(r"[_-]?(?:level|lvl)?[_-]?\d+$", re.IGNORECASE)

# why files are left out
BESIDE = "pictures beside slides"
DRAWN = "thumbnails, masks and the like by their names"
OUTPUT = "in folders that tools write into"
UNREAD = "of formats that are not read, packed or cut off"
OTHER_DICOM = "DICOM files that are no slides"
LINKED = "links to what is listed"


class Found(NamedTuple):
    """Slides under a folder, sorted, and what was left out, by reason."""

    slides: list[Path]
    left_out: dict[str, list[Path]]


def find_slides(folder: Path | str) -> Found:
    """Slides under a folder with all folders in it; what is hidden, and pipes and devices, are passed over.

    A slide of several files is counted once: an MRXS by its .mrxs (its folder of the same name is not searched), a VMS
    by its .vms (the JPEGs beside it are its tiles), a DICOM series by its first file, with or without an ending. Each
    folder is searched once, however many links lead to it. PNG and JPEG are slides where there are no others.
    """
    found, left_out = list[Path](), dict[str, list[Path]]()
    for where, names in _folders(Path(folder)):
        inside = any(_DRAWN_FOLDER.fullmatch(part) for part in where.relative_to(folder).parts)
        dicom = []
        for path in (where / name for name in names):
            suffix = path.suffix.lower()
            if is_dicom_name(path):
                dicom.append(path)
            elif suffix in SUFFIXES:
                reason = _reason(path, inside)
                (left_out.setdefault(reason, []) if reason else found).append(path)
            elif suffix in _NOT_READ:
                left_out.setdefault(UNREAD, []).append(path)
        series, others = _series(dicom)
        found += series
        if others:
            left_out.setdefault(OTHER_DICOM, []).extend(others)
    slides, pictures = _without_pictures(found)
    once, links = _without_links(slides)
    for reason, paths in ((BESIDE, pictures), (LINKED, links)):
        if paths:
            left_out[reason] = paths
    return Found(sorted(once), left_out)


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders and the names of their files, sorted; each folder once, real ones before those that links lead to."""
    seen, starts = set[tuple[int, int]](), [root]
    for start in starts:  # which grows
        for where, folders, names in os.walk(start):
            state = os.stat(where)
            if (state.st_dev, state.st_ino) in seen:
                folders.clear()
                continue
            seen.add((state.st_dev, state.st_ino))
            names = sorted(name for name in names if not name.startswith(".") and not is_pipe(Path(where, name)))
            companions = {Path(name).stem for name in names if name.lower().endswith(".mrxs")}
            open_ = sorted(name for name in folders if not name.startswith(".") and name not in companions)
            starts += [Path(where, name) for name in open_ if os.path.islink(os.path.join(where, name))]
            folders[:] = [name for name in open_ if not os.path.islink(os.path.join(where, name))]
            tiles = any(name.lower().endswith((".vms", ".vmu")) for name in names)
            yield Path(where), [name for name in names if not (tiles and name.lower().endswith((".jpg", ".jpeg")))]


def _reason(path: Path, inside: bool) -> str:
    """Why a file is no slide by its name or folder; empty for a slide. The formats of scanners are always slides."""
    if path.suffix.lower() not in _PLAIN:
        return ""
    return OUTPUT if inside else DRAWN if _DRAWN_NAME.fullmatch(path.stem) else ""


def _series(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """First file of each DICOM series of one folder, and the DICOM files of other kinds than slides.

    Files that end in .dcm and tell no series are told apart by their names, but for the number of a level.
    """
    first: dict[str, Path] = {}
    others = list[tuple[Path, Series]]()
    for path in paths:
        series = read_series(path)
        if series is None and path.suffix.lower() == ".dcm":
            first.setdefault(f"name {_LEVEL.sub('', path.stem)}", path)
        elif series is not None and series.whole_slide and not series.beside:
            first.setdefault(series.uid, path)
        elif series is not None:
            others.append((path, series))
    return list(first.values()), [path for path, series in others if series.uid not in first]


def _without_pictures(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """Slides, and the PNG and JPEG among them that are none because there are slides of other formats."""
    pictures = [path for path in paths if path.suffix.lower() in _PICTURES]
    slides = [path for path in paths if path.suffix.lower() not in _PICTURES]
    return (slides, pictures) if slides else (paths, [])


def _without_links(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """Slides, each file once, and the links and second names of those that are listed."""
    listed, links = dict[str, Path](), []
    for path in sorted(paths, key=lambda path: (path.is_symlink(), path)):
        if listed.setdefault(os.path.realpath(path), path) is not path:
            links.append(path)
    return list(listed.values()), links
