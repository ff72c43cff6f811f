"""Slide files in a folder, and the ids that they give their slides."""

import os
import re
from collections import Counter
from pathlib import Path

from workflow_scripts.wsi.readers import READERS

SUFFIXES = frozenset(" ".join(READERS.values()).split())
_TCGA_PATIENT = re.compile(r"^TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}", re.IGNORECASE)


def find_slides(folder: Path | str) -> list[Path]:
    """Slides under a folder, sorted; hidden files and folders are passed over.

    A slide of several files is counted once: an MRXS by its .mrxs (its folder of the same name is not searched), a VMS
    by its .vms (the JPEGs beside it are its tiles), a DICOM series by the first file of its folder.
    """
    found = []
    for where, folders, names in os.walk(folder, followlinks=True):
        names = sorted(name for name in names if not name.startswith("."))
        suffixes = {Path(name).suffix.lower() for name in names}
        companions = {Path(name).stem for name in names if name.lower().endswith(".mrxs")}
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in companions)
        wanted = SUFFIXES - ({".jpg", ".jpeg"} if suffixes & {".vms", ".vmu"} else set())
        slides = [Path(where) / name for name in names if Path(name).suffix.lower() in wanted]
        dicom = [path for path in slides if path.suffix.lower() == ".dcm"]
        found += [path for path in slides if path not in dicom[1:]]
    return sorted(found)


def slide_ids(paths: list[Path]) -> list[str]:
    """A clean and unique id for every slide: its stem, with a number where a stem comes again."""
    stems = [re.sub(r"\.ome$", "", path.stem, flags=re.IGNORECASE) for path in paths]
    clean = [re.sub(r"[^\w.-]+", "_", stem).lstrip(".") or "slide" for stem in stems]
    taken, ids = set(clean), []
    seen: Counter[str] = Counter()
    for name in clean:
        seen[name] += 1
        if seen[name] == 1:
            ids.append(name)
            continue
        number = seen[name]
        while f"{name}_{number}" in taken:
            number += 1
        ids.append(f"{name}_{number}")
        taken.add(ids[-1])
    return ids


def guess_patient(slide_id: str) -> str:
    """Patient of a TCGA barcode (its first 12 characters), else empty."""
    found = _TCGA_PATIENT.match(slide_id)
    return found.group(0).upper() if found else ""
