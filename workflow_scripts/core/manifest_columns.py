"""Which columns of a manifest are which, by the names that people and other tools give them. Standard library only."""

import re
from typing import NamedTuple

from workflow_scripts.core.errors import UserError

# Our own names, and those of TRIDENT (wsi), CLAM (case_id), STAMP (patient, filename), slide2vec (sample_id,
# image_path, spacing_at_level_0) and spreadsheets. What stands first is taken; case, blanks and dashes do not count.
_NAMES = {
    "slide_id": ("slide_id", "slideid", "slide", "image_id", "wsi_name", "slide_name", "sample_id"),
    "path": (
        *("path", "slide_path", "file_path", "filepath", "wsi", "wsi_path", "image_path"),
        *("file_name", "filename", "file"),
    ),
    "patient_id": ("patient_id", "patientid", "patient", "case_id", "caseid", "case_submitter_id"),
    "mpp": ("mpp", "mpp_um_px", "mpp_um", "um_px", "um_per_px", "microns_per_pixel", "spacing_at_level_0"),
    **{name: (name,) for name in ("mpp_x", "mpp_y", "size_bytes", "sha256")},
}


class Header(NamedTuple):
    """What the columns of a manifest are.

    Attributes:
        columns: by our names, the names that they have in the file.
        labels: all other columns, and those whose names another tool gives; a task may ask for them.
    """

    columns: dict[str, str]
    labels: list[str]

    def of_row(self, record: dict[str, str]) -> dict[str, str]:
        """Cells of a row by our names."""
        return {name: record[own] for name, own in self.columns.items()}


def _key(name: str) -> str:
    return re.sub(r"[\W_]+", "_", re.sub("[\u00b5\u03bc]", "u", name.lower())).strip("_")


def is_ours(ours: str, name: str) -> bool:
    """Whether a column has one of our names, in whatever case and with blanks."""
    return _key(name) == ours


def read_header(names: list[str], where: str) -> Header:
    """Tell the columns of a manifest.

    Args:
        names: of the columns.
        where: the manifest, for messages.

    Raises:
        UserError: it names no slides, or two columns have one of our names.
    """
    keys: dict[str, list[str]] = {}
    for name in names:
        keys.setdefault(_key(name), []).append(name)
    columns = {}
    for ours, others in _NAMES.items():
        key = next((key for key in others if key in keys), None)
        if key is None:
            continue
        if len(keys[key]) > 1:
            raise UserError(f"{where} has two columns for {ours}, {keys[key][0]!r} and {keys[key][1]!r}; remove one")
        columns[ours] = keys[key][0]
    if not {"slide_id", "path"} & set(columns):
        found = f"only {', '.join(names[:8])}" if names else "no header at all"
        raise UserError(
            f"{where} has no column slide_id or path, {found}; its header must name slide_id,path, and may name "
            "patient_id, mpp and labels"
        )
    ours_alone = {own for ours, own in columns.items() if is_ours(ours, own)}
    return Header(columns, [name for name in names if name not in ours_alone])
