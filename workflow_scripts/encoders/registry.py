"""Building the encoder that the configuration names, with its weights."""

from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from workflow_scripts.config import Features
from workflow_scripts.config.encoder_facts import EncoderFacts, Fit, Interpolation, Triple
from workflow_scripts.config.encoders import ENCODERS
from workflow_scripts.config.model_name import ModelName, parse_model
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.encoders.digests import check_digest, file_digest
from workflow_scripts.encoders.hub import cached_folder, fetch_refusal, hub_weights, local_weights, weights_in_folder
from workflow_scripts.encoders.plug_in import call_plug_in, plug_in_digest
from workflow_scripts.encoders.pooling import Pooled
from workflow_scripts.encoders.recipe import Recipe
from workflow_scripts.encoders.timm_models import check_name, entry_recipe, timm_recipe
from workflow_scripts.encoders.weights import load_weights, read_state


@dataclass(frozen=True)
class Encoder:
    """A frozen patch encoder with the preprocessing that belongs to it.

    Attributes:
        module: float32 `[n, 3, input_px, input_px]` to `[n, dim]`, in evaluation mode, without gradients.
        dim: features of a patch, D.
        input_px: width that the module is given, px.
        mean, std: normalisation of RGB in 0..1.
        precision: `float32`, `bfloat16` (autocast), or `auto` until `device.to_device` has chosen.
        facts: name, pretrained_on, licence, recommended_mpp, pooling and weights, JSON-serialisable.
        fit, interpolation: how patches of another width reach `input_px`.
        published: what is published about it.
        fixed_batch: patches that the module takes at once, where it was compiled for so many; None takes any.
    """

    module: torch.nn.Module
    dim: int
    input_px: int
    mean: Triple
    std: Triple
    precision: str
    facts: dict[str, Any]
    fit: Fit = "resize"
    interpolation: Interpolation = "bilinear"
    published: EncoderFacts | None = None
    fixed_batch: int | None = None

    @property
    def device(self) -> torch.device:
        """Where the module's parameters are; a plug-in may have none, and then runs on the CPU."""
        return next((parameter.device for parameter in self.module.parameters()), torch.device("cpu"))

    @property
    def preprocessing(self) -> dict[str, Any]:
        """What was done to the patches, JSON-serialisable."""
        return {
            "input_px": self.input_px,
            "mean": list(self.mean),
            "std": list(self.std),
            "fit": self.fit,
            "resize": f"{self.interpolation}, antialiased",
            "precision": self.precision,
        }


def registry_recipe(name: str) -> Recipe:
    """Recipe of an entry of the registry, from its module where it has one."""
    facts = ENCODERS[name]
    if facts.module is None:
        return entry_recipe(facts)
    return import_module(f"workflow_scripts.encoders.{facts.module}").recipe(name)


def _timm_recipe(settings: Features, model: ModelName, input_px: int) -> Recipe:
    check_name(model)
    folder = cached_folder(settings) if model.kind == "hub" else None
    if folder:
        model = ModelName.of_folder(str(folder), model.random)
    own_weights = not model.random and settings.weights is None
    needs_network = model.kind == "hub" or (model.kind == "timm" and own_weights)
    if needs_network and not settings.allow_network:
        raise fetch_refusal(settings)
    recipe = timm_recipe(model, input_px, pretrained=own_weights)
    # A copy in the hub's cache goes by the model's name, as one that is fetched does.
    return replace(recipe, facts=replace(recipe.facts, pretrained_on=settings.model)) if folder else recipe


def _plug_in_recipe(settings: Features) -> Recipe:
    module, facts = call_plug_in(settings.model)
    return Recipe(create=lambda input_px: module, facts=facts, loads_itself=settings.weights is None)


def _recipe(settings: Features, model: ModelName, patch_px: int) -> Recipe:
    if model.kind == "plug_in":
        return _plug_in_recipe(settings)
    if model.kind == "registry":
        return registry_recipe(model.name)
    return _timm_recipe(settings, model, settings.input_px or patch_px)


def _checkpoint(settings: Features, recipe: Recipe) -> Path:
    if settings.weights:
        return local_weights(settings.weights)
    if recipe.packaged_weights:
        return recipe.packaged_weights()
    if recipe.facts.hub:
        return hub_weights(settings, recipe.facts)
    raise UserError(f"the encoder {settings.model} comes without weights; set features.weights to a checkpoint")


def _fill(module: torch.nn.Module, settings: Features, recipe: Recipe, file: Path) -> dict[str, Any]:
    """Load the weights in `file` into `module`; facts about them."""
    digest = file_digest(file)
    packaged = recipe.packaged_weights is not None and not settings.weights
    check_digest(file, digest, settings.weights_sha256 or (recipe.facts.packaged_sha256 if packaged else None))
    body = module.body if isinstance(module, Pooled) else module
    load_weights(body, recipe.adapt(read_state(file), body), file, settings.model)
    return {"weights": file.name, "weights_sha256": digest}


def _own_weights(settings: Features, model: ModelName) -> dict[str, Any]:
    """Facts about weights that a module has from its making."""
    folder = cached_folder(settings) if model.kind == "hub" else None
    if model.kind == "folder":
        folder = Path(model.name)
    if folder is None and settings.weights_sha256:
        raise UserError(
            f"features.weights_sha256 cannot be checked for {settings.model}, which brings its own weights; "
            "set features.weights to a file, or drop the digest"
        )
    if model.kind == "plug_in":
        return {"weights": "from its module", "weights_sha256": None, "plug_in_sha256": plug_in_digest(settings.model)}
    if folder is None:
        return {"weights": "from timm", "weights_sha256": None}
    file = weights_in_folder(folder)
    digest = file_digest(file)
    check_digest(file, digest, settings.weights_sha256)
    return {"weights": file.name, "weights_sha256": digest}


def _module(
    settings: Features, model: ModelName, recipe: Recipe, input_px: int
) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The module with its weights, and facts about them."""
    file = None if model.random or recipe.loads_itself else _checkpoint(settings, recipe)
    # Built without memory where the checkpoint gives every value: a large model is then held once.
    empty = file is not None and model.kind == "registry"
    with torch.random.fork_rng(devices=[]), torch.device("meta" if empty else "cpu"):
        torch.manual_seed(derive_seed("encoder", model.written))
        module = recipe.create(input_px)
    if model.random:
        return module, {"weights": "random weights", "weights_sha256": None}
    return module, _fill(module, settings, recipe, file) if file else _own_weights(settings, model)


def _output_dim(module: torch.nn.Module, input_px: int, model: str) -> int:
    try:
        with torch.inference_mode():
            output = module(torch.zeros(1, 3, input_px, input_px))
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"the encoder {model} cannot take patches of {input_px} px ({reason}); see features.input_px"
        ) from error
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        raise UserError(f"the encoder {model} gives no vector a patch; choose another features.model")
    return output.shape[1]


def _facts(settings: Features, published: EncoderFacts, random: bool) -> dict[str, Any]:
    mpps = () if random else published.mpps
    return {
        "name": settings.model,
        "architecture": published.architecture,
        "pooling": published.pooling,
        "pretrained_on": "nothing (random weights)" if random else published.pretrained_on,
        "licence": published.licence,
        "recommended_mpp": mpps[0] if len(mpps) == 1 else None,
        "recommended_mpps": list(mpps),
    }


def build_encoder(settings: Features, patch_px: int) -> Encoder:
    """Build the configured encoder on the CPU, with its weights.

    A name with the suffix `:random` gives seeded random weights, to compare with or to try things out.

    Args:
        settings: the section `features`.
        patch_px: width of the patches as they are read, px.

    Raises:
        UserError: the model is unknown, its weights are missing or do not fit, or a network would be needed.
    """
    model = parse_model(settings.model)
    if model.random and settings.weights:
        raise UserError(f"features.model is {settings.model}, yet features.weights is given; drop one of the two")
    recipe = _recipe(settings, model, patch_px)
    published = recipe.facts
    input_px = settings.input_px or published.input_px or patch_px
    if published.token_px and input_px % published.token_px:
        raise UserError(
            f"features.input_px is {input_px}; the encoder {settings.model} needs a multiple of {published.token_px}"
        )
    module, weights = _module(settings, model, recipe, input_px)
    module = module.eval().requires_grad_(False)
    mean, std = published.normalisation
    return Encoder(
        module=module,
        dim=_output_dim(module, input_px, settings.model),
        input_px=input_px,
        mean=settings.mean or mean,
        std=settings.std or std,
        precision=settings.precision,
        facts={**_facts(settings, published, model.random), **weights},
        fit=settings.fit or published.fit,
        interpolation=published.interpolation,
        published=published,
    )
