"""Which maps of true tissue classes there are, and of which slides, by their names alone."""

from collections.abc import Iterable
from pathlib import Path

from workflow_scripts.core.errors import UserError


def truth_maps(folder: str | Path) -> list[Path]:
    """The maps of a folder, {slide_id}.npz each; none where there is no such folder."""
    return sorted(Path(folder).glob("*.npz"))


def names_of(path: Path) -> tuple[str, str]:
    """What the slide of a map may be called: by slide_id, or by its file, whose suffix is left out."""
    return path.stem, Path(path.stem).stem


def known_maps(folder: str) -> list[Path]:
    """Maps in the folder of `benchmark.region_truth`, by name.

    Raises:
        UserError: there are none.
    """
    maps = truth_maps(folder)
    if not maps:
        raise UserError(f"{folder} holds no {{slide_id}}.npz; correct benchmark.region_truth, or set it to null")
    return maps


def slide_of_map(truth: Path, known: set[str]) -> str | None:
    """The slide that a map is of: it is named by the slide_id, or by the slide's file; None where it is none of them.

    Args:
        truth: the map.
        known: slide_ids.
    """
    return next((name for name in names_of(truth) if name in known), None)


def map_of_slides(maps: Iterable[Path], known: set[str]) -> dict[str, Path]:
    """The map of each slide that has one, by slide_id, in the order of the maps.

    Args:
        maps: by name.
        known: slide_ids of the whole cohort: that of an excluded slide is else taken for another's, A.2.npz for A's.

    Raises:
        UserError: a slide has two.
    """
    found: dict[str, Path] = {}
    for path in maps:
        name = slide_of_map(path, known)
        if name in found:
            raise UserError(
                f"{found[name]} and {path} are both maps of slide {name}; take one of them out of the folder of "
                "benchmark.region_truth"
            )
        if name is not None:
            found[name] = path
    return found
