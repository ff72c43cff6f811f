"""Two cohorts side by side: slides to learn from, and slides that are tested alone. Standard library only."""

from collections.abc import Callable
from pathlib import Path

from workflow_scripts.core.cells import first_few
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import SlideRow, load_manifest, path_key

# What may not stand in both, and what then to do: a slide or patient of both would be learnt from and tested.
_APART: dict[str, Callable[[SlideRow], str]] = {
    "slide_id": lambda row: row.slide_id,
    "path": lambda row: path_key(row.path),
    "patient_id": lambda row: row.patient_id,
}


def _rows(manifest: Path | str, tell: Callable[[str], None] | None) -> list[SlideRow]:
    loaded = load_manifest(manifest)
    if tell is not None:
        tell(loaded.in_words())
    return loaded.rows


def read_cohorts(
    manifest: Path | str, test_manifest: Path | str | None, tell: Callable[[str], None] | None = None
) -> tuple[list[SlideRow], list[SlideRow]]:
    """Slides of the cohort, and of the test cohort where there is one.

    Args:
        manifest: slides.csv.
        test_manifest: the same of the test cohort; None for none.
        tell: is told in one line what of each manifest was read.

    Raises:
        UserError: a manifest cannot be read (`read_manifest`), or a slide, file or patient is in both.
    """
    rows = _rows(manifest, tell)
    if test_manifest is None:
        return rows, []
    if not Path(test_manifest).is_file():
        raise UserError(f"the manifest {test_manifest} does not exist; correct cohort.test_manifest, or set it to null")
    tests = _rows(test_manifest, tell)
    for column, value in _APART.items():
        learnt = {value(row) for row in rows}
        both = list(dict.fromkeys(value(row) for row in tests if value(row) in learnt))
        if both:
            raise UserError(
                f"{manifest} and {test_manifest} share {column} {first_few(both)} ({len(both)} in all); what is tested "
                "must not be learnt from, so drop them from one manifest, or rename them where they are not the same"
            )
    return rows, tests
