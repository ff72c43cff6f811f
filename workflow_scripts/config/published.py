"""What runs of `preset: official` do otherwise than the published code, by keys that the preset leaves alone."""

import json
from typing import Any

from workflow_scripts.config import Config
from workflow_scripts.config.runs import OFFICIAL


def departures(config: Config, run: str) -> list[str]:
    """What a run of preset official does otherwise than the published code; nothing of other runs.

    Args:
        config: the whole configuration.
        run: name of one of its runs.
    """
    if config.pretrain.preset_of(run) != "official":
        return []
    settings = config.pretrain.run(run)
    found = _differing(settings.model_dump(mode="json"), OFFICIAL)
    if settings.epochs_per_round > 1:
        found.append(f"epochs_per_round {settings.epochs_per_round} (published: 1, a clustering each epoch)")
    if not config.source.kind and not config.features.encode_glass:
        found.append("features.encode_glass false (published: true, patches without tissue are encoded too)")
    return found


def departure_notes(config: Config) -> list[str]:
    """A line for each run of preset official that is not as published."""
    found = {name: departures(config, name) for name in config.pretrain.runs}
    return [
        f"pretrain run {name} is of preset official and not as published in {'; '.join(told)}"
        for name, told in found.items()
        if told
    ]


def _differing(settings: dict[str, Any], published: dict[str, Any], above: str = "") -> list[str]:
    """Keys that differ from the published ones, with both values."""
    found = []
    for key, value in published.items():
        own = settings[key]
        if isinstance(value, dict):
            found += _differing(own, value, f"{above}{key}.")
        elif own != value:
            found.append(f"{above}{key} {_text(own)} (published: {_text(value)})")
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
