"""Score every head's predictions and every retrieval, with intervals of what is expected and corrected pairs."""

from pathlib import Path

from pydantic import Field

from workflow_scripts.config import Section
from workflow_scripts.core import schemas
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.mil.fit_warnings import counted_warnings
from workflow_scripts.mil.result_text import result_text
from workflow_scripts.mil.results import comparison_rows, mean_cells, result_rows, score_cells
from workflow_scripts.mil.retrieval_cells import retrieval_cells
from workflow_scripts.mil.set_results import set_rows


class Settings(Section):
    compare: list[tuple[str, str]] = Field([])
    """Pairs of representations; the second is subtracted from the first."""
    primary: dict[str, str] = Field({})
    """The head of each kind of task that claims are made of."""
    trainings: dict[str, list[str]] = Field({})
    """Trainings by seeds of each representation that is trained here, of which it is the mean."""
    sets: dict[str, str] = Field({})
    """Representations that are sets of prototypes, and that of whose regions each is made."""


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Settings.model_validate_json, required=True, help="JSON: compare, primary ...")
    parser.add_argument("--predictions", type=Path, nargs="*", default=[], help="predictions.parquet of all heads")
    parser.add_argument("--retrieval", type=Path, nargs="*", default=[], help="retrieval.parquet of representations")
    parser.add_argument("--output", type=Path, required=True, help="results.parquet")
    parser.add_argument("--comparisons", type=Path, required=True, help="output: comparisons.parquet")
    parser.add_argument("--sets", type=Path, required=True, help="output: sets.parquet")
    args = parse_entry(parser, argv)
    settings: Settings = args.config

    cells = []
    for number, path in enumerate(args.predictions, start=1):
        with counted_warnings(f"metrics of {path}"):
            cells += score_cells(read_table(path), read_meta(path))
        log.info("scored %d of %d files", number, len(args.predictions))
    for path in args.retrieval:
        cells += retrieval_cells(read_table(path), read_meta(path))
    cells = mean_cells(cells, settings.trainings)
    rows = result_rows(cells, settings.primary)
    pairs = comparison_rows(cells, settings.compare, settings.primary)
    meta = {"settings": settings.model_dump(mode="json")}
    write_table(args.output, rows, schemas.RESULTS, meta)
    write_table(args.comparisons, pairs, schemas.COMPARISONS, meta)
    write_table(args.sets, set_rows(cells, settings.sets, settings.primary), schemas.SETS, meta)
    if rows:
        log.info("95 %% intervals of the expected value\n%s", result_text(rows, pairs))
    else:
        log.info("no task is named, so nothing was benchmarked; label a column of the manifest in benchmark.tasks")


if __name__ == "__main__":
    run_entry(main)
