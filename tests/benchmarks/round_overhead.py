"""What a round costs beyond its steps: start of the processes, imports, loading, saving.

Runs warm_up for one epoch on the features of a finished cohort, then cluster_regions, assign_neighbours and
distill_round (one epoch) a few times, each as a process of its own as the rules start it, and prints where the fastest
took its time: starting Python, all imports, every function that the command's main calls, the rest of main, and the
exit. Times are exclusive: an import within a function counts as an import. Nothing is written into the cohort's folder
but the digests of its features.

    python -m tests.benchmarks.round_overhead [--cohort results/demo] [--config config/config.yaml] [--imports]
"""

import builtins
import importlib
import json
import sys
import time
from collections import defaultdict
from functools import wraps
from types import FunctionType, SimpleNamespace

# What a round is for; all other time is overhead.
WORK = {"train", "embed_regions", "cluster_slides", "cluster_cohort", "cluster_rows", "find_neighbours"}


class Clock:
    """Exclusive time by name: a nested span stops the clock of the one around it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.outer_imports: dict[str, float] = defaultdict(float)
        self._stack: list[str] = []
        self._since = time.perf_counter()

    def _charge(self) -> None:
        now = time.perf_counter()
        if self._stack:
            self.seconds[self._stack[-1]] += now - self._since
        self._since = now

    def call(self, name, function, *args, **named):
        self._charge()
        self._stack.append(name)
        try:
            return function(*args, **named)
        finally:
            self._charge()
            self._stack.pop()

    def importing(self) -> bool:
        return "imports" in self._stack


def watch_imports(clock: Clock, entry: str) -> None:
    """Time every import statement, and every function of the package that the entry imports by name."""
    original = builtins.__import__

    def timed(function):
        @wraps(function)
        def run(*args, **named):
            return clock.call(function.__name__, function, *args, **named)

        return run

    def importer(name, scope=None, local=None, wanted=(), level=0):
        nested, began = clock.importing(), time.perf_counter()
        module = clock.call("imports", original, name, scope, local, wanted, level)
        if not nested:
            clock.outer_imports[name] += time.perf_counter() - began
        if not wanted or (scope or {}).get("__name__") != entry or not name.startswith("workflow_scripts"):
            return module
        found = {key: getattr(module, key) for key in wanted}
        return SimpleNamespace(**{k: timed(f) if isinstance(f, FunctionType) else f for k, f in found.items()})

    builtins.__import__ = importer


def child(entry: str, argv: list[str], began: float) -> None:
    """Run one entry under the clock and print its times as JSON on the last line."""
    clock = Clock()
    clock.seconds["start of Python"] = time.time() - began
    watch_imports(clock, entry)
    module = clock.call("imports", importlib.import_module, entry)

    def watched() -> None:
        clock.call("main itself", module.main, argv)
        print(json.dumps({"seconds": clock.seconds, "imports": clock.outer_imports, "ended": time.time()}))

    sys.modules["workflow_scripts.core.entry"].run_entry(watched)


def run(entry: str, arguments: list[str]) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds by name of one process, and its outermost imports."""
    import subprocess

    call = [sys.executable, "-m", "tests.benchmarks.round_overhead", "--child", str(time.time())]
    done = subprocess.run([*call, f"workflow_scripts.{entry}", *arguments], capture_output=True, text=True)
    ended = time.time()
    if done.returncode:
        raise SystemExit(f"{entry} failed:\n{done.stderr}")
    told = json.loads(done.stdout.splitlines()[-1])
    return told["seconds"] | {"exit": ended - told["ended"]}, told["imports"]


def commands(config: str, cohort, folder) -> dict[str, list[str]]:
    """Arguments of the entries as rules/pretrain.smk gives them, with all outputs under `folder`."""
    import os

    import yaml

    from workflow_scripts.config import load_config, result_settings

    with open(config, encoding="utf-8") as file:
        pretrain = load_config(yaml.safe_load(file)).pretrain
    settings = pretrain.run("slpd").model_copy(update={"warmup_epochs": 1, "epochs_per_round": 1})
    full, part = json.dumps(result_settings(settings)), json.dumps(result_settings(settings.neighbours))
    features = next(path for path in sorted((cohort / "features").iterdir()) if path.is_dir())
    data = ["--features", str(features), "--slides", str(cohort / "slides.parquet")]
    start, tables = f"{folder}/start.safetensors", [f"{folder}/{n}.parquet" for n in ("proto", "assign", "near")]
    train = ["--metrics", f"{folder}/metrics.parquet", "--scratch", f"{folder}/scratch"]
    threads = str(len(os.sched_getaffinity(0)))
    return {
        "warm_up": ["--config", full, *data, "--state", start, *train],
        "cluster_regions": [
            *("--config", full, *data, "--state", start, "--round", "1", "--threads", threads),
            *("--prototypes", tables[0], "--assignments", tables[1]),
        ],
        "assign_neighbours": [
            *("--config", part, "--slides", str(cohort / "slides.parquet")),
            *("--prototypes", tables[0], "--neighbours", tables[2]),
        ],
        "distill_round": [
            *("--config", full, *data, "--start", start, "--tables", *tables),
            *("--state", f"{folder}/end.safetensors", *train),
        ],
    }


def overhead_of(seconds: dict[str, float]) -> float:
    return sum(value for name, value in seconds.items() if name not in WORK)


def print_table(entry: str, seconds: dict[str, float]) -> float:
    """Print where one process took its time; its overhead in seconds."""
    overhead = overhead_of(seconds)
    print(f"\n{entry}: {sum(seconds.values()):.2f} s, of which {overhead:.2f} s overhead")
    for name, value in sorted(seconds.items(), key=lambda item: -item[1]):
        if value >= 0.005:
            print(f"  {name:24} {value:7.3f} s{'   (work)' if name in WORK else ''}")
    return overhead


def main() -> None:
    import argparse
    import tempfile
    from pathlib import Path

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, default=Path("results/demo"), help="with features and slides.parquet")
    parser.add_argument("--config", default="config/config.yaml")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--imports", action="store_true", help="tell which import statements took 20 ms and more")
    args = parser.parse_args()
    total = 0.0
    with tempfile.TemporaryDirectory() as folder:
        todo = commands(args.config, args.cohort, folder)
        run("warm_up", todo.pop("warm_up"))
        for entry, arguments in todo.items():
            runs = [run(entry, arguments) for _ in range(args.repeats)]
            seconds, imports = min(runs, key=lambda told: overhead_of(told[0]))
            total += print_table(entry, seconds)
            slow = {name: value for name, value in imports.items() if value >= 0.02}
            if args.imports:
                print("  imports:", ", ".join(f"{name} {value:.2f}" for name, value in slow.items()))
    print(f"\na round beyond its steps: {total:.2f} s")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[3], sys.argv[4:], float(sys.argv[2]))
    else:
        main()
