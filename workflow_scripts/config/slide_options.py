"""What the commands of the short stages are told for one slide, and where they put its files."""

import json
from collections.abc import Callable
from typing import NamedTuple

from workflow_scripts.config.stages import slide_settings
from workflow_scripts.core.manifest import SlideRow


class Place(NamedTuple):
    """Where the files of slides lie, and what else is known of them.

    Attributes:
        cohort: its name.
        encoder: name of the folder of the features.
        masks: the user's masks by slide_id (`tissue.mask_files`).
        names: under which the slides' features of another tool are looked for, by slide_id (`core.claims`).
        folder: that of the results; empty for the cohort's own.
    """

    cohort: str
    encoder: str
    masks: dict[str, list[str]]
    names: dict[str, list[str]]
    folder: str = ""

    def table(self, folder: str, slide_id: str) -> str:
        """The table of a slide in a folder of the cohort's results."""
        return f"{self.folder or f'results/{self.cohort}'}/{folder}/{slide_id}.parquet"


def _check(row: SlideRow, place: Place) -> list[str]:
    settings = slide_settings(place.cohort, row)
    return ["--row", json.dumps(settings), "--output", place.table("check", row.slide_id)]


def _tissue(row: SlideRow, place: Place) -> list[str]:
    table, masks = place.table("tissue", row.slide_id), place.masks.get(row.slide_id, [])
    start = table.removesuffix(".parquet")
    outputs = ["--tissue", table, "--geojson", f"{start}.geojson", "--overlay", f"{start}.png"]
    return ["--check", place.table("check", row.slide_id), "--mask", *masks, *outputs]


def _regions(row: SlideRow, place: Place) -> list[str]:
    check, tissue, regions = (place.table(folder, row.slide_id) for folder in ("check", "tissue", "regions"))
    return ["--check", check, "--tissue", tissue, "--output", regions]


def _features(row: SlideRow, place: Place) -> list[str]:
    settings = slide_settings(place.cohort, row) | {"names": place.names[row.slide_id]}
    features = place.table(f"features/{place.encoder}/slides", row.slide_id)
    outputs = ["--regions", place.table("regions", row.slide_id), "--features", features]
    check = place.table("check", row.slide_id)
    return ["--row", json.dumps(settings), "--check", check, "--encoder", place.encoder, *outputs]


OPTIONS: dict[str, Callable[[SlideRow, Place], list[str]]] = {
    "check_slide": _check,
    "segment_tissue": _tissue,
    "tile_regions": _regions,
    "import_features": _features,
}
"""Options for one slide, by the name of the stage's command."""
