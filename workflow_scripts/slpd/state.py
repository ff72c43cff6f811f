"""Everything that training needs to go on: saved whole, as plain tensors, so that R rounds equal one long run.

Random numbers need no state: every stream is seeded by its purpose and step (core.seeds).
"""

import inspect
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from workflow_scripts.config import PretrainRun
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.core.state_dicts import first_misfit
from workflow_scripts.slpd.centers import fitted
from workflow_scripts.slpd.network import Network
from workflow_scripts.slpd.tensor_file import write_tensors


class _AdamW(torch.optim.AdamW):
    """AdamW without the guards that tell torch's compiler to keep out: they import it, which takes seconds."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        return inspect.unwrap(torch.optim.AdamW.step)(self, closure)


@dataclass
class TrainState:
    """Student, teacher, optimiser and both centres after `epoch` epochs.

    Attributes:
        student: the network that is trained.
        teacher: its moving average, of the same shape.
        optimiser: AdamW over the student; group 0 decays, group 1 (biases, 1-D) does not.
        center: `[C]` centre of L_self, see slpd/centers.py.
        proto_center: centre of the prototypes' logits, `[C]`; `[2, C]` where separate.
        epoch: epochs done.
        step: optimiser steps done.
    """

    student: Network
    teacher: Network
    optimiser: torch.optim.AdamW
    center: Tensor
    proto_center: Tensor
    epoch: int = 0
    step: int = 0


def _empty_network(settings: PretrainRun, in_dim: int, device: torch.device) -> Network:
    """A network on the device whose every tensor is yet to be filled: random weights take seconds to make."""
    with torch.device("meta"):
        network = Network(settings, in_dim)
    return network.to_empty(device=device)


def _state_of(settings: PretrainRun, student: Network, teacher: Network) -> TrainState:
    """A state of two networks on one device, before the first step."""
    student.train()
    teacher.eval().requires_grad_(False)
    decay = [p for p in student.parameters() if p.ndim > 1]
    plain = [p for p in student.parameters() if p.ndim == 1]
    groups: list[dict[str, Any]] = [{"params": decay}, {"params": plain, "weight_decay": 0.0}]
    optimiser = _AdamW(groups, lr=0.0, fused=True)
    zeros = torch.zeros(settings.head.out_dim, device=student.head.last_layer.device)
    return TrainState(student, teacher, optimiser, zeros, fitted(zeros.clone(), settings.loss.proto_center))


def new_state(settings: PretrainRun, in_dim: int, device: torch.device) -> TrainState:
    """Fresh state; the teacher starts as a copy of the student. Same seed, same weights on any device."""
    torch.manual_seed(derive_seed(settings.seed, "init"))
    student, teacher = Network(settings, in_dim).to(device), _empty_network(settings, in_dim, device)
    teacher.load_state_dict(student.state_dict())
    return _state_of(settings, student, teacher)


def _named_tensors(state: TrainState) -> dict[str, Tensor]:
    """The state as named tensors, wherever they are."""
    tensors = {
        "center": state.center,
        "proto_center": state.proto_center,
        "progress": torch.tensor([state.epoch, state.step]),
    }
    for role, network in (("student", state.student), ("teacher", state.teacher)):
        tensors |= {f"{role}.{name}": value for name, value in network.state_dict().items()}
    for name, parameter in state.student.named_parameters():
        # a parameter that has had no gradient yet (the frozen last layer) has no optimiser state
        moments = state.optimiser.state.get(parameter, {})
        tensors |= {f"optimiser.{name}.{key}": value for key, value in moments.items()}
    return tensors


def state_tensors(state: TrainState) -> dict[str, Tensor]:
    """The state as named tensors on the CPU."""
    return {name: value.detach().cpu().contiguous() for name, value in _named_tensors(state).items()}


def save_state(path: Path | str, state: TrainState, extra: dict[str, Tensor] | None = None) -> None:
    """Write the state, and `extra` tensors with it, whole or not at all."""
    tensors = state_tensors(state) | {f"extra.{name}": value for name, value in (extra or {}).items()}
    write_tensors(path, tensors)


def _read(path: Path | str, names: Container[str], also: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """Tensors of a file with these names, and those whose names start with one of `also`."""
    with safe_open(path, framework="pt") as file:
        stored = file.keys()  # no dict
        return {name: file.get_tensor(name) for name in stored if name in names or name.startswith(also)}


def _require(path: Path | str, tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Refuse a file's tensors where one of the expected is missing or misshapen."""
    problem = first_misfit(expected, {name: tensor for name, tensor in tensors.items() if name in expected})
    if problem:
        raise UserError(
            f"{path} does not fit the model of this configuration ({' '.join(problem)}); "
            "give the settings it was trained with, or delete it to train anew"
        )


def saved_progress(path: Path | str) -> tuple[int, int]:
    """Epochs and steps that were done as a state was saved; the rest of the file is not read.

    Raises:
        UserError: the file is no state.
    """
    tensors = _read(path, ("progress",))
    _require(path, tensors, {"progress": torch.empty(2)})
    epoch, step = tensors["progress"].tolist()
    return epoch, step


def load_teacher(path: Path | str, settings: PretrainRun, in_dim: int, device: torch.device) -> Network:
    """The teacher of a state written by `save_state`, in eval mode, strictly; see `load_state`."""
    with torch.device("meta"):
        teacher = Network(settings, in_dim)
    own = {f"teacher.{name}": tensor for name, tensor in teacher.state_dict().items()}
    tensors = _read(path, own)
    _require(path, tensors, own)
    teacher.load_state_dict({name.removeprefix("teacher."): tensors[name] for name in own}, assign=True)
    return teacher.to(device).eval().requires_grad_(False)


def load_state(path: Path | str, settings: PretrainRun, in_dim: int, device: torch.device) -> tuple[TrainState, dict]:
    """Read a state written by `save_state`, strictly.

    Returns:
        the state, and the extra tensors.

    Raises:
        UserError: the file does not fit the settings, named by its first tensor that is missing or misshapen.
    """
    networks = [_empty_network(settings, in_dim, device) for _ in range(2)]
    state = _state_of(settings, *networks)
    expected = _named_tensors(state)
    tensors = _read(path, expected, ("optimiser.", "extra."))
    if "proto_center" in tensors:
        tensors["proto_center"] = fitted(tensors["proto_center"], settings.loss.proto_center)
    _require(path, tensors, expected)
    for role, network in (("student", state.student), ("teacher", state.teacher)):
        network.load_state_dict({n: tensors[f"{role}.{n}"] for n in network.state_dict()})
    for name, parameter in state.student.named_parameters():
        prefix = f"optimiser.{name}."
        moments = {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
        if moments:
            state.optimiser.state[parameter] = {key: value.to(device) for key, value in moments.items()}
    state.center, state.proto_center = tensors["center"].to(device), tensors["proto_center"].to(device)
    state.epoch, state.step = tensors["progress"].tolist()
    extra = {n.removeprefix("extra."): v for n, v in tensors.items() if n.startswith("extra.")}
    return state, extra
