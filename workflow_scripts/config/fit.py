"""Whether an encoder fits the patches that the configuration gives it. No torch here."""

from workflow_scripts.config.encoder_facts import EncoderFacts, Fit
from workflow_scripts.config.model_name import parse_model
from workflow_scripts.config.slides import Features, Regions
from workflow_scripts.core.errors import UserError

TOLERANCE = 0.2  # of um/px; 256 px patches shrunk to 224 px, as many do it, change the scale by 14 %
_ALLOW = "or allow it with features.allow_mismatch: true"


def _off(mpp: float, mpps: tuple[float, ...]) -> bool:
    # a hair more, so that 0.4 and 0.6 pass for 0.5 whatever their last bit
    return bool(mpps) and all(abs(mpp / trained - 1) > TOLERANCE * (1 + 1e-9) for trained in mpps)


def _scale_misfit(model: str, facts: EncoderFacts, fit: Fit, input_px: int, regions: Regions) -> str:
    trained = " or ".join(f"{mpp:g}" for mpp in facts.mpps)
    if _off(regions.mpp, facts.mpps):
        best = min(facts.mpps, key=lambda mpp: abs(regions.mpp / mpp - 1))
        return (
            f"features.model {model} was trained at {trained} um/px, regions.mpp is {regions.mpp:g}; "
            f"set regions.mpp to {best:g}, {_ALLOW}"
        )
    advised = f"set regions.patch_px to {input_px}, {_ALLOW}"
    share = regions.patch_px / input_px
    if fit == "crop" and share > 1 + TOLERANCE:
        return (
            f"features.model {model} sees the central {input_px} px of each patch, regions.patch_px is "
            f"{regions.patch_px}, so that {1 - 1 / share**2:.0%} of the tissue would not be seen; {advised}"
        )
    if fit == "resize" and _off(regions.mpp * share, facts.mpps):
        return (
            f"features.model {model} was trained at {trained} um/px, and regions.patch_px {regions.patch_px} resized "
            f"to {input_px} px comes to {regions.mpp * share:.3g} um/px; {advised}"
        )
    return ""


def _impossible(model: str, facts: EncoderFacts, fit: Fit, input_px: int, regions: Regions) -> str:
    """What cannot be computed at all, and so cannot be allowed either."""
    if fit == "crop" and regions.patch_px < input_px:
        return f"features.fit is crop, yet regions.patch_px ({regions.patch_px}) is below the model's {input_px} px"
    if facts.token_px and input_px % facts.token_px:
        return f"features.input_px is {input_px}; features.model {model} needs a multiple of {facts.token_px}"
    return ""


def misfit(features: Features, regions: Regions, facts: EncoderFacts | None = None) -> str:
    """One sentence on what of the patches does not fit the encoder; empty where all fits or nothing is known of it.

    Refused are another um/px than that of the training patches (beyond 20 %), as read or after the resize to the
    model's input, another input size of a ViT than the published, and a centre crop that leaves much tissue unseen.

    Args:
        features: section of the configuration.
        regions: section of the configuration.
        facts: of the encoder; None looks in the registry.
    """
    model = features.model
    facts = facts or parse_model(model).facts
    if facts is None:
        return ""
    input_px = features.input_px or facts.input_px or regions.patch_px
    fit = features.fit or facts.fit
    if impossible := _impossible(model, facts, fit, input_px, regions):
        return impossible
    if features.allow_mismatch or parse_model(model).random:
        return ""
    if facts.token_px and input_px != facts.input_px:
        return (
            f"features.input_px is {input_px}, yet the position embedding of features.model {model} is for "
            f"{facts.input_px} px; set it to null, {_ALLOW}"
        )
    return _scale_misfit(model, facts, fit, input_px, regions)


def refuse_misfit(features: Features, regions: Regions, facts: EncoderFacts | None = None) -> None:
    """Raise `UserError` with what `misfit` has to say."""
    if problem := misfit(features, regions, facts):
        raise UserError(problem)
