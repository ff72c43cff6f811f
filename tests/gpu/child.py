"""One part in a process of its own: `run_part` starts it and gives it up after its time; `main` is that process."""

import contextlib
import importlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from tests.gpu.machine import ROOT
from tests.gpu.options import NotHere, Options

_TOLD = 600  # characters of what a part that died has said last


class Result(NamedTuple):
    """What came of a part.

    Attributes:
        status: `done`, `not measured` (not possible here), `died`, or `gave up` (it outran its limit).
        seconds: that it took.
        figures: what it measured, by name; of a part that died or outran its limit, what it had measured by then.
        notes: sentences and lines of tables to print below the figures.
        told: why there are no figures, or not all.
    """

    status: str
    seconds: float
    figures: dict[str, Any]
    notes: list[str]
    told: str = ""


def run_part(module: str, options: Options, limit_s: float, folder: Path) -> Result:
    """Run `measure` of a module in a process of its own, for `limit_s` seconds at most.

    Args:
        module: has `measure(options)`, which yields figures and notes, again and again as there are more.
        options: for it.
        limit_s: after that the process and all that it has started are killed.
        folder: for what the process says.
    """
    name = module.rpartition(".")[2]
    answer, said = folder / f"{name}.json", folder / f"{name}.txt"
    answer.unlink(missing_ok=True)
    call = [sys.executable, "-m", "tests.gpu.child", module, json.dumps(options._asdict()), str(answer)]
    began = time.monotonic()
    with said.open("wb") as file:
        child = subprocess.Popen(call, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            child.wait(timeout=max(limit_s, 0.0))
            status = "died"
        except subprocess.TimeoutExpired:
            status = "gave up"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # and what it has started, which may live on
            child.wait()
    seconds = time.monotonic() - began
    last = " ".join(said.read_text(encoding="utf-8", errors="replace").split())[-_TOLD:]
    found = json.loads(answer.read_text(encoding="utf-8")) if answer.is_file() else {"figures": {}, "notes": []}
    if found.get("status"):  # it has said so itself, at its end
        return Result(found["status"], seconds, found["figures"], found["notes"], found["told"])
    ended = {"gave up": f"it took more than its {limit_s:.0f} s", "died": f"it ended with status {child.returncode}"}
    return Result(status, seconds, found["figures"], found["notes"], f"{ended[status]}; it said last: {last}")


def finite(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures that JSON can hold: None in place of numbers that are not finite."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in figures.items()}


def main(module: str, options: str, answer: str) -> None:
    given = json.loads(options)
    told = Options(**given | {"batches": tuple(given["batches"])})
    figures: dict[str, Any] = {}
    notes: list[str] = []

    def say(**more: str) -> None:
        part = Path(f"{answer}.part")
        part.write_text(json.dumps({"figures": finite(figures), "notes": notes} | more), encoding="utf-8")
        part.replace(answer)

    try:
        for found, lines in importlib.import_module(module).measure(told):
            figures |= found
            notes += lines
            say()  # for whoever ends it here
        say(status="done", told="")
    except NotHere as reason:
        say(status="not measured", told=str(reason))


if __name__ == "__main__":
    main(*sys.argv[1:])
