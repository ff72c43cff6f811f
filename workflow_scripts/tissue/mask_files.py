"""Which files of the user's mask folder belong to which slide. Standard library only: every cluster job reads this."""

from collections.abc import Iterable
from pathlib import Path

from workflow_scripts.core.errors import UserError

SUFFIXES = (".geojson", ".png", ".tif", ".tiff")


def find_masks(folder: str | None, slide_ids: Iterable[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Mask files by slide_id, and the files that serve no slide, by their name or their ending; both sorted.

    Hidden files and folders do not count.

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
        if file.name.startswith(".") or file.is_dir():
            continue
        slide_id = file.name[: -len(file.suffix)]
        if slide_id in known and file.suffix.lower() in SUFFIXES:
            masks.setdefault(slide_id, []).append(str(file))
        else:
            orphans.append(str(file))
    return masks, orphans


def orphan_warning(orphans: list[str]) -> str:
    """One or two sentences about files of the mask folder that serve no slide of the manifest."""
    masks = [file for file in orphans if Path(file).suffix.lower() in SUFFIXES]
    others = [file for file in orphans if Path(file).suffix.lower() not in SUFFIXES]
    said = []
    if masks:
        said.append(
            f"no slide of the manifest has the slide_id of {_some(masks)}; a mask is named {{slide_id}}.geojson"
        )
    if others:
        said.append(f"{_some(others)} cannot be read as masks; save them as {', '.join(SUFFIXES)}")
    return f"tissue.masks: {'. And '.join(said)}"


def _some(files: list[str]) -> str:
    return ", ".join(files[:5]) + (f" and {len(files) - 5} more" if len(files) > 5 else "")
