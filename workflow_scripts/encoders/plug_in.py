"""A user's own encoder, `features.model: module:function`; docs/encoders.md says what the function returns.

Finding its file needs no torch: its digest decides what is computed again.
"""

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workflow_scripts.config.encoders import EncoderFacts, Fit, Interpolation, Triple
from workflow_scripts.config.model_name import parse_model
from workflow_scripts.config.problems import first_problem
from workflow_scripts.core.errors import UserError


class PlugInFacts(BaseModel):
    """What the function says about its encoder, beside the module."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_px: int = Field(ge=16)
    mean: Triple
    std: Triple
    fit: Fit = "resize"
    interpolation: Interpolation = "bilinear"
    mpp: float | None = Field(None, gt=0)
    pretrained_on: str = "unknown"
    licence: str = "unknown"

    def facts(self) -> EncoderFacts:
        """As the registry writes them."""
        return EncoderFacts(
            self.pretrained_on,
            self.licence,
            (self.mean, self.std),
            input_px=self.input_px,
            fit=self.fit,
            interpolation=self.interpolation,
            mpps=() if self.mpp is None else (self.mpp,),
        )


@contextmanager
def _working_directory_first() -> Iterator[None]:
    """Modules are found in the working directory too, and a module written a moment ago is seen."""
    here = os.getcwd()
    sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(here)


def _find_spec(name: str) -> ModuleSpec | None:
    """Where a module is, without importing the packages that it lies in: they may import torch."""
    top, *inner = name.split(".")
    try:
        with _working_directory_first():
            spec = importlib.util.find_spec(top)
    except ValueError:  # a module without a file that is loaded already
        return None
    for depth in range(len(inner)):
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(".".join([top, *inner[: depth + 1]]), spec.submodule_search_locations)
    return spec


def _file_of(model: str) -> Path:
    name = parse_model(model).name
    spec = _find_spec(name)
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        raise UserError(
            f"features.model is {model}, but there is no module {name} in the working directory {os.getcwd()} "
            "or in PYTHONPATH; put its file there, or correct the name"
        )
    return Path(spec.origin)


def plug_in_digest(model: str) -> str:
    """SHA-256 of the source of a plug-in: its file, or all Python files of its package.

    Other modules that it imports are not counted.

    Raises:
        UserError: there is no such module.
    """
    file = _file_of(model)
    files = sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]
    digest = hashlib.sha256()
    for path in files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def call_plug_in(model: str) -> tuple[Any, EncoderFacts]:
    """Import the module, call its function, and check the two things that it returns.

    Returns:
        The torch module, and what the function says about it.

    Raises:
        UserError: the module or the function is missing or fails, or does not keep the contract.
    """
    import torch

    _file_of(model)
    name = parse_model(model)
    try:
        with _working_directory_first():
            function = getattr(importlib.import_module(name.name), name.function, None)
            if not callable(function):
                raise UserError(f"features.model is {model}, but {name.name} has no function {name.function}")
            returned = function()
    except UserError:
        raise
    except Exception as error:  # a user's code, whatever it does
        raise UserError(f"the encoder {model} cannot be made ({type(error).__name__}: {error}); mend it") from error
    if not (isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[0], torch.nn.Module)):
        raise UserError(f"the encoder {model} must return a torch module and a dict of facts; see docs/encoders.md")
    try:
        facts = PlugInFacts.model_validate(returned[1])
    except ValidationError as error:
        raise UserError(f"the facts of the encoder {model}: {first_problem(error)}; see docs/encoders.md") from None
    return returned[0], facts.facts()
