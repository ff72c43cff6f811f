"""Score every head's predictions per patient, with intervals and a paired comparison with the baseline."""

from pathlib import Path

from pydantic import Field

from workflow_scripts.config import Section
from workflow_scripts.core import schemas
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.mil.results import result_rows, result_table, score_predictions


class Settings(Section):
    baseline: str = "mean"
    """Representation that the others are compared with."""
    bootstraps: int = Field(1000, ge=100)
    """Patient bootstraps for the 95 % intervals."""
    seed: int = 0
    """Seed of the bootstrap."""


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Settings.model_validate_json, required=True, help="JSON: baseline, bootstraps")
    parser.add_argument("--predictions", type=Path, nargs="*", default=[], help="predictions.parquet of all heads")
    parser.add_argument("--output", type=Path, required=True, help="results.parquet")
    args = parse_entry(parser, argv)
    settings = args.config

    scored = [
        score_predictions(read_table(path).to_pylist(), read_meta(path), settings.bootstraps, settings.seed)
        for path in args.predictions
    ]
    rows = result_rows(scored, settings.baseline)
    write_table(args.output, rows, schemas.RESULTS, {"settings": settings.model_dump(mode="json")})
    if rows:
        log.info("pooled over folds, unit: patient\n%s", result_table(rows))
    else:
        log.info("no task is named, so nothing was benchmarked; label a column of the manifest in benchmark.tasks")


if __name__ == "__main__":
    run_entry(main)
