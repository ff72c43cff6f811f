"""Ids of slides and patients by the names of files."""

import re
from collections import Counter
from pathlib import Path

from workflow_scripts.core.dicom import is_dicom_name
from workflow_scripts.core.manifest import id_of_path

# TCGA: project, site and participant; CPTAC: collection and case
_PATIENT = re.compile(r"^(TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}|C3[LN]-\d{5})(?![A-Z0-9])", re.IGNORECASE)
_TCGA_SAMPLE = re.compile(r"^TCGA-\w{2}-\w{4}-(\d{2})[A-Z](?:-\d{2})?(?:-([A-Z]{2})\w?)?", re.IGNORECASE)


def _names(paths: list[Path]) -> list[str]:
    """What slides are called: their files without suffix, or the folder of a DICOM series that is alone in it."""
    series = Counter(path.parent for path in paths if is_dicom_name(path))
    names = []
    for path in paths:
        stem = path.name if path.suffix[1:].isdigit() else path.stem
        level = re.sub(r"[_-](level|lvl)[_-]?\d+$", "", stem, flags=re.IGNORECASE)
        names.append(stem if not series[path.parent] else path.parent.name if series[path.parent] == 1 else level)
    return names


def slide_ids(paths: list[Path], folder: Path) -> list[str]:
    """A clean and unique id for every slide: its name, with the folders around it where a name comes again.

    Args:
        paths: of the slides.
        folder: that they were found in, whose own name and those above it are no part of an id.
    """
    parts = [(*path.relative_to(folder).parts[:-1], name) for path, name in zip(paths, _names(paths), strict=True)]
    depth, ids = [1] * len(paths), [""] * len(paths)
    for _ in range(max(map(len, parts), default=0)):
        ids = [id_of_path("_".join(part[-count:]) + ".x") for part, count in zip(parts, depth, strict=True)]
        counts = Counter(map(str.lower, ids))  # not every disk tells a from A
        depth = [count + (counts[name.lower()] > 1) for count, name in zip(depth, ids, strict=True)]
    return _numbered(ids)


def _numbered(ids: list[str]) -> list[str]:
    """Ids with a number where one comes again all the same: a.svs and a.ndpi in one folder."""
    taken, seen, found = {name.lower() for name in ids}, Counter[str](), list[str]()
    for name in ids:
        seen[name.lower()] += 1
        number, new = seen[name.lower()], name
        while number > 1 and (new == name or new.lower() in taken):
            new = f"{name}_{number}"
            number += 1
        taken.add(new.lower())
        found.append(new)
    return found


def guess_patient(path: Path) -> str:
    """Patient of a TCGA or CPTAC barcode (its first 12 or 9 characters), else empty."""
    found = _PATIENT.match(path.stem)
    return found.group(0).upper() if found else ""


def tcga_kinds(paths: list[Path]) -> dict[str, int]:
    """How many slides of TCGA are frozen sections (top, middle, bottom) and how many of normal tissue."""
    samples = [found for path in paths if (found := _TCGA_SAMPLE.match(path.stem))]
    frozen = sum((found[2] or "").upper() in ("TS", "MS", "BS") for found in samples)
    normal = sum(10 <= int(found[1]) <= 19 for found in samples)
    return {"frozen sections (TS, MS, BS)": frozen, "of normal tissue (sample types 10 to 19)": normal}
