"""Folders that the workflow writes to, tried before anything runs."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.config import Config
from workflow_scripts.config.apply import require_own_results
from workflow_scripts.core.errors import UserError

# of a cohort's results
STAGE_FOLDERS = (
    *("applied", "benchmark", "check", "cost", "embeddings", "export", "features", "fetched", "figures", "logs"),
    *("pretrain", "qupath", "regions", "scratch", "tissue"),
)


def require_writable(config: Config, makes_slides: bool) -> None:
    """Refuse a folder of results, of Snakemake's records or of the demo's slides that no file can be written to.

    A file without a name is made in each of those that are there and is gone at once: permissions alone do not tell of
    a disk that is mounted to be read only, nor of a server's own rules.

    Args:
        config: the whole configuration.
        makes_slides: whether the workflow itself makes slides, in `demo.directory`.

    Raises:
        UserError: the first such folder, or a file that stands in the place of one; new slides among the results of a
            cohort that was trained on.
    """
    if config.apply.model:
        require_own_results(config.cohort.name)
    results = Path("results") / config.cohort.name
    for folder in (results, *(results / name for name in STAGE_FOLDERS)):
        _try(folder, "make results a link to a folder that can be written, or mend its permissions or mount")
    for name in ("locks", "log", "metadata", "incomplete"):
        _try(Path(".snakemake") / name, "Snakemake keeps its records there; work in a folder that can be written")
    if makes_slides:
        _try(Path(config.demo.directory), "set demo.directory to a folder that can be written")


def _try(folder: Path, mend: str) -> None:
    """Refuse `folder` where it, or the nearest folder above it that is there, takes no file."""
    place = next(_present(folder), Path())
    if not place.is_dir():
        what = "a link to a place that is not there" if place.is_symlink() else "a file"
        raise UserError(
            f"{place} is {what}, and the workflow writes into a folder of that name; rename it or move it away"
        )
    try:
        with tempfile.TemporaryFile(dir=f"{place}/."):  # beyond a link, which would get a file with a name
            pass
    except OSError as error:
        within = "" if place == folder else f" in {'this folder' if place == Path() else place}"
        raise UserError(f"{folder} cannot be written{within} ({error.strerror}); {mend}") from None


def _present(folder: Path) -> Iterator[Path]:
    """`folder` and what is above it, as far as it is there: the innermost first, links to nothing too."""
    for place in (folder, *folder.parents):
        if os.path.lexists(place):
            yield place
