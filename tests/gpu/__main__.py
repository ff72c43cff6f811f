"""The checks that need a GPU, in under eight minutes: figures, a verdict on the goals, and a JSON file.

    python -m tests.gpu --json gpu.json              # on a machine with a GPU, torch and the packages below
    python -m tests.gpu --small --device cpu         # the same at small sizes: a minute or two of a core in all
    python -m tests.gpu --parts step --batch 512     # some of it

Parts, each in a process of its own with its own time limit, so that one that hangs or dies costs no other:

    unit      tests of the training code that have cases on a GPU
    parity    losses of the engine against the plain engine of the tests: float32 and bfloat16, eager and compiled
    step      ms, regions/s, TFLOP/s, memory, and the host's share of a training step at the paper's setting
    cohort    (for the next two) features of 62,853 regions, 12.4 GB, written into --folder
    loading   the features onto the device, and from there to the first step
    round     warm-up and one round by the workflow's own commands, and the projection to the whole pretraining
    encoding  patches/s of a ViT-S and a ViT-L fed from memory, and of the feature stage beside them

No Snakemake, no slides and no network are needed. The exit status is 1 where a part died or outran its limit, or where
a result is wrong; a goal of speed that is missed is told alone. The JSON file is written anew after each part.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.gpu import machine
from tests.gpu.arguments import count, folder, new_file, seconds, write_json
from tests.gpu.child import Result, run_part
from tests.gpu.goals import NSCLC_REGIONS, Verdict, judge_all, verdict_table
from tests.gpu.options import Options

# seconds, at most, of each part in the order in which they run; all together have LIMIT_S
PARTS = {"unit": 150, "parity": 130, "step": 130, "cohort": 60, "loading": 45, "round": 150, "encoding": 120}
LIMIT_S = 460.0
_ON_COHORT = {"loading", "round"}
SMALL_REGIONS = 270
BATCHES = {False: (512, 128), True: (8, 4)}  # regions of a step, by whether sizes are small


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The arguments, checked; of the command where none are given."""
    looks = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=looks, allow_abbrev=False)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="all by default")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="cuda where there is a GPU, by default")
    parser.add_argument("--small", action="store_true", help="small sizes, as on a CPU; no goal of speed is judged")
    parser.add_argument(
        "--batch", type=count, nargs="+", help="regions of a step: 512 and 128, or 8 and 4 with --small"
    )
    parser.add_argument(
        "--regions", type=count, help=f"of the cohort: {NSCLC_REGIONS}, or {SMALL_REGIONS} with --small"
    )
    parser.add_argument(
        "--folder", type=folder, help="where the features go, /dev/shm where they fit there, by default"
    )
    parser.add_argument("--limit", type=seconds, default=LIMIT_S, help="seconds of all parts together")
    parser.add_argument("--commit", help="what is measured, where the tree came without git")
    parser.add_argument("--json", type=new_file, help="file that receives all figures and verdicts")
    args = parser.parse_args(words)
    if args.small and args.regions:
        parser.error("--small has a cohort of its own size: leave out --regions")
    args.batch = tuple(args.batch or BATCHES[args.small])
    args.regions = args.regions or (SMALL_REGIONS if args.small else NSCLC_REGIONS)
    if _ON_COHORT & set(args.parts) and "cohort" not in args.parts:
        args.parts.append("cohort")
    return args


def require_packages(parts: list[str]) -> list[str]:
    """The parts that can run here; says which are left out.

    Raises:
        SystemExit: a package is missing that all parts need.
    """
    for_parts = [f"for {part}: {machine.named(modules)}" for part, modules in machine.FOR_PARTS.items()]
    print("; ".join([f"needed: {machine.named(machine.NEEDED)}", *for_parts]), flush=True)
    if lacking := machine.missing(machine.NEEDED):
        raise SystemExit(f"missing here: {', '.join(lacking)}; install them and start again")
    left = {part: machine.missing(machine.FOR_PARTS.get(part, ())) for part in parts}
    for part, lacking in left.items():
        if lacking:
            print(f"{part} is left out: missing here: {', '.join(lacking)}", flush=True)
    return [part for part in parts if not left[part]]


def choose_folder(given: Path | None, nbytes: int) -> Path:
    """The folder for features: one in memory if it holds them with a tenth to spare."""
    if given:
        return given
    shared = Path("/dev/shm")
    fits = shared.is_dir() and shutil.disk_usage(shared).free > 1.1 * nbytes
    return shared if fits else Path(tempfile.gettempdir())


def run_parts(
    parts: list[str],
    options: Options,
    limit_s: float,
    own: Path,
    keep: Callable[[dict[str, Result]], None] = lambda results: None,
) -> dict[str, Result]:
    """All parts in their order; not measured are those without time left, and without the cohort that they need.

    Args:
        parts: which.
        options: for them.
        limit_s: seconds of all together.
        own: folder for what they say.
        keep: is given all results so far, after each part.
    """
    results: dict[str, Result] = {}
    end = time.monotonic() + limit_s
    todo = [part for part in PARTS if part in parts]
    for number, part in enumerate(todo, 1):
        left = min(PARTS[part], end - time.monotonic())
        if left <= 0:
            results[part] = Result("not measured", 0.0, {}, [], "no time was left")
        elif part in _ON_COHORT and results["cohort"].status != "done":
            results[part] = Result("not measured", 0.0, {}, [], "there is no cohort")
        else:
            print(f"\n[{number}/{len(todo)}] {part}, {left:.0f} s at most", flush=True)
            results[part] = run_part(f"tests.gpu.{part}", options, left, own)
        tell(part, results[part])
        keep(results)
    return results


def tell(part: str, result: Result) -> None:
    """Print what came of a part."""
    print(f"\n## {part}: {result.status}, {result.seconds:.1f} s{': ' * bool(result.told)}{result.told}")
    for name, value in result.figures.items():
        print(f"{name}: {f'{value:.4g}' if isinstance(value, float) else value}")
    print("\n".join(result.notes), flush=True)


def judge_parts(options: Options, results: dict[str, Result]) -> list[Verdict]:
    """Verdicts on all goals by what there is so far."""
    return judge_all({part: result.figures for part, result in results.items()}, options.full, options.regions)


def keep_figures(file: Path | None, facts: dict[str, Any], options: Options, results: dict[str, Result]) -> None:
    """Write all figures and verdicts so far, where they are to be written."""
    if file is None:
        return
    told = [v.goal._asdict() | {"found": v.found, "verdict": v.verdict} for v in judge_parts(options, results)]
    content = {"machine": facts, "options": options._asdict() | {"folder": ""}, "verdict": told}
    write_json(file, content | {"parts": {part: result._asdict() for part, result in results.items()}})


def main() -> int:
    args = arguments()
    parts = require_packages(args.parts)
    facts = machine.ask(args.device or "")
    facts["commit"] = args.commit or facts["commit"]
    device = facts["device"]
    if not device or (device == "cpu" and not args.small and not args.device):
        raise SystemExit("torch sees no GPU here; python -m tests.gpu --small --device cpu runs small sizes on the CPU")
    print("\n".join(f"{name}: {value}" for name, value in facts.items()), flush=True)
    place = choose_folder(args.folder, 0 if args.small else args.regions * 16**2 * 384 * 2)
    with tempfile.TemporaryDirectory(prefix="slpd-gpu-", dir=place) as own:
        options = Options(device, args.small, own, args.batch, args.regions)
        keep = partial(keep_figures, args.json, facts, options)
        results = run_parts(parts, options, args.limit, Path(own), keep)
    verdicts = judge_parts(options, results)
    print("\n## Verdict\n" + "\n".join(verdict_table(verdicts)))
    bad = any(result.status in ("died", "gave up") for result in results.values())
    return int(bad or any(v.verdict == "missed" and not v.goal.speed for v in verdicts))


if __name__ == "__main__":
    sys.exit(main())
