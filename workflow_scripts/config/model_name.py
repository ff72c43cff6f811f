"""The name of an encoder's model, `features.model`, parsed in one place. No torch here."""

from typing import Literal, NamedTuple

from workflow_scripts.config.encoder_facts import EncoderFacts
from workflow_scripts.config.encoders import ENCODERS
from workflow_scripts.core.own_function import own_function

_HUB, _FOLDER, _RANDOM = "hf-hub:", "local-dir:", ":random"


class ModelName(NamedTuple):
    """What `features.model` names.

    Attributes:
        kind: `registry` is an entry of `ENCODERS`, also where it is given by its hub name; `timm` any other plain name;
            `hub` is written `hf-hub:owner/model`, `folder` `local-dir:folder`, and `plug_in` `module:function`.
        name: the entry's, timm's, owner/model, the folder, or the module of a plug-in.
        written: as it stands in the configuration, without `:random`; timm takes models of the hub and folders so.
        revision: of the hub (`hf-hub:owner/model@revision`); None is its latest.
        function: of a plug-in.
        random: seeded random weights are wanted (`:random`).
    """

    kind: Literal["registry", "timm", "hub", "folder", "plug_in"]
    name: str
    written: str
    revision: str | None = None
    function: str = ""
    random: bool = False

    @property
    def facts(self) -> EncoderFacts | None:
        """What is published about an entry of the registry; None for all others."""
        return ENCODERS[self.name] if self.kind == "registry" else None

    @classmethod
    def of_folder(cls, folder: str, random: bool = False) -> "ModelName":
        """A model's folder as the hub gives it."""
        return cls("folder", folder, f"{_FOLDER}{folder}", random=random)


def _entry_of(repository: str) -> str | None:
    """The registry's name of a model of the hub; timm's own models are built as timm says."""
    if repository.lower().startswith("timm/"):
        return None
    return next((name for name, facts in ENCODERS.items() if (facts.hub or "").lower() == repository.lower()), None)


def parse_model(model: str) -> ModelName:
    """What a text names as `features.model`; whether there is such a model is found when it is built."""
    written = model.removesuffix(_RANDOM)
    random = written != model
    own = None if random else own_function("features.model", model)
    if own:
        return ModelName("plug_in", own.module, written, function=own.function)
    if written.startswith(_FOLDER):
        return ModelName.of_folder(written.removeprefix(_FOLDER), random)
    if not written.startswith(_HUB):
        return ModelName("registry" if written in ENCODERS else "timm", written, written, random=random)
    repository, _, revision = written.removeprefix(_HUB).partition("@")
    entry = _entry_of(repository) if repository else None
    kind: Literal["registry", "hub"] = "registry" if entry else "hub"
    return ModelName(kind, entry or repository, written, revision=revision or None, random=random)
