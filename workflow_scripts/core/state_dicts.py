"""Whether tensors read from a file are those of a model."""

from collections.abc import Mapping
from typing import Protocol


class Shaped(Protocol):
    """A tensor, as far as its shape goes; so that this module needs no torch."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of its axes."""


def first_misfit(own: Mapping[str, Shaped], found: Mapping[str, Shaped]) -> tuple[str, str] | None:
    """Name of the first tensor that does not fit, and what is wrong with it; None where all fit.

    Args:
        own: tensors of the model by name.
        found: tensors of the file.
    """
    for name, tensor in own.items():
        if name not in found:
            return name, "is missing"
        if found[name].shape != tensor.shape:
            return name, f"is {list(found[name].shape)} instead of {list(tensor.shape)}"
    unknown = next((name for name in found if name not in own), None)
    return None if unknown is None else (unknown, "has no place in the model")
