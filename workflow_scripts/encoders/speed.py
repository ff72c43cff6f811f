"""How fast a slide was encoded, in a small file beside its features, which therefore have the same bits every time."""

import json
from pathlib import Path

from workflow_scripts.core.files import write_text

_NOTHING = {"patches_per_s": None, "wait_share": None}


def speed_file(features: Path) -> Path:
    """The file for the speed of the slide whose features are in `features`."""
    return features.parent.parent / "speed" / f"{features.stem}.json"


def write_speed(features: Path, speed: dict[str, float]) -> None:
    """Keep `patches_per_s`, and `wait_share`: the share of the time in which the encoder waited for pixels."""
    write_text(speed_file(features), json.dumps(speed))


def read_speed(features: Path) -> dict[str, float | None]:
    """What `write_speed` kept; None each where there is nothing."""
    try:
        return {**_NOTHING, **json.loads(speed_file(features).read_text(encoding="utf-8"))}
    except (OSError, ValueError):
        return dict(_NOTHING)
