"""Print where a cohort's report is, and its results in a few lines."""

from pathlib import Path

from workflow_scripts.core.entry import entry_parser, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_table
from workflow_scripts.core.tasks import KINDS


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("results", type=Path, help="folder of the cohort, e.g. results/demo")
    args = parse_entry(parser, argv)
    folder: Path = args.results
    if not (folder / "benchmark" / "results.parquet").exists():
        raise UserError(f"{folder} has no benchmark/results.parquet yet; run the workflow first")
    statuses = read_table(folder / "slides.parquet", ["status"])["status"].to_pylist()
    rows = read_table(folder / "benchmark" / "results.parquet").to_pylist()
    told = "Test patients pooled over folds, 95 % interval:\n" if rows else "No task is named under benchmark.tasks."
    print(f"\n{statuses.count('ok')} of {len(statuses)} slides used. {told}")
    for row in rows:
        if row["metric"] == KINDS[row["kind"]].headline:
            interval = f"{row['pooled']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
            print(f"  {row['task']:12} {row['head']:10} {row['representation']:10} {row['metric']:16} {interval}")
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
