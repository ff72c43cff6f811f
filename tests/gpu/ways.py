"""The ways in which the engine can compute a step, and whether it did: where one fails, it goes on as written."""

import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from tests.gpu.options import Options
from workflow_scripts.slpd.trainer import Trainer

# Epochs that are asked for, though but a few steps are taken: enough to be recorded, too few to be compiled by itself.
FAR = 100


class Way(NamedTuple):
    """Arguments of `Trainer`, and what its log says where steps are computed so."""

    arguments: dict[str, str]
    says: str = ""


def ways(options: Options) -> dict[str, Way]:
    """What can be tried here, by name; as written (`eager`) is the reference."""
    if "compile" not in inspect.signature(Trainer).parameters:
        return {"eager": Way({})}
    found = {"eager": Way({"compile": "false"})}
    if options.device == "cuda":
        found["recorded"] = Way({"compile": "auto"}, "CUDA graph took")
    return (
        found if options.small else found | {"compiled": Way({"compile": "true"}, "compiling the training step took")}
    )


def forget_compiled(arguments: dict[str, str]) -> None:
    """Let torch forget what it has compiled: after some variants of a function it runs further ones as written."""
    if arguments.get("compile", "false") != "false":
        torch.compiler.reset()


def not_so(way: Way, told: list[str]) -> str:
    """Why the steps of a run were not computed this way, by what its log told; empty where they were."""
    failed = [line for line in told if "did not work" in line]
    if failed:
        return failed[0]
    said = not way.says or any(way.says in line for line in told)
    return "" if said else "the log does not tell of it"


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def told_lines() -> Iterator[list[str]]:
    """What the workflow's log tells in the meantime."""
    log, lines = logging.getLogger("workflow_scripts"), _Lines()
    level = log.level
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    try:
        yield lines.lines
    finally:
        log.setLevel(level)
        log.removeHandler(lines)
