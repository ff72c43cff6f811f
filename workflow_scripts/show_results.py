"""Print where a cohort's report is, and its results in a few lines."""

from pathlib import Path

from workflow_scripts.core.entry import entry_parser, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_table
from workflow_scripts.mil.result_text import result_text

TABLES = ("results", "comparisons")


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("results", type=Path, help="folder of the cohort, e.g. results/demo")
    args = parse_entry(parser, argv)
    folder: Path = args.results
    for name in TABLES:
        if not (folder / "benchmark" / f"{name}.parquet").exists():
            raise UserError(f"{folder} has no benchmark/{name}.parquet yet; run the workflow first")
    statuses = read_table(folder / "slides.parquet", ["status"])["status"].to_pylist()
    rows, pairs = (read_table(folder / "benchmark" / f"{name}.parquet").to_pylist() for name in TABLES)
    pairs = [pair for pair in pairs if pair["primary"]]  # of other heads nothing is claimed
    print(f"\n{statuses.count('ok')} of {len(statuses)} slides used.")
    if rows:
        print(f"95 % intervals of the value that is expected in such a cohort:\n\n{result_text(rows, pairs)}")
        if not any(pair["verdict"] in ("better", "worse") for pair in pairs):
            print("\nNo difference between representations is shown.")
    else:
        print("No task is named under benchmark.tasks.")
    for file in sorted((folder / "benchmark").glob("textures_*.parquet")):
        scored = [row for row in read_table(file).to_pylist() if row["n_classes"] >= 2]
        if scored:
            mean, chance = (sum(row[key] for row in scored) / len(scored) for key in ("ari", "ari_random"))
            run = file.stem.removeprefix("textures_")
            print(
                f"\n  prototypes of {run} against the true classes: adjusted Rand index {mean:.3f}, chance {chance:.3f}"
            )
    print(f"\nReport: {folder / 'report.html'}")


if __name__ == "__main__":
    run_entry(main)
