"""Print where a cohort's report is, and its results in a few lines."""

import re
from pathlib import Path
from statistics import fmean, stdev

from workflow_scripts.core.entry import entry_parser, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_meta, read_table
from workflow_scripts.core.trainings import of_value
from workflow_scripts.mil.result_text import result_text

TABLES = ("results", "comparisons")


def agreement_lines(folder: Path, trainings: dict[str, list[str]]) -> list[str]:
    """How far prototypes agree with the true classes, a line a run: the mean over its trainings, and their spread.

    Tables of what is no training any more are left out; those of a run that is trained by fold are told one by one.

    Args:
        folder: of textures_{training}.parquet.
        trainings: by seeds, of each representation that is trained here.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    run_of = {member: run for run, members in trainings.items() for member in members}
    for file in sorted(folder.glob("textures_*.parquet")):
        scored = [row for row in read_table(file).to_pylist() if row["n_classes"] >= 2]
        training = file.stem.removeprefix("textures_")
        if scored and (training in run_of or re.sub(r"-fold\d+$", "", training) in trainings):
            index, chance = (fmean(row[key] for row in scored) for key in ("ari", "ari_random"))
            found.setdefault(run_of.get(training, training), []).append((index, chance))
    lines = []
    for run, values in found.items():
        index, chance = (fmean(column) for column in zip(*values, strict=True))
        spread = f" (standard deviation {stdev(one for one, _ in values):.3f})" if len(values) > 1 else ""
        lines.append(
            f"prototypes of {run} ({of_value(len(values))}) against the true classes: adjusted Rand index "
            f"{index:.3f}{spread}, chance {chance:.3f}"
        )
    return lines


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
    trainings = read_meta(folder / "benchmark/results.parquet").get("settings", {}).get("trainings", {})
    for line in agreement_lines(folder / "benchmark", trainings):
        print(f"\n  {line}")
    print(f"\nReport: {folder / 'report.html'}")


if __name__ == "__main__":
    run_entry(main)
