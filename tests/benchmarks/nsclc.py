"""The pretraining of TCGA-NSCLC on made-up tokens: what the workflow's own commands take, and what the whole would.

Writes features as the workflow reads them (62,853 regions of 1,041 slides, 12.4 GB; tokens of eight kinds), runs the
warm-up for some epochs and one round (cluster_regions, assign_neighbours, distill_round) as the rules start them, each
a process of its own, and prints where each took its time and the projection to the preset's 26 rounds. Not in it:
Snakemake's own time between jobs, and regions that are partly outside of their slide, whose attention needs a mask.

    python -m tests.benchmarks.nsclc --folder /dev/shm          # beside a GPU: some minutes, 13 GB in the folder
    python -m tests.benchmarks.nsclc --small                    # a tiny network on the CPU, for a test
"""

import argparse
import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from tests.benchmarks import round_overhead
from tests.faults.round_commands import RULES, command, settings, write_index, write_slide
from tests.workflow.tiny import ROOT
from workflow_scripts.config import PretrainRun, load_config
from workflow_scripts.core.gpu import may_have_gpu
from workflow_scripts.core.tables import read_table

SLIDES, REGIONS, GRID, DIM = 1041, 62_853, 16, 384
_KINDS, _POOL = 8, 256  # kinds of tissue, and regions that all slides are drawn from
_SETTLED = 3  # steps until the rate of a job is that of its later steps (compiled, memory taken, first line of the log)
PIECES = {
    "start and imports": {"start of Python", "imports", "exit"},
    "features": {"kept_result", "open_session"},
    "networks": {"new_state", "load_state", "load_teacher", "load_start"},
    "work": round_overhead.WORK - {"train"},
    "saving": {"save_training", "write_table"},
}


class Scale(NamedTuple):
    """How large the cohort is, and how long each job trains."""

    slides: int = SLIDES
    regions: int = REGIONS
    grid: int = GRID
    dim: int = DIM
    epochs: int = 2


class Job(NamedTuple):
    """One process: its seconds in all and by function, its steps, and regions/s of the steps after the first."""

    rule: str
    seconds: float
    parts: dict[str, float]
    steps: int = 0
    rate: float = 0.0
    batch: int = 0

    @property
    def stepping(self) -> float:
        """Seconds of all steps at the later steps' pace."""
        return self.steps * self.batch / self.rate if self.steps else 0.0

    @property
    def beyond(self) -> float:
        """Seconds that are no steps: start, loading, the first steps' delay, saving; of the other jobs, all of it."""
        return self.seconds - self.stepping

    def pieces(self) -> dict[str, float]:
        """Where the time went: `PIECES`, first steps (beyond the later ones' pace), steps, and the rest."""
        found = {name: sum(self.parts.get(part, 0.0) for part in parts) for name, parts in PIECES.items()}
        found["first steps"] = self.parts.get("train", 0.0) - self.stepping
        found["steps"] = self.stepping
        return found | {"rest": self.seconds - sum(found.values())}


class Projection(NamedTuple):
    """The whole pretraining by the measured jobs, s: steps, and what a round takes beyond them."""

    steps: float
    warm_up_beyond: float
    round_beyond: float
    rounds: int

    @property
    def whole(self) -> float:
        return self.steps + self.warm_up_beyond + self.rounds * self.round_beyond


def nsclc_run() -> PretrainRun:
    """Settings of the run `slpd` of the preset."""
    with open(ROOT / "config/presets/tcga_nsclc.yaml", encoding="utf-8") as file:
        return load_config(yaml.safe_load(file)).pretrain.run("slpd")


def region_counts(scale: Scale) -> list[int]:
    """Regions of each slide: a mean of 60 as published, half to one and a half times as many."""
    weights = np.random.default_rng(1).uniform(0.5, 1.5, scale.slides)
    edges = np.round(np.cumsum(weights) / weights.sum() * scale.regions).astype(int)
    return np.diff(edges, prepend=0).tolist()


def write_cohort(folder: Path, scale: Scale) -> int:
    """Features of so many slides and regions, in threads; bytes of the tokens.

    All slides are drawn from a pool of regions, each of which is shifted by some rows of tokens.
    """
    rng, grid = np.random.default_rng(0), scale.grid
    pool = rng.standard_normal((_POOL, grid, grid, scale.dim), dtype=np.float32)
    pool += rng.standard_normal((_KINDS, 1, 1, scale.dim), dtype=np.float32)[np.arange(_POOL) % _KINDS]
    rows = pool.astype(np.float16).reshape(_POOL * grid, grid, scale.dim)
    counts = dict(zip((f"slide_{n:04d}" for n in range(scale.slides)), region_counts(scale), strict=True))

    def write(item: tuple[int, tuple[str, int]]) -> None:
        number, (name, count) = item
        draw = np.random.default_rng([2, number])
        region, shift = draw.integers(_POOL, size=(count, 1)), draw.integers(grid, size=(count, 1))
        tokens = rows.take(region * grid + (np.arange(grid) + shift) % grid, axis=0)
        write_slide(folder, name, tokens, np.ones(tokens.shape[:3], bool))

    with ThreadPoolExecutor(min(16, len(os.sched_getaffinity(0)))) as pool_of_threads:
        list(pool_of_threads.map(write, enumerate(counts.items())))
    write_index(folder, counts)
    return scale.regions * grid**2 * scale.dim * 2


def settled_rate(rates: list[float]) -> float:
    """Regions/s of a job's later steps, by the rates that its metrics tell; of all where it took few."""
    later = rates[_SETTLED:] or rates
    return len(later) / sum(1 / rate for rate in later)


def run_jobs(cohort: Path, folder: Path, run: PretrainRun, gpus: int, threads: int) -> list[Job]:
    """Warm-up, clustering, assignment and distillation, each from what the one before it has written in `folder`.

    Raises:
        SystemExit: a command has failed, or was to have a GPU and has leased none.
    """
    jobs = []
    for rule in RULES:
        todo = command(rule, run, cohort, folder, folder, gpus=gpus, threads=threads)
        parts, _ = round_overhead.run(rule, todo.arguments)
        if gpus and "--gpu" in todo.arguments and "leased GPU" not in todo.log.read_text(encoding="utf-8"):
            raise SystemExit(f"{rule} has leased no GPU; is nvidia-smi there?")
        job = Job(rule, sum(parts.values()), parts)
        if "train" in parts:
            metrics = read_table(folder / rule / "metrics.parquet")
            batch = min(run.optimiser.batch_size, read_table(cohort / "slides.parquet")["n_regions"].to_numpy().sum())
            rates = metrics["regions_per_s"].to_pylist()
            job = job._replace(steps=metrics.num_rows, rate=settled_rate(rates), batch=int(batch))
        jobs.append(job)
    return jobs


def project(jobs: list[Job], run: PretrainRun, regions: int) -> Projection:
    """The whole pretraining by `run`'s numbers of epochs and rounds.

    Args:
        jobs: as `run_jobs` gives them.
        run: the settings whose epochs and rounds count.
        regions: of the cohort.
    """
    by_rule = {job.rule: job for job in jobs}
    warm_up, distill = by_rule["warm_up"], by_rule["distill_round"]
    steps = regions // distill.batch
    epochs = {"warm_up": run.warmup_epochs, "distill_round": run.rounds * run.epochs_per_round}
    seconds = sum(epochs[job.rule] * steps * job.batch / job.rate for job in (warm_up, distill))
    others = by_rule["cluster_regions"].seconds + by_rule["assign_neighbours"].seconds
    return Projection(seconds, warm_up.beyond, others + distill.beyond, run.rounds)


def table(jobs: list[Job]) -> list[str]:
    """Lines of a table: seconds of each job, and where they went."""
    names = list(jobs[0].pieces())
    lines = [f"| job | s | {' | '.join(names)} | regions/s |", "|---" * (len(names) + 3) + "|"]
    for job in jobs:
        cells = " | ".join(f"{value:.2f}" for value in job.pieces().values())
        lines.append(f"| {job.rule} | {job.seconds:.1f} | {cells} | {job.rate:.0f} |")
    return lines


def told(found: Projection, regions: int) -> list[str]:
    """What the projection says, in sentences."""
    return [
        f"a round beyond its steps: {found.round_beyond:.1f} s",
        f"projected to the whole ({regions} regions, {found.rounds} rounds): {found.whole / 60:.1f} min, of which "
        f"steps {found.steps / 60:.1f}, warm-up beyond them {found.warm_up_beyond / 60:.1f}, rounds beyond them "
        f"{found.rounds * found.round_beyond / 60:.1f}; Snakemake's own time between jobs is not in it",
    ]


def small_scale() -> tuple[Scale, PretrainRun]:
    """A cohort and a run that take seconds on a CPU."""
    return Scale(slides=12, regions=270, grid=4, dim=16, epochs=2), settings()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the features go: one in memory, such as /dev/shm")
    parser.add_argument("--slides", type=int, default=SLIDES)
    parser.add_argument("--regions", type=int, default=REGIONS)
    parser.add_argument("--epochs", type=int, default=2, help="of the warm-up and of the round, that are run")
    parser.add_argument("--gpus", type=int, default=int(may_have_gpu()), help="for each job; 0 is the CPU")
    parser.add_argument("--small", action="store_true", help="a tiny cohort and network")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    scale, whole = small_scale() if args.small else (Scale(args.slides, args.regions, epochs=args.epochs), nsclc_run())
    run = whole.model_copy(update={"warmup_epochs": scale.epochs, "epochs_per_round": scale.epochs, "rounds": 1})
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        began = time.perf_counter()
        size = write_cohort(Path(name) / "cohort", scale) / 1e9
        print(f"{scale.regions} regions of {scale.slides} slides, {size:.2f} GB of tokens, written in ", end="")
        print(f"{time.perf_counter() - began:.0f} s; {scale.epochs} epochs of warm-up and of a round\n", flush=True)
        threads = min(8, len(os.sched_getaffinity(0)))  # as the rules ask for
        jobs = run_jobs(Path(name) / "cohort", Path(name) / "run", run, args.gpus, threads)
    found = project(jobs, whole, scale.regions)
    print("\n".join([*table(jobs), "", *told(found, scale.regions)]))
    if args.json:
        figures = {"jobs": [job._asdict() | {"pieces": job.pieces()} for job in jobs], "projection": found._asdict()}
        args.json.write_text(json.dumps(figures | {"scale": scale._asdict()}, indent=1))


if __name__ == "__main__":
    main()
