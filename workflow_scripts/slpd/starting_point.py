"""Where training starts when `pretrain.defaults.init` names a file: an earlier run's weights, or HIPT's.

A file is told by what it holds, not by its name, and it fits entirely or is refused.
"""

import argparse
import pickle
from math import isqrt
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.model_facts import read_facts
from workflow_scripts.core.state_dicts import first_misfit
from workflow_scripts.slpd.network import Network

Tensors = dict[str, Tensor]

_RUN = "pretrain.defaults"
_WANTED = "the state.safetensors or model.safetensors of an earlier run, or HIPT's vit4k_xs_dino.pth"
# HIPT's names of modules, and ours
_BACKBONE = {"phi.0.": "phi.", "attn.qkv.": "qkv.", "attn.proj.": "proj.", "mlp.fc": "fc"}
_HEAD = {"mlp.0.": "fc1.", "mlp.2.": "fc2.", "mlp.4.": "fc3.", "last_layer.weight_v": "last_layer"}
_GAIN = "head.last_layer.weight_g"
# keys that set the size of a tensor's axis
_SIZES = {
    ("cls_token", 2): "model.dim",
    ("pos_embed", 1): "crops.global_size",
    ("head.last_layer", 0): "head.out_dim",
    ("head.last_layer", 1): "head.bottleneck",
    ("head.fc1.weight", 0): "head.hidden",
}
_HIPT_HEAD_WIDTH = 32  # vit4k_xs: 192 values in 6 attention heads, which no tensor's shape tells


def load_start(path: Path | str, student: Network, teacher: Network) -> str:
    """Fill both networks with a file's weights; optimiser, centres and epoch are not taken.

    Args:
        path: one of
            - `state.safetensors` of an earlier run: student and teacher, heads included;
            - `model.safetensors` of an exported run: the backbone, into both networks, whose heads stay as they are;
            - HIPT's `vit4k_xs_dino.pth`: student and teacher, each its own; their heads too where they fit.
        student: network of this configuration, filled in place; left as it is when an error is raised.
        teacher: the same.

    Returns:
        One sentence on what was loaded.

    Raises:
        UserError: the file is none of these, or does not fit; the first tensor that does not and the key to change
            are named.
    """
    path = Path(path)
    if not _is_safetensors(path):
        return _load_hipt(path, _read_pickle(path), student, teacher)
    tensors = _read_safetensors(path)
    if "student.backbone.cls_token" in tensors and "teacher.backbone.cls_token" in tensors:
        own = {role: _below(tensors, f"{role}.") for role in ("student", "teacher")}
        _check_fit(path, student.state_dict(), own["student"], "student.")
        _check_fit(path, teacher.state_dict(), own["teacher"], "teacher.")
        student.load_state_dict(own["student"])
        teacher.load_state_dict(own["teacher"])
        return f"starting from student and teacher of the earlier run in {path}, heads included"
    if "cls_token" in tensors and "phi.weight" in tensors:
        _check_fit(path, student.backbone.state_dict(), tensors, "")
        facts = read_facts(path.parent) if (path.parent / "config.json").is_file() else {}
        _check_heads(path, facts.get("architecture", {}).get("heads"), student)
        for network in (student, teacher):
            network.backbone.load_state_dict(tensors)
        return f"starting from the exported backbone in {path}; the heads start afresh"
    raise UserError(f"{path} holds no region encoder; {_RUN}.init takes {_WANTED}")


def _load_hipt(path: Path, states: dict[str, Tensors], student: Network, teacher: Network) -> str:
    networks = {"student": student, "teacher": teacher}
    named = {role: _hipt_names(state) for role, state in states.items()}
    if any(name.startswith("backbone.patch_embed.") for state in named.values() for name in state):
        raise UserError(
            f"{path} holds an encoder of image patches, not one of regions; give it as features.weights, "
            f"and {_RUN}.init HIPT's vit4k_xs_dino.pth"
        )
    if not any("backbone.phi.weight" in state for state in named.values()):
        raise UserError(f"{path} holds no region encoder; {_RUN}.init takes {_WANTED}")
    # a file with one of the two gives it to both
    named = {role: named.get(role) or next(iter(named.values())) for role in networks}
    problem = ""
    for role, network in networks.items():
        _check_fit(path, network.backbone.state_dict(), _below(named[role], "backbone."), f"{role}.backbone.")
        problem = problem or _head_misfit(network.head.state_dict(), named[role])
    dim = student.backbone.cls_token.shape[-1]
    _check_heads(path, dim // _HIPT_HEAD_WIDTH if dim % _HIPT_HEAD_WIDTH == 0 else None, student)
    for role, network in networks.items():
        network.backbone.load_state_dict(_below(named[role], "backbone."))
        if not problem:
            network.head.load_state_dict(_head_of(named[role]))
    whose = "student and teacher, each its own" if len(states) == 2 else f"the {next(iter(states))} for both networks"
    heads = f"the backbone alone, since {problem}: the heads start afresh" if problem else "heads included"
    return f"starting from HIPT's region encoder in {path} ({whose}; {heads})"


def _hipt_names(state: Tensors) -> Tensors:
    """HIPT's tensors by our names, `backbone.*` and `head.*`."""
    named = {}
    for name, value in state.items():
        short = name.removeprefix("module.")
        part, mapping = ("head.", _HEAD) if short.startswith("head.") else ("backbone.", _BACKBONE)
        short = short.removeprefix(part)
        for theirs, ours in mapping.items():
            short = short.replace(theirs, ours)
        named[part + short] = value
    return named


def _head_of(named: Tensors) -> Tensors:
    return _below({name: value for name, value in named.items() if name != _GAIN}, "head.")


def _head_misfit(own: Tensors, named: Tensors) -> str:
    """Why HIPT's head cannot be taken; empty where it can."""
    head = _head_of(named)
    if not head:
        return "it has no head"
    gain = named.get(_GAIN)
    if gain is not None and not bool((gain == 1).all()):
        return f"{_GAIN} is not 1 throughout"
    problem = _misfit(own, head)
    return f"head.{problem[0]} {problem[1]}" if problem else ""


def _misfit(own: Tensors, found: Tensors) -> tuple[str, str] | None:
    """First tensor that is missing, misshapen, unknown or not finite, and what is wrong with it."""
    if problem := first_misfit(own, found):
        return problem
    for name, tensor in found.items():
        if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
            return name, "holds values that are no finite numbers"
    return None


def _check_fit(path: Path, own: Tensors, found: Tensors, prefix: str) -> None:
    problem = _misfit(own, found)
    if problem:
        name, what = problem
        remedy = _remedy(name, own, found)
        raise UserError(
            f"{path} does not fit the model of this configuration ({prefix}{name} {what}); "
            f"{remedy + ', or ' if remedy else ''}set {_RUN}.init to a file that fits, or to null to start from scratch"
        )


def _remedy(name: str, own: Tensors, found: Tensors) -> str:
    """What to change so that tensor `name` fits; empty where no key would do it."""
    short = name.removeprefix("backbone.")
    if short.startswith("blocks.") and (name not in found or name not in own):
        blocks = {key.split("blocks.")[1].split(".")[0] for key in found if "blocks." in key}
        return f"set {_RUN}.model.depth to {len(blocks)}"
    if name not in found or name not in own or found[name].ndim != own[name].ndim:
        return ""
    theirs = list(found[name].shape)
    axis = next((i for i, size in enumerate(own[name].shape) if theirs[i] != size), None)
    if short == "phi.weight" and axis == 1:
        return f"it takes features of {theirs[1]} values a patch: choose another features.encoder"
    if short.startswith("blocks.") and short.endswith("fc1.weight") and axis == 0:
        return f"set {_RUN}.model.mlp_ratio to {theirs[0] / theirs[1]:g}"
    if axis is None or (short, axis) not in _SIZES:
        return ""
    size = isqrt(theirs[1] - 1) if short == "pos_embed" else theirs[axis]  # class token, then a square
    return f"set {_RUN}.{_SIZES[short, axis]} to {size}"


def _check_heads(path: Path, heads: int | None, network: Network) -> None:
    own = network.backbone.blocks[0].heads
    if heads is not None and heads != own:
        raise UserError(
            f"{path} was trained with {heads} attention heads and this configuration has {own}; "
            f"set {_RUN}.model.heads to {heads}"
        )


def _below(tensors: Tensors, prefix: str) -> Tensors:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _is_safetensors(path: Path) -> bool:
    """Whether the first bytes are those of a safetensors file; refuses what is no file of weights at all."""
    if not path.is_file():
        raise UserError(f"{path}, which {_RUN}.init names, is no file; give {_WANTED}")
    with path.open("rb") as file:
        first = file.read(64)
    if first.startswith(b"version https://git-lfs"):
        raise UserError(f"{path} is a Git LFS pointer and not the weights themselves; fetch them (git lfs pull)")
    if first.startswith((b"PK\x03\x04", b"\x80")):  # PyTorch's two formats
        return False
    if first[8:9] == b"{":  # after the length of a JSON header
        return True
    raise UserError(f"{path} is no file of weights (it begins with {first[:12]!r}); {_RUN}.init takes {_WANTED}")


def _read_safetensors(path: Path) -> Tensors:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read ({error}); it may be cut short: fetch or make it again") from None


def _read_pickle(path: Path) -> dict[str, Tensors]:
    """Tensors of `student` and `teacher`, or of whichever there is; nothing but tensors is unpickled."""
    try:
        # training scripts keep their command line beside the tensors; a namespace runs no code
        with torch.serialization.safe_globals([argparse.Namespace]):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} holds more than tensors or is damaged, and is not unpickled; {_RUN}.init takes {_WANTED}"
        ) from None
    except Exception as error:  # a damaged file shows in many ways
        raise UserError(f"{path} cannot be read ({type(error).__name__}); fetch the file again") from error
    if not isinstance(loaded, dict):
        raise UserError(f"{path} holds no region encoder; {_RUN}.init takes {_WANTED}")
    roles = {role: loaded[role] for role in ("student", "teacher") if isinstance(loaded.get(role), dict)}
    roles = roles or {"encoder": loaded}
    return {
        role: {name: value for name, value in state.items() if isinstance(value, Tensor)}
        for role, state in roles.items()
    }
