"""What the registry knows about an encoder, and the registration itself.

A new encoder is one new file that ends in one call of `register`, and one import in `registry`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

Triple = tuple[float, float, float]
State = dict[str, torch.Tensor]


def _as_it_is(state: State, module: torch.nn.Module) -> State:
    return state


@dataclass(frozen=True)
class Recipe:
    """How to build one encoder.

    Attributes:
        create: input width in px -> module without its classifier, `[n, 3, px, px]` to `[n, D]`, weights random.
        mean, std: normalisation of RGB in 0..1.
        pretrained_on: data that the weights were trained on.
        licence: licence of the weights.
        recommended_mpp: scale of the training patches, um/px; None where they were no slides.
        packaged_weights: gives the path of weights that come with an installed package; None where there are none.
        packaged_sha256: digest of that file.
        adapt: renames a checkpoint's entries to the module's names.
    """

    create: Callable[[int], torch.nn.Module]
    mean: Triple
    std: Triple
    pretrained_on: str
    licence: str
    recommended_mpp: float | None = None
    packaged_weights: Callable[[], Path] | None = None
    packaged_sha256: str | None = None
    adapt: Callable[[State, torch.nn.Module], State] = _as_it_is


RECIPES: dict[str, Recipe] = {}


def register(name: str, recipe: Recipe) -> None:
    """Make `recipe` known as the model `name`."""
    RECIPES[name] = recipe
