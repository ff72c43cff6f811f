"""A user's own encoder, `features.model: module:function`; docs/encoders.md says what the function returns.

Finding its file needs no torch: its digest decides what is computed again.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workflow_scripts.config.encoder_facts import EncoderFacts, Fit, Interpolation, Triple
from workflow_scripts.config.model_name import parse_model
from workflow_scripts.config.problems import first_problem
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.own_function import OwnFunction


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


def _function(model: str) -> OwnFunction:
    name = parse_model(model)
    return OwnFunction("features.model", name.name, name.function)


def plug_in_digest(model: str) -> str:
    """SHA-256 of the source of a plug-in.

    Raises:
        UserError: there is no such module.
    """
    return _function(model).digest()


def call_plug_in(model: str) -> tuple[Any, EncoderFacts]:
    """Import the module, call its function, and check the two things that it returns.

    Returns:
        The torch module, and what the function says about it.

    Raises:
        UserError: the module or the function is missing or fails, or does not keep the contract.
    """
    import torch

    function = _function(model).load()
    try:
        returned = function()
    except Exception as error:  # a user's code, whatever it does
        raise UserError(f"the encoder {model} cannot be made ({type(error).__name__}: {error}); mend it") from error
    if not (isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[0], torch.nn.Module)):
        raise UserError(f"the encoder {model} must return a torch module and a dict of facts; see docs/encoders.md")
    try:
        facts = PlugInFacts.model_validate(returned[1])
    except ValidationError as error:
        raise UserError(f"the facts of the encoder {model}: {first_problem(error)}; see docs/encoders.md") from None
    return returned[0], facts.facts()
