"""Training with progress in the log and a resumable state in a scratch folder.

The scratch state is no output of the rule, since Snakemake deletes the outputs of a job that dies. It is named by
a fingerprint of everything the result depends on, so a changed setting, code or input never resumes stale state.
"""

import hashlib
import shutil
import time
from pathlib import Path

import torch
from tqdm import tqdm

from workflow_scripts.config import PretrainRun
from workflow_scripts.core.entry import log
from workflow_scripts.core.schemas import METRICS
from workflow_scripts.core.tables import write_table
from workflow_scripts.slpd.state import TrainState, load_state, save_state
from workflow_scripts.slpd.trainer import COLUMNS, PrototypeTargets, Trainer

_SAVE_EVERY_S = 30.0


def fingerprint(code: str, settings: PretrainRun, files: list[str]) -> str:
    """Digest (16 hex digits) of code, settings and the content of input files."""
    digest = hashlib.sha256(f"{code} {settings.model_dump_json()}".encode())
    for name in files:
        with Path(name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


class ScratchState:
    """The last saved epoch of an unfinished job."""

    def __init__(self, folder: str, name: str) -> None:
        self.folder = Path(folder)
        self.path = self.folder / f"{name}.safetensors"

    def load(self, settings: PretrainRun, in_dim: int, device: torch.device) -> tuple[TrainState, list] | None:
        """State and metric rows of an interrupted job with the same fingerprint, if there is one."""
        if not self.path.exists():
            return None
        state, extra = load_state(self.path, settings, in_dim, device)
        log.info("resuming after epoch %d of an interrupted job", state.epoch)
        return state, extra["metrics"].tolist()

    def save(self, state: TrainState, rows: list[list[float]]) -> None:
        save_state(self.path, state, {"metrics": torch.tensor(rows, dtype=torch.float64)})

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def train(
    trainer: Trainer, state: TrainState, until: int, targets: PrototypeTargets | None, scratch: ScratchState, rows: list
) -> list[list[float]]:
    """Train to epoch `until`, telling cost first and progress on the way; returns all metric rows."""
    log.info(
        "training epochs %d to %d: %d steps of %d regions", state.epoch, until - 1,
        (until - state.epoch) * trainer.steps_per_epoch, trainer.batch,
    )  # fmt: skip
    began, first = time.monotonic(), state.epoch
    last_log = last_save = began

    def after_epoch(new: list[list[float]]) -> None:
        nonlocal last_log, last_save
        rows.extend(new)
        bar.update()
        now = time.monotonic()
        if now - last_log > 5 or state.epoch == until or state.epoch == first + 1:
            last_log = now
            left = (now - began) / (state.epoch - first) * (until - state.epoch)
            line = dict(zip(COLUMNS, new[-1], strict=True))
            parts = " ".join(f"{key} {line[key]:.3f}" for key in ("loss", "loss_self", "loss_intra", "loss_inter"))
            log.info("epoch %d: %s, %.0f regions/s, %.0f s left", line["epoch"], parts, line["regions_per_s"], left)
        if now - last_save > _SAVE_EVERY_S and state.epoch < until:
            scratch.save(state, rows)
            last_save = time.monotonic()

    # a bar on a terminal, none in a log (disable=None)
    with tqdm(total=until - state.epoch, unit="epoch", disable=None, leave=False) as bar:
        trainer.run_epochs(state, until, targets, after_epoch)
    return rows


def save_training(state: TrainState, rows: list[list[float]], state_path: str, metrics_path: str) -> None:
    """Write the outputs of a training job: state and metrics."""
    columns = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))
    columns |= {name: [int(value) for value in columns[name]] for name in ("epoch", "step")}
    write_table(metrics_path, {name: columns[name] for name in METRICS.names}, METRICS)
    save_state(state_path, state)
