"""What it takes to build an encoder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from workflow_scripts.config.encoder_facts import EncoderFacts

State = dict[str, torch.Tensor]


def _as_it_is(state: State, module: torch.nn.Module) -> State:
    return state


@dataclass(frozen=True)
class Recipe:
    """How to build one encoder.

    Attributes:
        create: input width in px -> module without its classifier, `[n, 3, px, px]` to `[n, D]`, weights random.
            Where the features are pooled by a module around the model, the model is its attribute `body`.
        facts: what is published about it.
        packaged_weights: gives the path of weights that come with an installed package; None where there are none.
        adapt: renames a checkpoint's entries to the names of the module, or of its `body`.
        loads_itself: the module has its weights once it is created.
    """

    create: Callable[[int], torch.nn.Module]
    facts: EncoderFacts
    packaged_weights: Callable[[], Path] | None = None
    adapt: Callable[[State, torch.nn.Module], State] = _as_it_is
    loads_itself: bool = False
