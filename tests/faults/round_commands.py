"""A tiny cohort's features, the commands of a round as the rules start them, and disks that fill up."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.workflow.tiny import CONFIG, ROOT
from workflow_scripts.config import PretrainRun, result_settings
from workflow_scripts.config.base import merge
from workflow_scripts.core import schemas
from workflow_scripts.core.feature_file import FEATURE_PARQUET, feature_schema, slide_file
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.core.tensors import to_column

GRID, DIM = 4, 16
COUNTS = [5, *range(20, 31)]  # regions of each slide; the first has too few to be clustered
RULES = ("warm_up", "cluster_regions", "assign_neighbours", "distill_round")
TRAINING = ("warm_up", "distill_round")
EPOCHS = 12  # of warm-up, and of the round: a hundred steps, enough to be disturbed in

# The command as the rules start it; training saves its state every 0.1 s instead of every 30 s, and SIGINT works even
# where the tests were started in the background.
_CHILD = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
rule = sys.argv.pop(1)
if rule in ("warm_up", "distill_round"):
    import workflow_scripts.slpd.progress as progress
    progress._SAVE_EVERY_S, progress._SAVE_SHARE = 0.1, 1e9
runpy.run_module(f"workflow_scripts.{rule}", run_name="__main__", alter_sys=True)
"""


def settings(**changes: Any) -> PretrainRun:
    """Settings of the run, of the size of the tiny project's."""
    plan = {"precision": "float32", "rounds": 1, "warmup_epochs": EPOCHS, "epochs_per_round": EPOCHS}
    own = merge(CONFIG["pretrain"]["defaults"], plan | {"schedule_epochs": 3 * EPOCHS, "optimiser": {"lr": 0.001}})
    return PretrainRun.model_validate(merge(own, changes))


def write_slide(folder: Path, name: str, tokens: np.ndarray, read_ok: np.ndarray) -> None:
    """A slide's feature file, by tokens `[n, g, g, D]` float16 and which of them are readable, bool `[n, g, g]`."""
    count, grid, _, dim = tokens.shape
    schema = feature_schema(grid, dim)
    arrays = {
        "features": tokens,
        "read_ok": read_ok,
        "tissue": np.ones(read_ok.shape, np.float32),
        "colour": np.zeros((*read_ok.shape, 6), np.float32),
    }
    columns: dict[str, Any] = {key: to_column(values, schema.field(key)) for key, values in arrays.items()}
    columns |= {"slide_id": [name] * count, "region_id": [f"{name}_{i}" for i in range(count)]}
    table = {key: columns[key] for key in schema.names}
    write_table(slide_file(folder / "features", name), table, schema, {"grid": grid}, **FEATURE_PARQUET)


def write_index(folder: Path, counts: dict[str, int]) -> None:
    """The tables that the commands read beside the features: regions of each slide, one slide a patient."""
    index = [
        {"slide_id": name, "patient_id": f"p{number}", "status": "ok", "n_regions": count}
        for number, (name, count) in enumerate(counts.items())
    ]
    write_table(folder / "features/shard_0.parquet", index, schemas.FEATURE_INDEX)
    write_table(folder / "slides.parquet", index, schemas.SLIDES)


def write_cohort(folder: Path) -> Path:
    """Features of 12 slides, of six kinds, with the tables that the commands read."""
    rng, counts = np.random.default_rng(3), {f"s{number:02d}": count for number, count in enumerate(COUNTS)}
    kinds = rng.normal(size=(6, DIM))
    for name, count in counts.items():
        shape = (count, GRID, GRID)
        tokens = rng.normal(size=(*shape, DIM)) + kinds[rng.integers(6, size=count)][:, None, None]
        write_slide(folder, name, tokens.astype(np.float16), rng.random(shape) < 0.97)
    write_index(folder, counts)
    return folder


class Command(NamedTuple):
    """One rule's command line, the outputs that it declares, and its scratch and log."""

    rule: str
    arguments: list[str]
    outputs: list[Path]
    scratch: Path
    log: Path

    def start(self, told: Path, often: bool = True) -> subprocess.Popen:
        """Start it on one thread and the CPU; what it prints goes to `told`. `often`: it saves its state often."""
        call = ["-c", _CHILD, self.rule] if often else ["-m", f"workflow_scripts.{self.rule}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
        with told.open("w") as file:
            return subprocess.Popen(
                [sys.executable, *call, *self.arguments], env=environment, stdout=file, stderr=subprocess.STDOUT
            )

    def content(self) -> dict[str, Any]:
        """What is to be equal in each output; None where there is none."""
        return {path.name: content_of(path) for path in self.outputs}


def content_of(path: Path) -> Any:
    """What is to be equal in a file, None where there is none."""
    if not path.exists():
        return None
    if path.name == "metrics.parquet":  # how fast it went is the one thing that may differ
        table = read_table(path).drop_columns("regions_per_s")
        return {name: np.array(table[name]).tobytes() for name in table.column_names}, read_meta(path)
    return path.read_bytes()


def command(
    rule: str,
    run: PretrainRun,
    cohort: Path,
    given: Path,
    folder: Path,
    code: str = "c0",
    gpus: int = 0,
    threads: int = 2,
    compile: str = "auto",
) -> Command:
    """The command of a rule as rules/pretrain.smk has it, with inputs from `given` and outputs in `folder`."""
    state, tables = "state.safetensors", ["prototypes.parquet", "assignments.parquet", "neighbours.parquet"]
    slides = ["--slides", f"{cohort}/slides.parquet"]
    data, scratch, log = ["--features", f"{cohort}/features", *slides], folder / "scratch", folder / "logs" / "log"
    own, start = folder / rule, f"{given}/warm_up/{state}"
    trained = [own / state, own / "metrics.parquet"]
    named = ["--code", code]
    saved = ["--state", str(trained[0]), "--metrics", str(trained[1]), "--scratch", str(scratch), *named]
    saved += ["--micro-batch", "0", "--compile", compile, "--deterministic", "false"]
    found = [f"{given}/cluster_regions/{tables[0]}", f"{given}/cluster_regions/{tables[1]}"]
    made = ["--prototypes", f"{own}/{tables[0]}", "--assignments", f"{own}/{tables[1]}"]
    matched = f"{given}/assign_neighbours/{tables[2]}"
    config, arguments, outputs = {
        "warm_up": (run.warm_up_settings(), [*data, *saved], trained),
        "cluster_regions": (
            run.cluster_settings() | {"stop_agreement": None},
            [*data, "--state", start, "--round", "01", "--threads", str(threads), "--previous", *named, *made],
            [own / tables[0], own / tables[1]],
        ),
        "assign_neighbours": (
            result_settings(run.neighbours),
            [*slides, "--prototypes", found[0], "--threads", str(threads), "--neighbours", f"{own}/{tables[2]}"],
            [own / tables[2]],
        ),
        "distill_round": (
            run.distill_settings(),
            [*data, "--start", start, "--tables", *found, matched, *saved],
            trained,
        ),
    }[rule]
    gpu = [] if rule == "assign_neighbours" else ["--gpu", str(gpus)]
    return Command(rule, ["--config", json.dumps(config), *arguments, *gpu, "--log", str(log)], outputs, scratch, log)


def start_snakemake(folder: Path, *args: str, told: Path | None = None) -> subprocess.Popen:
    """Snakemake in the background as `tests.workflow.tiny.snakemake` runs it, in a process group of its own.

    What it prints goes to the file `told`. SIGINT works even where the tests were started in the background.
    """
    call = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    with open(told or os.devnull, "w") as file:
        return subprocess.Popen(
            [*call, "--cores", "2", *args],
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )


def finish(todo: Command, told: Path, often: bool = True) -> tuple[float, float]:
    """Run a command undisturbed; its seconds in all, and those from its first step on (0 where it takes none)."""
    began, stepping = time.monotonic(), None
    child = todo.start(told, often)
    while child.poll() is None:
        if stepping is None and "training epochs" in told.read_text():
            stepping = time.monotonic()
        time.sleep(0.01)
    assert child.returncode == 0, told.read_text()
    ended = time.monotonic()
    return ended - began, ended - (stepping or ended)


@dataclass
class Disk:
    """A folder on a disk that can be filled and freed; `own`: a disk of its own, otherwise a limit for the process."""

    folder: Path
    own: bool

    def fill(self, child: subprocess.Popen) -> None:
        """No byte more goes to the disk."""
        if not self.own:  # no file grows beyond a size that is enough for the log, but for no output
            resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (1536, resource.RLIM_INFINITY))
            return
        with open(self.folder / "ballast", "wb", buffering=0) as file:
            for size in (1 << 16, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    pass

    def free(self) -> None:
        (self.folder / "ballast").unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, mounted: bool = True, megabytes: int = 8) -> Iterator[Disk]:
    """A disk of some MB at `folder`, mounted where that is wanted and allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    own = mounted and os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield Disk(folder, own)
    finally:
        if own:
            subprocess.run(["umount", "-l", str(folder)], check=True)
