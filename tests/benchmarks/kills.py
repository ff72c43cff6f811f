"""A small whole workflow struck at seeded moments over all its rules, and whether its results are those of a quiet one.

    python -m tests.benchmarks.kills --kills 200

Kinds, in turn: kill -9 of Snakemake with its jobs, of Snakemake alone, of a job; Ctrl-C; a full disk. After each the
workflow is resumed with the commands that it is told. Exit status 1 where anything is wrong.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.disturbed_runs import Report, disturb, make_small, own_disk
from tests.workflow.tiny import snakemake


def undisturbed_run(folder: Path, slides: int) -> tuple[Path, Path, float]:
    """The project as it is made, the same when it is done, and how long that took, s."""
    made = make_small(folder / "made" / "tiny", slides)
    whole = shutil.copytree(made, folder / "whole" / "tiny")
    begun = time.monotonic()
    result = snakemake(whole)
    assert result.returncode == 0, result.stdout[-3000:]
    return made, whole, time.monotonic() - begun


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="disturbances in all")
    parser.add_argument("--each", type=int, default=25, help="of these, in one workflow")
    parser.add_argument("--slides", type=int, default=4, help="slides of the cohort, beside one that is missing")
    parser.add_argument("--seed", type=int, default=0, help="of kinds and moments; the next workflow has the next")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no workflow after this time")
    args = parser.parse_args()
    begun, report, number = time.monotonic(), Report(), 0
    with tempfile.TemporaryDirectory() as top:
        made, whole, seconds = undisturbed_run(Path(top), args.slides)
        print(f"an undisturbed run: {seconds:.0f} s", flush=True)
        while report.struck.total() < args.kills and time.monotonic() < begun + 60 * args.minutes:
            kills = min(args.each, args.kills - report.struck.total())
            with own_disk(Path(top) / str(number) / "disk") as disk:
                project = shutil.copytree(made, disk.folder / "tiny")
                found = disturb(project, whole, kills, args.seed + number, disk)
            report.add(found)
            number += 1
            spent = (time.monotonic() - begun) / 60
            print(f"workflow {number}, {spent:.0f} min: {dict(found.struck)}, wrong {found.wrong}", flush=True)
    print(f"{report.struck.total()} struck in {number} workflows, {report.jobs} jobs started: {dict(report.struck)}")
    print(f"rules at work at those moments: {dict(report.rules.most_common())}")
    print(f"{len(report.wrong)} wrong", *report.wrong, sep="\n")
    return 1 if report.wrong or not report.struck else 0


if __name__ == "__main__":
    sys.exit(main())
