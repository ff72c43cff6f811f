"""A round's commands on the CPU and on a GPU, from the same made-up features: how far apart their results are.

    python -m tests.benchmarks.cpu_and_gpu

Needs a GPU. In float32, with all three losses and regions that are partly hidden.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.faults.round_commands import RULES, command, settings, write_cohort
from tests.workflow.tiny import ROOT
from workflow_scripts.core.tables import read_table

LOSSES = ("loss", "loss_self", "loss_intra", "loss_inter", "teacher_entropy")


def run_commands(cohort: Path, folder: Path, gpus: int) -> None:
    """Warm-up, clustering, assignment and distillation, each from what the one before it has written in `folder`."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    if not gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    for rule in RULES:
        words = command(rule, settings(), cohort, folder, folder, gpus=gpus).arguments
        done = subprocess.run(
            [sys.executable, "-m", f"workflow_scripts.{rule}", *words],
            env=environment, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{rule} on {'a GPU' if gpus else 'the CPU'}:\n{done.stdout}")
        if gpus and "--gpu" in words and "leased GPU" not in done.stdout:
            raise SystemExit(f"{rule} has leased no GPU:\n{done.stdout}")


def apart(one: Path, other: Path, column: str) -> float:
    """Largest relative difference of a column of metrics."""
    a, b = (np.array(read_table(file)[column]) for file in (one, other))
    return float((np.abs(a - b) / np.maximum(np.abs(a), 1e-9)).max())


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cohort = write_cohort(folder / "cohort")
        for gpus in (0, 1):
            run_commands(cohort, folder / str(gpus), gpus)
        for rule in ("warm_up", "distill_round"):
            files = [folder / str(gpus) / rule / "metrics.parquet" for gpus in (0, 1)]
            for column in LOSSES:
                print(f"{rule} {column}: largest relative difference {apart(*files, column):.1e}")
        tables = [read_table(folder / str(gpus) / "cluster_regions" / "assignments.parquet") for gpus in (0, 1)]
        same = np.mean([a == b for a, b in zip(*(t["prototype"].to_pylist() for t in tables), strict=True)])
        print(f"regions with the same prototype: {same:.1%}")


if __name__ == "__main__":
    main()
