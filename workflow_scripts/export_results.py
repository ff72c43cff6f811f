"""Write the results as CSV, and as tables for a paper in Markdown and LaTeX."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from workflow_scripts.config import Section
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.files import write_text
from workflow_scripts.core.tables import read_meta, read_table
from workflow_scripts.report.paper_tables import csv_text, latex_text, markdown_text, paper_tables, retrieval_papers
from workflow_scripts.report.results import retrieval_tables, task_tables


class Settings(Section):
    spread: Literal["interval", "folds"] = "interval"
    """What stands beside a value: its 95 % interval, or the standard deviation between test parts."""
    tasks: list[str] = Field([])
    """Tasks in the order of the columns."""
    representations: list[str] = Field([])
    """Representations in the order of the rows."""
    controls: list[str] = Field([])
    """Tasks whose labels are dealt by chance."""


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Settings.model_validate_json, required=True, help="JSON: spread, tasks ...")
    parser.add_argument("--results", type=Path, required=True, help="results.parquet")
    parser.add_argument("--comparisons", type=Path, required=True, help="comparisons.parquet")
    parser.add_argument("--sets", type=Path, required=True, help="sets.parquet")
    parser.add_argument("--output", type=Path, required=True, help="folder for the CSV files, results.md and .tex")
    args = parse_entry(parser, argv)
    settings: Settings = args.config

    results, comparisons = read_table(args.results), read_table(args.comparisons)
    wanted = [(first, second) for first, second in read_meta(args.comparisons)["settings"]["compare"]]
    rows = (results.to_pylist(), settings.tasks, settings.representations)
    papers = paper_tables(task_tables(*rows), comparisons.to_pylist(), wanted, settings.spread, settings.controls)
    papers += retrieval_papers(retrieval_tables(*rows), settings.controls)
    texts = {
        "results.csv": csv_text(results),
        "comparisons.csv": csv_text(comparisons),
        "sets.csv": csv_text(read_table(args.sets)),
        "results.md": markdown_text(papers),
        "results.tex": latex_text(papers),
    }
    for name, text in texts.items():
        write_text(args.output / name, text)
    log.info("%d results and %d comparisons in %s", len(results), len(comparisons), args.output)


if __name__ == "__main__":
    run_entry(main)
