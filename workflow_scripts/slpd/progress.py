"""Training with progress in the log and a resumable state in a scratch folder.

The scratch state is no output of the rule, since Snakemake deletes the outputs of a job that dies. It is named by
a fingerprint (core.kept) of everything the result depends on, so a changed setting, code or input never resumes stale
state.
"""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from workflow_scripts.config import PretrainRun
from workflow_scripts.core.entry import log
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.loss_terms import TERMS
from workflow_scripts.core.schemas import METRICS
from workflow_scripts.core.tables import write_table
from workflow_scripts.slpd.health import check_targets, collapse_message
from workflow_scripts.slpd.mishaps import told_mishaps
from workflow_scripts.slpd.signals import Caught, caught_signals
from workflow_scripts.slpd.speed import Spent, sentence, speed, write_speed
from workflow_scripts.slpd.state import TrainState, load_state, save_state, saved_progress
from workflow_scripts.slpd.targets import PrototypeTargets
from workflow_scripts.slpd.trainer import COLUMNS, Step, Trainer

_SAVE_EVERY_S = 30.0
_SAVE_SHARE = 0.05  # of the time, at most, goes into saving
_TELL_EVERY_S = 30.0


class ScratchState:
    """The last saved step of an unfinished job."""

    def __init__(self, folder: str, name: str) -> None:
        self.folder = Path(folder)
        self.path = self.folder / f"{name}.safetensors"

    def load(self, settings: PretrainRun, in_dim: int, device: torch.device) -> tuple[TrainState, list] | None:
        """State and metric rows of an interrupted job with the same fingerprint, if there is one."""
        if not self.path.exists():
            return None
        state, extra = load_state(self.path, settings, in_dim, device)
        if extra["metrics"].ndim == 2 and extra["metrics"].shape[1] != len(COLUMNS):
            log.info("an interrupted job of another version of the workflow is not resumed; training starts again")
            return None
        log.info("resuming after step %d, in epoch %d, of an interrupted job", state.step, state.epoch)
        return state, extra["metrics"].tolist()

    def save(self, state: TrainState, rows: list[list[float]]) -> None:
        save_state(self.path, state, {"metrics": torch.tensor(rows, dtype=torch.float64)})

    def saved_step(self) -> int | None:
        """Steps done as the state was saved last; None where none is saved."""
        return saved_progress(self.path)[1] if self.path.exists() else None

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class _Progress:
    """What `train` has done so far: metric rows, when it last told and saved, and how long that took."""

    def __init__(
        self, trainer: Trainer, state: TrainState, until: int, scratch: ScratchState, rows: list, spent: Spent
    ) -> None:
        self.trainer, self.state, self.scratch, self.rows, self.spent = trainer, state, scratch, rows, spent
        self.first, self.total = state.step, until * trainer.steps_per_epoch
        self.pending: list[Step] = []
        self.began = self.read = self.told = self.saved = time.monotonic()
        self.save_every = _SAVE_EVERY_S

    def add(self, step: Step, caught: Caught) -> None:
        """Take note of a step; tell, check and save where it is time to."""
        self.pending.append(step)
        self.spent.count += 1
        now, done = time.monotonic(), self.state.step - self.first
        if done == 1:
            self.began = now  # what comes before and with the first step, compiling for one, comes once
        due = now - self.told > _TELL_EVERY_S or done == 3 or self.state.step == self.total
        save = caught.number is not None or now - self.saved > self.save_every
        if due or save or self.state.epoch > step.epoch:
            self.take_rows()
        if due:
            self.tell()
        if self.trainer.workers.rank > 0:
            return  # the first process saves, and finishes its step with the help of the others
        if self.state.step == self.total:
            return  # done: what is left is to write the outputs
        if save:
            self.save(caught)
        caught.leave()

    def take_rows(self) -> None:
        """Bring the pending steps' measures to the host and check them."""
        now = time.monotonic()
        rate = len(self.pending) * self.trainer.batch / max(now - self.read, 1e-9)
        new = self.trainer.rows(self.pending, rate)
        self.pending, self.read = [], now
        check_rows(new, self.trainer.settings, str(self.scratch.path) if self.scratch.path.exists() else "")
        self.rows.extend(new)

    def tell(self) -> None:
        self.told = time.monotonic()
        done, line = self.state.step - self.first, dict(zip(COLUMNS, self.rows[-1], strict=True))
        parts = " ".join(f"{key} {line[key]:.3f}" for key in ("loss", *(term.column for term in TERMS)))
        pace = ""
        if done > 1:  # the first step is timed with what came before it
            left = (self.told - self.began) / (done - 1) * (self.total - self.state.step)
            pace = f", {line['regions_per_s']:.0f} regions/s, {duration(left)} left"
        log.info("epoch %d, step %d of %d: %s%s", line["epoch"], self.state.step, self.total, parts, pace)

    def save(self, caught: Caught) -> None:
        began = time.monotonic()
        with self.spent.in_saving():
            self.scratch.save(self.state, self.rows)
        self.saved = time.monotonic()
        self.save_every = max(_SAVE_EVERY_S, (self.saved - began) / _SAVE_SHARE)
        if caught.number is not None:
            log.error("ended by %s; the state is saved, run the same command again to go on", caught.number.name)


def duration(seconds: float) -> str:
    """A time as people say it: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def check_rows(rows: list[list[float]], settings: PretrainRun, kept: str) -> None:
    """Stop a run that has broken down.

    Raises:
        UserError: a loss is no finite number, or the targets of these steps have collapsed; names the knobs.
    """
    if not rows:
        return
    table = torch.tensor(rows, dtype=torch.float64)
    epoch = int(table[-1, COLUMNS.index("epoch")])
    if not torch.isfinite(table).all():
        raise UserError(collapse_message(f"the loss became non-finite in epoch {epoch}", kept))
    if epoch < settings.optimiser.lr_warmup_epochs:
        return  # targets take shape in the first epochs
    columns = [COLUMNS.index(name) for name in ("teacher_entropy", "marginal_entropy")]
    entropy, marginal = table[:, columns].mean(dim=0).tolist()
    if problem := check_targets(entropy, marginal, settings.head.out_dim):
        raise UserError(collapse_message(f"training has collapsed in epoch {epoch}: {problem}", kept))


def train(
    trainer: Trainer,
    state: TrainState,
    until: int,
    targets: PrototypeTargets | None,
    scratch: ScratchState,
    rows: list,
    spent: Spent | None = None,
) -> list[list[float]]:
    """Train to epoch `until`, telling cost first and progress on the way; returns all metric rows.

    SIGTERM, SIGINT and SIGUSR1 end it after the step at hand, with the state saved. Times are added to `spent`.
    """
    spent = spent or Spent()
    workers = trainer.workers
    if trainer.dtype(state) == torch.bfloat16:
        torch.set_float32_matmul_precision("high")  # on a GPU: products left in float32 may round to TF32
    log.info(
        "training epochs %d to %d: %d steps of %d regions in %s, %d process(es) of %d thread(s)",
        *(state.epoch, until - 1, until * trainer.steps_per_epoch - state.step, trainer.batch),
        *(str(trainer.dtype(state)).removeprefix("torch."), workers.world, torch.get_num_threads()),
    )
    progress = _Progress(trainer, state, until, scratch, rows, spent)
    # a bar on a terminal, none in a log (disable=None)
    bar = tqdm(total=progress.total - state.step, unit="step", disable=None if workers.rank == 0 else True, leave=False)
    mishaps = told_mishaps(trainer.data.device, lambda: trainer.part, scratch.saved_step)
    with caught_signals(workers.rank == 0) as caught, bar, mishaps, spent.in_steps(trainer):
        for step in trainer.steps(state, until, targets):
            progress.add(step, caught)
            bar.update()
            bar.set_postfix_str(f"{trainer.batch * (bar.format_dict['rate'] or 0):.0f} regions/s", refresh=False)
    return rows


def save_training(state: TrainState, rows: list[list[float]], state_path: str, metrics_path: str) -> None:
    """Write the outputs of a training job: state and metrics."""
    columns: dict[str, Sequence[float]] = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))
    columns |= {name: [int(value) for value in columns[name]] for name in ("epoch", "step")}
    write_table(metrics_path, {name: columns[name] for name in METRICS.names}, METRICS)
    save_state(state_path, state)


def finish(
    trainer: Trainer,
    state: TrainState,
    targets: PrototypeTargets | None,
    rows: list[list[float]],
    spent: Spent,
    state_path: str,
    metrics_path: str,
) -> None:
    """Write the outputs of a training job, and tell in the log and for the report how fast it was."""
    with spent.in_saving():
        save_training(state, rows, state_path, metrics_path)
    facts = speed(spent, trainer, state, targets)
    log.info(sentence(facts))
    write_speed(metrics_path, facts)
