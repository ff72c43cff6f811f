"""Whether the encoder on this machine is the one by whose features a model was trained. No torch here."""

from pathlib import Path

from workflow_scripts.config import Features
from workflow_scripts.config.model_name import parse_model
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.model_facts import trained_features
from workflow_scripts.encoders.digests import file_digest
from workflow_scripts.encoders.hub import weights_here
from workflow_scripts.encoders.plug_in import plug_in_digest


def require_same_encoder(features: Features, folder: str | Path) -> None:
    """Refuse other weights than the model's, or other code of a plug-in, before a slide is opened.

    What cannot be known yet, as weights that are still to be fetched, is refused when the encoder is built.

    Args:
        features: section of the configuration.
        folder: the model's.

    Raises:
        UserError: the encoder is another one, or the file of its weights is missing.
    """
    own = trained_features(folder)["encoder"]
    for key, what in (("weights_sha256", "weights"), ("plug_in_sha256", "a module")):
        found, name = _weights(features) if what == "weights" else _module(features)
        if own.get(key) and found and found != own[key]:
            raise UserError(
                f"the encoder {features.model} has here {what} with the SHA-256 {found} ({name}) instead of "
                f"{own[key]}, by which the features of the model in {folder} were made; {_MEND[what]}"
            )


_MEND = {
    "weights": "name the checkpoint of its cohort by features.weights (slpd apply: --weights)",
    "a module": "bring the module along as it was then",
}


def _weights(features: Features) -> tuple[str | None, str]:
    """SHA-256 of the weights and their name; None where it is not known yet."""
    model = parse_model(features.model)
    if model.facts and model.facts.packaged and not (features.weights or model.random):
        return model.facts.packaged_sha256, "those of its package"
    file = weights_here(features)
    return (file_digest(file), str(file)) if file else (None, "")


def _module(features: Features) -> tuple[str | None, str]:
    """SHA-256 of a plug-in and its name; None where the encoder is none, or the jobs' environment alone has it."""
    model = parse_model(features.model)
    if model.kind != "plug_in":
        return None, ""
    try:
        return plug_in_digest(features.model), model.name
    except UserError:
        return None, ""
