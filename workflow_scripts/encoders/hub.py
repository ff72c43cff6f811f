"""Weights of a model that the hub publishes: from a folder, from the hub's cache, or fetched. No torch here."""

from importlib.util import find_spec
from pathlib import Path

from workflow_scripts.config import Features
from workflow_scripts.config.encoder_facts import EncoderFacts
from workflow_scripts.config.model_name import parse_model
from workflow_scripts.core.errors import UserError

CONFIG_FILE = "config.json"
WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")


def weights_in_folder(folder: Path) -> Path:
    """The checkpoint in a model's folder as the hub gives it; .safetensors before .bin.

    Raises:
        UserError: there is none.
    """
    for name in WEIGHTS_FILES:
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"the folder {folder} holds neither of {' and '.join(WEIGHTS_FILES)}; download the model into it")


def local_weights(text: str) -> Path:
    """The checkpoint that `features.weights` names: a file, or a model's folder.

    Raises:
        UserError: the folder holds no checkpoint.
    """
    path = Path(text)
    return weights_in_folder(path) if path.is_dir() else path


def own_weights(settings: Features) -> Path | None:
    """The checkpoint that is a file of the user's; None where the weights come with a package or from the hub.

    The file may be missing.

    Raises:
        UserError: a model's folder holds no checkpoint.
    """
    if settings.weights:
        return local_weights(settings.weights)
    model = parse_model(settings.model)
    return weights_in_folder(Path(model.name)) if model.kind == "folder" and not model.random else None


def _cached(repository: str, revision: str | None, settings: Features, names: tuple[str, ...]) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        found = try_to_load_from_cache(repository, name, cache_dir=settings.hub_folder, revision=revision)
        if isinstance(found, str):
            return Path(found)
    return None


def cached_folder(settings: Features) -> Path | None:
    """Folder in the hub's cache of a model that is named `hf-hub:owner/model`; None where it is not there whole.

    Raises:
        UserError: the name is no name of the hub.
    """
    from huggingface_hub.errors import HFValidationError

    model = parse_model(settings.model)
    try:
        config = _cached(model.name, model.revision, settings, (CONFIG_FILE,))
        weights = _cached(model.name, model.revision, settings, WEIGHTS_FILES)
    except HFValidationError:
        raise UserError(f"features.model is {settings.model}; after hf-hub: comes owner/model, as on the hub") from None
    return config.parent if config and weights and config.parent == weights.parent else None


def weights_here(settings: Features) -> Path | None:
    """The checkpoint where it is a file of the user's or in the hub's cache; None where it is neither, or not yet.

    Raises:
        UserError: a model's folder holds no checkpoint, or the name is no name of the hub.
    """
    model = parse_model(settings.model)
    if model.random or settings.weights or model.kind not in ("hub", "registry"):
        return own_weights(settings)
    if find_spec("huggingface_hub") is None:
        return None
    if model.kind == "hub":
        folder = cached_folder(settings)
        return weights_in_folder(folder) if folder else None
    hub = model.facts.hub if model.facts else None
    return _cached(hub, model.revision, settings, WEIGHTS_FILES) if hub else None


def fetch_refusal(settings: Features) -> UserError:
    """A model that is built by timm would have to be fetched, and no network is allowed."""
    return UserError(
        f"the encoder {settings.model} would be fetched from a network; set features.allow_network: true, or give "
        "features.weights (timm names) or features.model: local-dir:<folder of the downloaded model>; no copy is in "
        "the hub's cache on this machine (features.hub_folder, else HF_HOME)"
    )


def require_cached(settings: Features) -> None:
    """Refuse a model of the hub that is not in its cache where no network is allowed; nothing is fetched.

    Where jobs have environments of their own, huggingface_hub may be missing here, and nothing can be said.

    Args:
        settings: the section `features`, without weights of its own.

    Raises:
        UserError: the model is of the hub, and not in its cache.
    """
    if settings.allow_network or find_spec("huggingface_hub") is None:
        return
    model = parse_model(settings.model)
    if model.kind == "hub" and cached_folder(settings) is None:
        raise fetch_refusal(settings)
    if model.facts and model.facts.hub and not model.random:
        hub_weights(settings, model.facts)


def _how_to_get(repository: str, gated: bool) -> str:
    terms = "accept its terms and log in to the hub (hf auth login), or " if gated else ""
    return (
        f"{terms}download {repository} from the hub and set features.weights to its folder, "
        "or set features.hub_folder to a cache that has it"
    )


def hub_weights(settings: Features, facts: EncoderFacts) -> Path:
    """The checkpoint of a model of the registry: from the hub's cache, else fetched where the network is allowed.

    Args:
        settings: the section `features`, whose model may be written with a revision.
        facts: of the model, which the hub publishes.

    Raises:
        UserError: it is in no cache and no network is allowed, or the hub does not give it.
    """
    repository, revision = facts.hub or "", parse_model(settings.model).revision
    cached = _cached(repository, revision, settings, WEIGHTS_FILES)
    if cached:
        return cached
    how = _how_to_get(repository, facts.gated)
    if not settings.allow_network:
        raise UserError(
            f"the weights of the encoder {settings.model} are not in the hub's cache on this machine "
            f"(features.hub_folder, else HF_HOME); set features.allow_network: true to fetch them, or {how}"
        )
    return _fetch(repository, revision, settings, how)


def _fetch(repository: str, revision: str | None, settings: Features, how: str) -> Path:
    from huggingface_hub import errors, hf_hub_download

    try:
        for name in WEIGHTS_FILES:
            try:
                return Path(hf_hub_download(repository, name, revision=revision, cache_dir=settings.hub_folder))
            except errors.LocalEntryNotFoundError:
                raise
            except errors.EntryNotFoundError:
                continue
        reason = f"its page has neither of {' and '.join(WEIGHTS_FILES)}"
    except errors.LocalEntryNotFoundError:
        reason = "the hub could not be reached or gave no answer"
    except errors.GatedRepoError:
        reason = "its owner has not granted you access yet"
    except errors.RepositoryNotFoundError:
        reason = "the hub has no such page, or shows it after a login only"
    except Exception as error:  # the client's own, the connection's, the disk's
        reason = f"the hub did not give them ({type(error).__name__})"
    raise UserError(f"the weights of the encoder {settings.model} could not be fetched, {reason}; {how}") from None
