"""The pretraining of TCGA-NSCLC on made-up tokens: what the workflow's own commands take, and what the whole would.

Writes features as the workflow reads them (62,853 regions of 1,041 slides, 12.4 GB; tokens of eight kinds), runs the
warm-up for some epochs and one round (cluster_regions, assign_neighbours, distill_round) as the rules start them, each
a process of its own, and prints where each took its time and the projection to the preset's 26 rounds. Steps are
computed as `compile: auto` would in the whole: the warm-up is compiled where the whole one is long enough: the
first steps hold those seconds. Not in it: Snakemake's own time between jobs, and regions that are partly outside of
their slide, whose attention needs a mask.

    python -m tests.benchmarks.nsclc --folder /dev/shm          # beside a GPU: some minutes, 13 GB in the folder
    python -m tests.benchmarks.nsclc --small                    # a tiny network on the CPU, for a test
"""

import argparse
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import yaml

from tests.benchmarks import round_overhead
from tests.faults.round_commands import RULES, command, settings, write_index, write_slide
from tests.gpu.arguments import count, folder, new_file, number_from_0, write_json
from tests.workflow.tiny import ROOT
from workflow_scripts.config import PretrainRun, load_config
from workflow_scripts.core.gpu import may_have_gpu
from workflow_scripts.core.tables import read_table
from workflow_scripts.slpd.engine import to_compile

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
    """One process: its seconds in all and by function, its steps, regions/s of later ones, how they are computed."""

    rule: str
    seconds: float
    parts: dict[str, float]
    steps: int = 0
    rate: float = 0.0
    batch: int = 0
    way: str = ""

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
    """The whole pretraining by the measured jobs, s: steps, what a round takes beyond them; how steps are computed."""

    steps: float
    warm_up_beyond: float
    round_beyond: float
    rounds: int
    ways: tuple[str, str] = ("", "")  # of the warm-up, of a round

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


def compile_by_rule(whole: PretrainRun, regions: int, gpus: int) -> dict[str, str]:
    """`compile` of the jobs that train but a part, so that they compile where by `auto` those of the whole would."""
    device = torch.device("cuda" if gpus else "cpu")
    epochs = {"warm_up": whole.warmup_epochs, "distill_round": whole.epochs_per_round}
    return {rule: "true" if to_compile("auto", device, n * regions) else "auto" for rule, n in epochs.items()}


def way_of(log: str) -> str:
    """How a job computed its steps, by what its log tells."""
    says = {"compiled": "compiling the training step took", "recorded": "as a CUDA graph took"}
    return " and ".join(way for way, words in says.items() if words in log) or "as written"


def run_jobs(
    cohort: Path, folder: Path, run: PretrainRun, gpus: int, threads: int, compile: dict[str, str]
) -> list[Job]:
    """Warm-up, clustering, assignment and distillation, each from what the one before it has written in `folder`.

    Args:
        cohort: as `write_cohort` writes it.
        folder: of the jobs.
        run: what they do.
        gpus: of each; 0 is the CPU.
        threads: of those that take a number.
        compile: of a rule, see `compile_by_rule`.

    Raises:
        SystemExit: a command has failed, or was to have a GPU and has leased none.
    """
    jobs = []
    for rule in RULES:
        todo = command(rule, run, cohort, folder, folder, gpus=gpus, threads=threads, compile=compile.get(rule, "auto"))
        parts, _ = round_overhead.run(rule, todo.arguments)
        log = todo.log.read_text(encoding="utf-8") if todo.log.exists() else ""
        if gpus and "--gpu" in todo.arguments and "leased GPU" not in log:
            raise SystemExit(f"{rule} has leased no GPU; is nvidia-smi there?")
        job = Job(rule, sum(parts.values()), parts)
        if "train" in parts:
            metrics = read_table(folder / rule / "metrics.parquet")
            batch = min(run.optimiser.batch_size, read_table(cohort / "slides.parquet")["n_regions"].to_numpy().sum())
            rates = metrics["regions_per_s"].to_pylist()
            job = job._replace(steps=metrics.num_rows, rate=settled_rate(rates), batch=int(batch), way=way_of(log))
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
    return Projection(seconds, warm_up.beyond, others + distill.beyond, run.rounds, (warm_up.way, distill.way))


def table(jobs: list[Job]) -> list[str]:
    """Lines of a table: seconds of each job, and where they went."""
    names = list(jobs[0].pieces())
    lines = [f"| job | s | {' | '.join(names)} | regions/s | steps are |", "|---" * (len(names) + 4) + "|"]
    for job in jobs:
        cells = " | ".join(f"{value:.2f}" for value in job.pieces().values())
        lines.append(f"| {job.rule} | {job.seconds:.1f} | {cells} | {job.rate:.0f} | {job.way} |")
    return lines


def told(found: Projection, regions: int) -> list[str]:
    """What the projection says, in sentences."""
    return [
        f"a round beyond its steps: {found.round_beyond:.1f} s",
        f"projected to the whole ({regions} regions, {found.rounds} rounds): {found.whole / 60:.1f} min, of which "
        f"steps {found.steps / 60:.1f}, warm-up beyond them {found.warm_up_beyond / 60:.1f}, rounds beyond them "
        f"{found.rounds * found.round_beyond / 60:.1f}; steps of the warm-up are {found.ways[0]}, of rounds "
        f"{found.ways[1]}; compiling counts as beyond steps; Snakemake's own time between jobs is not in it",
    ]


def small_scale() -> tuple[Scale, PretrainRun]:
    """A cohort and a run that take seconds on a CPU."""
    return Scale(slides=12, regions=270, grid=4, dim=16, epochs=2), settings()


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The arguments, checked; of the command where none are given.

    Raises:
        SystemExit: the whole size was asked for, and there is no GPU.
    """
    looks = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=looks, allow_abbrev=False)
    parser.add_argument("--folder", type=folder, help="where the features go: one in memory, such as /dev/shm")
    parser.add_argument("--slides", type=count, help=f"{SLIDES} by default")
    parser.add_argument("--regions", type=count, help=f"{REGIONS} by default")
    parser.add_argument("--epochs", type=count, help="of the warm-up and of the round, that are run: 2 by default")
    parser.add_argument(
        "--gpus", type=number_from_0, help="for each job; 0 is the CPU; 1 by default where there is one"
    )
    parser.add_argument("--small", action="store_true", help="a tiny cohort and network")
    parser.add_argument("--json", type=new_file, help="also write the figures here")
    args = parser.parse_args(words)
    sizes = [name for name in ("slides", "regions", "epochs") if getattr(args, name)]
    if args.small and sizes:
        parser.error(f"--small has sizes of its own: leave out --{' and --'.join(sizes)}")
    if args.gpus is None:
        args.gpus = int(may_have_gpu())
        if not args.gpus and not args.small:
            raise SystemExit(
                "there is no GPU here; python -m tests.benchmarks.nsclc --small runs small sizes on the CPU"
            )
    return args


def main() -> None:
    args = arguments()
    scale, whole = Scale(args.slides or SLIDES, args.regions or REGIONS, epochs=args.epochs or 2), nsclc_run()
    if args.small:
        scale, whole = small_scale()
    run = whole.model_copy(update={"warmup_epochs": scale.epochs, "epochs_per_round": scale.epochs, "rounds": 1})
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        began = time.perf_counter()
        size = write_cohort(Path(name) / "cohort", scale) / 1e9
        print(f"{scale.regions} regions of {scale.slides} slides, {size:.2f} GB of tokens, written in ", end="")
        print(f"{time.perf_counter() - began:.0f} s; {scale.epochs} epochs of warm-up and of a round\n", flush=True)
        threads = min(8, len(os.sched_getaffinity(0)))  # as the rules ask for
        compile = compile_by_rule(whole, scale.regions, args.gpus)
        jobs = run_jobs(Path(name) / "cohort", Path(name) / "run", run, args.gpus, threads, compile)
    found = project(jobs, whole, scale.regions)
    print("\n".join([*table(jobs), "", *told(found, scale.regions)]))
    if args.json:
        figures = {"jobs": [job._asdict() | {"pieces": job.pieces()} for job in jobs], "projection": found._asdict()}
        write_json(args.json, figures | {"scale": scale._asdict()})


if __name__ == "__main__":
    main()
