"""Where the arrangement of patches is the answer: the mean of patches, DINO and SLPD, its terms and its settings.

Each seed has a planted cohort and trainings of its own. What is done lies in a folder, a JSON file for each cohort,
seed and variant, written whole; the same command goes on where it stopped, and the tables are printed from the files.

    python -m tests.benchmarks.context --out context                    # on the CPU: the small size
    python -m tests.benchmarks.context --out context --size full --device cuda --minutes 8    # as often as it takes
    python -m tests.benchmarks.context --out context --print            # the tables of what is there

The tables are of the seeds and variants that are named, which are one family of comparisons.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from tests.benchmarks.context.ceiling import accuracy_of, told_by_others
from tests.benchmarks.context.cohort import Cohort, plant
from tests.benchmarks.context.measures import measure
from tests.benchmarks.context.table import tables
from tests.benchmarks.context.training import OutOfTimeError, Trained, told_settings, train
from tests.benchmarks.context.variants import (
    COHORTS,
    DINO,
    MEAN,
    SIZES,
    SUPERVISED,
    VARIANTS,
    Size,
    planted,
    run_settings,
)
from workflow_scripts.core.files import write_text

EVERY = (MEAN, SUPERVISED, *VARIANTS)


class Todo(NamedTuple):
    """One file to make."""

    cohort: str
    seed: int
    variant: str

    def path(self, out: Path, size: str) -> Path:
        return out / f"{size}_{self.cohort}_{self.seed}_{self.variant.replace(' ', '-')}.json"


@dataclass
class Clock:
    """The time that was given, and how long the longest variant took."""

    ends: float
    longest: float = 0.0

    def left(self) -> float:
        """Seconds that are left."""
        return self.ends - time.monotonic()

    def allows(self) -> bool:
        """Whether another variant is likely to end in time."""
        return self.left() > self.longest


def todos(cohorts: list[str], seeds: list[int], variants: list[str]) -> Iterator[Todo]:
    """What is to be done: all variants of a seed, one seed after another."""
    yield from (Todo(cohort, seed, variant) for cohort in cohorts for seed in seeds for variant in variants)


def made(todo: Todo, size: Size, cohort: Cohort, device: torch.device, warm_ups: Path, clock: Clock) -> dict[str, Any]:
    """Measures and curves of one variant.

    Raises:
        OutOfTimeError: from training.
    """
    settings = run_settings(size, DINO if todo.variant in (MEAN, SUPERVISED) else todo.variant, todo.seed)
    more: dict[str, Any] = {}
    if todo.variant == MEAN:
        done = Trained(cohort.tokens.astype(np.float32).mean(axis=(1, 2)))
    elif todo.variant == SUPERVISED:
        taught = (size.supervised_epochs, size.supervised_lr, todo.seed)
        done = Trained(told_by_others(settings, cohort, device, *taught))
        right = done.features.argmax(axis=1) == cohort.region_class
        more["accuracy"] = float(np.mean([right[cohort.region_class == c].mean() for c in range(5)]))
        more["accuracy_by_regions"] = {str(n): accuracy_of(settings, cohort, device, n, *taught) for n in size.curve}
    else:
        done = train(settings, cohort, device, warm_ups, clock.left)
        more["settings"] = told_settings(settings)
    return {
        "measures": measure(done.features, cohort, todo.seed),
        "curves": done.curves,
        "train_s": done.seconds,
        **more,
    }


def run(args: argparse.Namespace) -> list[Todo]:
    """Do what is not done yet, as far as the time goes; what is left."""
    size, device, clock = SIZES[args.size], torch.device(args.device), Clock(time.monotonic() + 60 * args.minutes)
    left, cohort, of = [], None, None
    args.out.mkdir(parents=True, exist_ok=True)
    for todo in todos(args.cohorts, args.seeds, args.variants):
        path = todo.path(args.out, args.size)
        if path.exists():
            continue
        if left or not clock.allows():
            left.append(todo)
            continue
        began, own = time.monotonic(), planted(size, todo.cohort, todo.seed)
        if own != of:
            cohort, of = plant(own), own
        warm_ups = args.out / "warm_ups" / f"{args.size}_{todo.cohort}_{todo.seed}"
        try:
            found = made(todo, size, cohort, device, warm_ups, clock)
        except OutOfTimeError:
            left.append(todo)
            continue
        seconds = time.monotonic() - began
        clock.longest = max(clock.longest, seconds)
        facts = {"size": args.size, **todo._asdict(), "seconds": seconds, "device": args.device}
        write_text(path, json.dumps(facts | {"planted": own.to_json()} | found))
        print(f"{path.stem}: {seconds:.0f} s", flush=True)
    return left


def parsed(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the JSON files")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--cohorts", nargs="+", choices=COHORTS, default=["context"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=EVERY, default=EVERY)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after which no more is begun")
    parser.add_argument("--print", action="store_true", help="print the tables and run nothing")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parsed(argv)
    torch.set_num_threads(args.threads)
    left = [] if args.print else run(args)
    print(tables(args.out, args.variants, args.seeds))
    if left:
        print(f"{len(left)} left, from {left[0].cohort}, seed {left[0].seed}, {left[0].variant}; run the same again")


if __name__ == "__main__":
    main()
