"""The keys of a project's configuration: those alone that differ from the defaults, which are the paper's."""

import re
from typing import Any

from pydantic import TypeAdapter, ValidationError

from workflow_scripts.config import Config, merge
from workflow_scripts.config.base import Name
from workflow_scripts.core.errors import UserError
from workflow_scripts.project.encoder import EncoderChoice
from workflow_scripts.project.layout import Layout

Keys = dict[str, Any]
FEWER_ROUNDS = {"rounds": 26, "epochs_per_round": 3}  # as in the presets: 78 epochs for the paper's 79
# The demo's head, and a twentieth of the paper's epochs with a schedule as long.
SHORT = {
    "head": {"hidden": 512, "bottleneck": 128, "out_dim": 2048},
    "optimiser": {"lr_warmup_epochs": 1},
    "warmup_epochs": 2,
    "rounds": 3,
    "epochs_per_round": 1,
    "schedule_epochs": 5,
}


def cohort_name(folder: str) -> str:
    """A name of a cohort made of a folder's: letters, digits, `_` and `-`. The demo's own name is not given again."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", folder).strip("_-")
    return {"": "cohort", "demo": "demo_slides"}.get(name, name)


def check_name(name: str) -> str:
    """The name itself.

    Raises:
        UserError: it cannot name a cohort.
    """
    try:
        return TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise UserError(f"--name is {name!r}; use letters, digits, '_' and '-', a letter or digit first") from None


def without_defaults(keys: Keys, defaults: Keys) -> Keys:
    """Keys whose values differ from the defaults', sections that are left empty taken out."""
    kept: Keys = {}
    for key, value in keys.items():
        inner = without_defaults(value, defaults[key]) if isinstance(value, dict) else value
        if inner != {} and (isinstance(value, dict) or value != defaults[key]):
            kept[key] = inner
    return kept


def project_keys(name: str, manifest: str, layout: Layout, encoder: EncoderChoice) -> Keys:
    """What a project's configuration names: the cohort and the encoder, and of regions and pretraining what differs."""
    keys = {
        "cohort": {"name": name, "manifest": manifest},
        "regions": {"grid": layout.grid},
        "features": encoder.section,
        "pretrain": {
            "defaults": {
                "crops": {"global_size": layout.global_size, "local_size": layout.local_size},
                "prototypes": {"count": layout.prototypes, "min_regions": layout.min_regions},
            }
        },
    }
    differing = without_defaults(keys, Config().model_dump(mode="json"))
    return differing | {"cohort": keys["cohort"], "features": keys["features"]}


def with_fewer_rounds(keys: Keys) -> Keys:
    """The same with the presets' rounds: the paper's epochs in a third of the rounds, each of which stores a state."""
    return merge(keys, {"pretrain": {"defaults": FEWER_ROUNDS}})


def with_short_pretraining(keys: Keys) -> Keys:
    """The same with a pretraining that shows a result soon, and not what SLPD can do."""
    return merge(keys, {"pretrain": {"defaults": SHORT}})
