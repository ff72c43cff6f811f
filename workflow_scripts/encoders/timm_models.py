"""Recipes of the models that timm builds: by the options of a registry's entry, or by timm's own configuration.

The latter are all others: a timm name, `hf-hub:owner/model`, or `local-dir:folder`.
"""

from collections.abc import Callable
from difflib import get_close_matches
from math import isqrt
from typing import TYPE_CHECKING, Any, cast

import torch

from workflow_scripts.config.encoder_facts import EncoderFacts
from workflow_scripts.config.encoders import ENCODERS
from workflow_scripts.config.model_name import ModelName
from workflow_scripts.core.errors import UserError
from workflow_scripts.encoders.pooling import POOLED
from workflow_scripts.encoders.recipe import Recipe, State
from workflow_scripts.encoders.timm_import import timm

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


def unknown_name(name: str) -> UserError:
    """What to say of a name that nobody knows."""
    near = get_close_matches(name, ENCODERS)
    advice = f"did you mean {' or '.join(near)}?" if near else "check the name"
    return UserError(
        f"features.model is {name}, which is neither in the registry (docs/encoders.md) nor a model of timm; {advice}"
    )


def check_name(model: ModelName) -> None:
    """Refuse a timm name that timm does not know; names of the hub and folders are not looked at.

    Raises:
        UserError: with the nearest name of the registry.
    """
    if model.kind == "timm" and not timm.is_model(model.name):
        raise unknown_name(model.name)


def _arguments(name: str, input_px: int) -> dict[str, Any]:
    """Arguments of timm's `create_model` for patches of `input_px`, without a classifier."""
    from timm.models import resolve_model_input_args

    try:
        return resolve_model_input_args(name, {"img_size": input_px}, num_classes=0)
    except OSError as error:  # every failure of the hub's client is one
        raise UserError(
            f"the encoder {name} could not be found or fetched ({type(error).__name__}); "
            "check features.model and the network"
        ) from error
    except (RuntimeError, ValueError):
        raise unknown_name(name) from None


def adapt_positions(state: State, module: torch.nn.Module) -> State:
    """Position embedding of a ViT trained at another size, resampled to the module's grid as timm does it."""
    own, given = getattr(module, "pos_embed", None), state.get("pos_embed")
    if own is None or given is None or own.shape == given.shape or not hasattr(module, "num_prefix_tokens"):
        return state
    vit = cast("VisionTransformer", module)
    prefix = 0 if vit.no_embed_class else vit.num_prefix_tokens
    if given.ndim != 3 or isqrt(given.shape[1] - prefix) ** 2 != given.shape[1] - prefix:
        return state  # of another model, which is said when the weights are loaded
    from timm.layers import resample_abs_pos_embed

    new_size = list(vit.patch_embed.grid_size)
    return {**state, "pos_embed": resample_abs_pos_embed(given, new_size=new_size, num_prefix_tokens=prefix)}


def _fits_patches(module: torch.nn.Module, name: str, input_px: int) -> None:
    step = getattr(getattr(module, "patch_embed", None), "patch_size", None)
    if isinstance(step, tuple) and input_px % step[0]:
        raise UserError(
            f"features.input_px (or regions.patch_px) is {input_px}; the encoder {name} needs a multiple of {step[0]}"
        )


def _creator(name: str, pretrained: bool) -> Callable[[int], torch.nn.Module]:
    def create(input_px: int) -> torch.nn.Module:
        arguments = _arguments(name, input_px)
        try:
            module = timm.create_model(**arguments, pretrained=pretrained)
        except (OSError, RuntimeError) as error:
            if not pretrained:
                raise
            raise UserError(
                f"the weights of the encoder {name} could not be loaded ({type(error).__name__}); "
                "check the network, or set features.weights to a local checkpoint"
            ) from error
        _fits_patches(module, name, input_px)
        return module

    return create


def entry_recipe(facts: EncoderFacts) -> Recipe:
    """Recipe of an entry of the registry that names its architecture in timm.

    Raises:
        ValueError: it names none.
    """
    if facts.timm is None:
        raise ValueError("an entry of config.encoders.ENCODERS has neither `timm` nor `module`")
    architecture, options = facts.timm, dict(facts.options)
    if "mlp_layer" in options:
        options["mlp_layer"] = getattr(timm.layers, options["mlp_layer"])

    def create(input_px: int) -> torch.nn.Module:
        sized = options | ({"img_size": input_px} if facts.token_px else {})
        module = timm.create_model(architecture, pretrained=False, num_classes=0, **sized)
        pooled = POOLED.get(facts.pooling)
        return pooled(module) if pooled else module

    return Recipe(create=create, facts=facts, adapt=adapt_positions)


def timm_recipe(model: ModelName, input_px: int, pretrained: bool) -> Recipe:
    """Recipe of a model that timm can build; `pretrained` has timm load its own weights.

    Raises:
        UserError: there is no such model, or it could not be fetched.
    """
    source = _arguments(model.written, input_px)["pretrained_cfg"]
    facts = EncoderFacts(
        pretrained_on=f"timm {source.get('tag') or 'default'}" if model.kind == "timm" else model.written,
        licence=source.get("license") or "unknown",
        normalisation=(tuple(source["mean"]), tuple(source["std"])),
        pooling="the model's own",
    )
    return Recipe(
        create=_creator(model.written, pretrained), facts=facts, adapt=adapt_positions, loads_itself=pretrained
    )
