"""Which files of the user's mask folder belong to which slide. Standard library only: every cluster job reads this."""

from collections.abc import Iterable
from pathlib import Path

from workflow_scripts.core.errors import UserError

SUFFIXES = (".geojson", ".png", ".tif", ".tiff")


def find_masks(folder: str | None, slide_ids: Iterable[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Mask files by slide_id, and the mask files of no slide; both sorted. Files of other kinds do not count.

    Args:
        folder: the config's `tissue.masks`, null for none.
        slide_ids: of the manifest.

    Raises:
        UserError: the folder does not exist.
    """
    if folder is None:
        return {}, []
    if not Path(folder).is_dir():
        raise UserError(f"tissue.masks: there is no folder {folder}; mend its path, or set it to null")
    known, orphans = set(slide_ids), []
    masks: dict[str, list[str]] = {}
    for file in sorted(Path(folder).iterdir()):
        if file.suffix.lower() not in SUFFIXES or file.name.startswith("."):
            continue
        slide_id = file.name[: -len(file.suffix)]
        if slide_id in known:
            masks.setdefault(slide_id, []).append(str(file))
        else:
            orphans.append(str(file))
    return masks, orphans


def orphan_warning(orphans: list[str]) -> str:
    """One sentence about mask files that no slide of the manifest uses."""
    some = ", ".join(orphans[:5]) + (f" and {len(orphans) - 5} more" if len(orphans) > 5 else "")
    return f"tissue.masks: no slide of the manifest has the slide_id of {some}; a mask is named {{slide_id}}.geojson"
