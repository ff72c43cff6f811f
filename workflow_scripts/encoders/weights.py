"""Checkpoint files: reading them safely, and refusing what does not fit in one sentence."""

import argparse
import pickle
from pathlib import Path

import torch

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.state_dicts import first_misfit
from workflow_scripts.encoders.recipe import State

_NESTS = ("teacher", "state_dict", "model", "student")  # a teacher is the better encoder
_PREFIXES = ("module.", "backbone.")
_CLASSIFIERS = ("head.", "head_dist.", "fc.", "classifier.")


def _unnest(state: dict) -> dict:
    for name in _NESTS:
        if isinstance(state.get(name), dict):
            return _unnest(state[name])
    return state


def strip_names(state: State) -> State:
    """Names without the wrappers of training; where there is a backbone, it alone."""
    while any(key.startswith(_PREFIXES) for key in state):
        inner = {key: value for key, value in state.items() if key.startswith(_PREFIXES)}
        if any(key.startswith("backbone.") for key in inner):
            inner = {key: value for key, value in inner.items() if key.startswith("backbone.")}
        state = {key.split(".", 1)[1]: value for key, value in inner.items()}
    return state


def read_state(path: Path) -> State:
    """Tensors of a checkpoint by name: .safetensors, or .pth/.pt with plain tensors (never unpickled freely).

    Raises:
        UserError: the file cannot be read as a checkpoint.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return strip_names(load_file(path))
        # Training scripts keep their command line beside the tensors; a namespace runs no code.
        with torch.serialization.safe_globals([argparse.Namespace]):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"the weights {path} are no file of plain tensors: it is damaged, or holds other objects, which are not "
            "unpickled; fetch it again, or save it as .safetensors"
        ) from None
    except Exception as error:  # each format has errors of its own
        raise UserError(f"the weights {path} cannot be read ({type(error).__name__}); fetch the file again") from error
    state = _unnest(loaded) if isinstance(loaded, dict) else {}
    return strip_names({key: value for key, value in state.items() if isinstance(value, torch.Tensor)})


def _first_misfit(own: State, state: State) -> str:
    wanted = {key: value for key, value in own.items() if key in state or not key.endswith("num_batches_tracked")}
    given = {key: value for key, value in state.items() if key in own or not key.startswith(_CLASSIFIERS)}
    return " ".join(first_misfit(wanted, given) or ())


def load_weights(module: torch.nn.Module, state: State, path: Path, model: str) -> None:
    """Fill `module` with `state`, entry by entry; only a classifier's entries may be left over.

    A module on the `meta` device takes the tensors themselves, so that no second copy of a large model is made.

    Raises:
        UserError: an entry is missing, of another shape, or unknown.
    """
    own = module.state_dict()
    misfit = _first_misfit(own, state)
    if misfit:
        raise UserError(
            f"the weights {path} do not fit the model {model}: {misfit}; "
            "set features.model and features.weights to a pair that belongs together"
        )
    empty = any(tensor.is_meta for tensor in own.values())
    wanted = {key: value.to(own[key].dtype) for key, value in state.items() if key in own}
    if empty:  # counters of batches, which old checkpoints lack and evaluation does not read
        wanted |= {key: torch.zeros(own[key].shape, dtype=own[key].dtype) for key in own if key not in wanted}
    module.load_state_dict(wanted, strict=False, assign=empty)
