"""One optimiser step at the paper's setting, against a plain form of the published loop, side by side.

The loops take turns in child processes, one at a time, so that all see the same machine and none another's memory.
Memory: the peak of a child. Feeding: the engine's step against the same step with its tensors at hand. The plain loop's
worker processes load its batches; with `--workers 0` it is given batches drawn before the clock starts, which favours
it, and needs neither processes nor shared memory.

    python -m tests.benchmarks.step                      # on the CPU: some minutes, 16 GB
    python -m tests.benchmarks.step --device cuda --batch 512 --steps 30
"""

import argparse
import json
import multiprocessing as mp
import statistics
import time
from itertools import cycle
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workflow_scripts.config import PretrainRun
from workflow_scripts.config.flop import step_flop
from workflow_scripts.slpd.memory import keep_freed_memory
from workflow_scripts.slpd.neighbours import SlideNeighbours
from workflow_scripts.slpd.prototypes import SlidePrototypes
from workflow_scripts.slpd.state import TrainState, new_state
from workflow_scripts.slpd.targets import PrototypeTargets
from workflow_scripts.slpd.tokens import TokenData
from workflow_scripts.slpd.trainer import Trainer

GRID, IN_DIM = 16, 384
AT_HAND = 4  # batches of the plain loop: half a GB each at 512 regions


def peak_mib(device: str) -> float:
    """Peak memory of this process, or what torch took of the GPU, with what it keeps for later."""
    if device == "cuda":
        return torch.cuda.max_memory_reserved() / 2**20
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def run_settings(args: argparse.Namespace) -> PretrainRun:
    """The paper's setting, but for the batch and the head's width."""
    optimiser = {"batch_size": args.batch, "freeze_last_layer_epochs": 0}
    return PretrainRun.model_validate({"optimiser": optimiser, "head": {"out_dim": args.out_dim}})


def made_training(
    settings: PretrainRun, regions: int, device: torch.device, **arguments: str
) -> tuple[Trainer, TrainState, PrototypeTargets]:
    """A trainer over random regions of slides of 64, its fresh state, and targets of all three losses.

    Args:
        settings: of the run.
        regions: how many.
        device: where they lie.
        arguments: further ones of `Trainer`.
    """
    rng = np.random.default_rng(0)
    n, slides, width = regions, -(-regions // 64), settings.head.bottleneck
    tokens = rng.standard_normal((n, GRID, GRID, IN_DIM), dtype=np.float32).astype(np.float16)
    data = TokenData.from_arrays(tokens, np.ones((n, GRID, GRID), dtype=bool), device)
    vectors = rng.standard_normal((slides, 4, width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    own = SlidePrototypes(vectors, np.ones(slides, dtype=bool), rng.integers(0, 4, n), np.zeros(n, dtype=np.float32))
    index = (np.arange(slides)[:, None] + 1) % slides
    near = SlideNeighbours(index, np.zeros((slides, 1), np.float32), np.tile(np.arange(4), (slides, 1, 1)))
    targets = PrototypeTargets(own, near, np.arange(n) // 64, device)
    return Trainer(settings, data, **arguments), new_state(settings, IN_DIM, device), targets


def engine(pipe: Connection, args: argparse.Namespace, ready: bool) -> None:
    """The engine's steps, one at each request; `ready` takes the reading of regions away."""
    keep_freed_memory()  # as every pretraining command does
    torch.set_num_threads(args.threads)
    trainer, state, targets = made_training(run_settings(args), args.regions, torch.device(args.device))
    data = trainer.data
    if ready:
        kept = {length: data.take(torch.arange(length)) for length in (trainer.part, args.batch % trainer.part)}
        data.take = lambda index: kept[len(index)]
    steps = trainer.steps(state, 10**6, targets)
    pipe.send(str(trainer.dtype(state)).removeprefix("torch."))
    while pipe.recv() == "step":
        began = time.perf_counter()
        measures = next(steps).measures
        float(measures[0])
        pipe.send((time.perf_counter() - began, peak_mib(args.device)))


def plain(pipe: Connection, args: argparse.Namespace) -> None:
    """The plain loop's steps, one at each request."""
    from tests.benchmarks.plain_loop import PlainLoop, batches

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    regions = torch.randn(args.regions, IN_DIM, GRID, GRID)
    autocast = torch.float16 if args.device == "cuda" else None
    loader = batches(regions, [14] * 2 + [6] * 8, args.batch, args.workers)  # forks, so before the GPU is touched
    if not args.workers:
        loader = cycle([next(loader) for _ in range(AT_HAND)])
    loop = PlainLoop(args.out_dim, autocast, args.device)
    prototypes = torch.nn.functional.normalize(torch.randn(2, args.batch, 256, device=args.device), dim=-1)
    pipe.send("float16" if autocast else "float32")
    while pipe.recv() == "step":
        began = time.perf_counter()
        loop.step(next(loader), *prototypes)
        pipe.send((time.perf_counter() - began, peak_mib(args.device)))


def receive(pipe: Connection, name: str) -> Any:
    """What a child sends next.

    Raises:
        SystemExit: it has ended.
    """
    try:
        return pipe.recv()
    except EOFError:
        raise SystemExit(f"the {name} has ended; what it said stands above") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--out-dim", type=int, default=65536)
    parser.add_argument("--regions", type=int, default=1024)
    parser.add_argument("--turns", type=int, default=2, help="how often each loop has its turn")
    parser.add_argument("--steps", type=int, default=2, help="timed steps of a turn, after one to warm up")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--workers", type=int, default=2, help="loading processes of the plain loop; 0: batches at hand"
    )
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    context = mp.get_context("spawn")
    runs = {"engine": (engine, False), "engine, tensors at hand": (engine, True), "plain loop": (plain,)}
    dtypes, times, peak = {}, {name: [] for name in runs}, dict.fromkeys(runs, 0.0)
    for _ in range(args.turns):
        for name, (work, *rest) in runs.items():
            pipe, theirs = context.Pipe()
            child = context.Process(target=work, args=(theirs, args, *rest))
            child.start()
            theirs.close()  # so that the end of the child is noticed
            dtypes[name] = receive(pipe, name)
            for number in range(args.steps + 1):
                pipe.send("step")
                seconds, used = receive(pipe, name)
                peak[name] = max(peak[name], used)
                if number:
                    times[name].append(seconds)
            pipe.send("end")
            child.join()
    base = statistics.median(times["plain loop"])
    work = args.batch * step_flop(run_settings(args), GRID, IN_DIM) / 1e12
    setting = f"batch {args.batch}, head to {args.out_dim}, {work:.2f} TFLOP a step"
    loading = (
        f"{args.workers} processes load for the plain loop" if args.workers else "the plain loop's batches at hand"
    )
    print(f"{setting}, {args.threads} threads, {args.device}; {loading}\n")
    print("| loop | arithmetic | s a step | regions/s | TFLOP/s | throughput over plain | peak memory, GiB |")
    print("|---|---|---|---|---|---|---|")
    for name, dtype in dtypes.items():
        s = statistics.median(times[name])
        print(
            f"| {name} | {dtype} | {s:.2f} | {args.batch / s:.1f} | {work / s:.3f} | {base / s:.2f} "
            f"| {peak[name] / 1024:.2f} |"
        )
    if args.json:
        args.json.write_text(json.dumps({"times": times, "peak_mib": peak, "args": vars(args) | {"json": None}}))


if __name__ == "__main__":
    main()
