"""What a dry run costs: processor time, memory and jobs of `snakemake -n` on cohorts of which nothing is done.

The slides are empty files, for a dry run opens none. Each cohort is planned by a process of its own, whose processor
time (user and system, with imports) and greatest resident memory the kernel tells. `--profile` prints where the time
of the smallest cohort goes, function by function.

    python -m tests.benchmarks.dry_run [--slides 1000 3000 5000 10000] [--shards 16] [--profile]
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PROFILE = "import sys, cProfile, pstats; from snakemake.cli import main; p = cProfile.Profile()\ntry: p.runcall(main)\n"
PROFILE += "except SystemExit: pass\npstats.Stats(p).sort_stats('tottime').print_stats(40)"
CONFIG = """
cohort: {{name: large, manifest: slides.csv}}
features: {{model: vit_small_patch16_224:random, shards: {shards}}}
benchmark: {{tasks: {{subtype: {{kind: classification, label: subtype}}}}}}
"""


class Cost(NamedTuple):
    """Processor time, greatest resident memory and jobs of one dry run."""

    cpu_s: float
    memory_mib: float
    jobs: int


def make_cohort(folder: Path, slides: int, shards: int) -> None:
    """Empty slides with names as TCGA's, three a patient, their manifest, and a configuration."""
    (folder / "slides").mkdir()
    lines = ["slide_id,path,patient_id,subtype"]
    for number in range(slides):
        patient = f"TCGA-{number // 3 % 90 + 10}-{number // 3:05d}"
        slide = f"{patient}-01Z-00-DX{number % 3 + 1}"
        (folder / f"slides/{slide}.svs").touch()
        lines.append(f"{slide},slides/{slide}.svs,{patient},{'ab'[number // 3 % 2]}")
    (folder / "slides.csv").write_text("\n".join(lines) + "\n")
    (folder / "my.yaml").write_text(CONFIG.format(shards=shards))


def plan(folder: Path, profile: bool = False) -> Cost:
    """Plan all jobs of a cohort."""
    start = ["-c", PROFILE] if profile else ["-m", "snakemake"]
    command = [sys.executable, *start, "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", "my.yaml", "--cores", "2", "--dry-run", "--quiet", "rules"]
    with (folder / "out").open("w") as out:
        child = subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(child.pid, 0)
    text = (folder / "out").read_text()
    if status:
        sys.exit(text[-3000:])
    if profile:
        print(text[text.index("function calls") - 40 :])
    jobs = re.findall(r"^total +(\d+)$", text, flags=re.MULTILINE)
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, int(jobs[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=int, nargs="+", default=[1000, 3000, 5000, 10_000])
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    print("| slides | jobs | CPU, s | memory, MiB |\n|---|---|---|---|")
    for slides in sorted(args.slides):
        with tempfile.TemporaryDirectory() as name:
            make_cohort(Path(name), slides, args.shards)
            cost = plan(Path(name))
            print(f"| {slides} | {cost.jobs} | {cost.cpu_s:.1f} | {cost.memory_mib:.0f} |", flush=True)
            if args.profile and slides == min(args.slides):
                plan(Path(name), profile=True)


if __name__ == "__main__":
    main()
