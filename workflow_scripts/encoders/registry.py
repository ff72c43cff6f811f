"""Which encoders there are, and building the one that the configuration names, with its weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from workflow_scripts.config import Features
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.encoders import efficientnet, hipt  # noqa: F401  (each registers itself)
from workflow_scripts.encoders.any_timm import FOLDER, HUB, timm_recipe
from workflow_scripts.encoders.digests import check_digest, file_digest
from workflow_scripts.encoders.recipe import RECIPES, Recipe, Triple
from workflow_scripts.encoders.weights import load_weights, read_state

RANDOM = ":random"


@dataclass(frozen=True)
class Encoder:
    """A frozen patch encoder with the preprocessing that belongs to it.

    Attributes:
        module: float32 `[n, 3, input_px, input_px]` to `[n, dim]`, in evaluation mode, without gradients.
        dim: features of a patch, D.
        input_px: width to which patches are resized, px.
        mean, std: normalisation of RGB in 0..1.
        precision: `float32` or `bfloat16` (autocast).
        facts: name, pretrained_on, licence, recommended_mpp and weights, JSON-serialisable.
    """

    module: torch.nn.Module
    dim: int
    input_px: int
    mean: Triple
    std: Triple
    precision: str
    facts: dict[str, Any]

    @property
    def preprocessing(self) -> dict[str, Any]:
        """What was done to the patches, JSON-serialisable."""
        return {
            "input_px": self.input_px,
            "mean": list(self.mean),
            "std": list(self.std),
            "resize": "bilinear, antialiased",
            "precision": self.precision,
        }


def _recipe(settings: Features, name: str, input_px: int, random: bool) -> Recipe:
    if name in RECIPES:
        return RECIPES[name]
    fetched = not (random or settings.weights or name.startswith(FOLDER))
    needs_network = name.startswith(HUB) or fetched
    if needs_network and not settings.allow_network:
        raise UserError(
            f"the encoder {settings.model} would be fetched from a network; set features.allow_network: true, or give "
            f"features.weights (timm names) or features.model: {FOLDER}<folder of the downloaded model>"
        )
    own_weights = not random and settings.weights is None
    return timm_recipe(name, input_px, pretrained=own_weights)


def _weights_file(settings: Features, recipe: Recipe) -> Path | None:
    if settings.weights:
        return Path(settings.weights)
    return recipe.packaged_weights() if recipe.packaged_weights else None


def _output_dim(module: torch.nn.Module, input_px: int, model: str) -> int:
    with torch.inference_mode():
        output = module(torch.zeros(1, 3, input_px, input_px))
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        raise UserError(f"the encoder {model} gives no vector a patch; choose another features.model")
    return output.shape[1]


def _fill(module: torch.nn.Module, settings: Features, recipe: Recipe) -> dict[str, Any]:
    """Load the weights into `module`; facts about them."""
    file = _weights_file(settings, recipe)
    if file is None:
        if settings.model in RECIPES:
            raise UserError(f"the encoder {settings.model} comes without weights; set features.weights to a checkpoint")
        return {"weights": "from timm", "weights_sha256": None}
    digest = file_digest(file)
    check_digest(file, digest, settings.weights_sha256 or (None if settings.weights else recipe.packaged_sha256))
    load_weights(module, recipe.adapt(read_state(file), module), file, settings.model)
    return {"weights": file.name, "weights_sha256": digest}


def build_encoder(settings: Features, patch_px: int) -> Encoder:
    """Build the configured encoder on the CPU, with its weights.

    A name with the suffix `:random` gives seeded random weights, to compare with or to try things out.

    Args:
        settings: the section `features`.
        patch_px: width of the patches as they are read, px.

    Raises:
        UserError: the model is unknown, its weights are missing or do not fit, or a network would be needed.
    """
    name = settings.model.removesuffix(RANDOM)
    random = name != settings.model
    if random and settings.weights:
        raise UserError(f"features.model is {settings.model}, yet features.weights is given; drop one of the two")
    input_px = settings.input_px or patch_px
    recipe = _recipe(settings, name, input_px, random)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("encoder", name))
        module = recipe.create(input_px)
    facts = {
        "name": settings.model,
        "pretrained_on": "nothing (random weights)" if random else recipe.pretrained_on,
        "licence": recipe.licence,
        "recommended_mpp": None if random else recipe.recommended_mpp,
    }
    weights = {"weights": "random weights", "weights_sha256": None} if random else _fill(module, settings, recipe)
    module = module.eval().requires_grad_(False)
    return Encoder(
        module=module,
        dim=_output_dim(module, input_px, settings.model),
        input_px=input_px,
        mean=settings.mean or recipe.mean,
        std=settings.std or recipe.std,
        precision=settings.precision,
        facts={**facts, **weights},
    )
