"""The groups of prototypes in the tab Prototypes: a block a group, with its nearest regions, classes and stability."""

from workflow_scripts.core.colours import group_colour, group_name
from workflow_scripts.report.inputs import Row
from workflow_scripts.report.pictures import fitted_jpeg
from workflow_scripts.report.prototypes import Pictures, Rectangle

CROPS = 8
"""Nearest regions of a group that are shown, at most; `schemas.ATLAS` has those of several slides first."""
CROP_PX = 160
_BYTES, _MOST = 800_000, 12_000  # JPEG, of all pictures together and of one


def shown_regions(row: Row) -> list[Row]:
    """The regions of a row of `schemas.ATLAS` that are shown: those whose place is known."""
    return [region for region in row["nearest"] if region["x"] is not None][:CROPS]


def _place(region: Row) -> Rectangle:
    return Rectangle(region["x"], region["y"], region["size_x"], region["size_y"], CROP_PX, CROP_PX)


def wanted_crops(atlas: list[Row]) -> dict[str, list[Rectangle]]:
    """Rectangles to read, by slide_id, of rows of `schemas.ATLAS`."""
    wanted: dict[str, set[Rectangle]] = {}
    for region in (region for row in atlas for region in shown_regions(row)):
        wanted.setdefault(region["slide_id"], set()).add(_place(region))
    return {slide: sorted(places) for slide, places in sorted(wanted.items())}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _classes(row: Row) -> list[Row]:
    """Classes with their shares of the group's regions, and the group's of theirs."""
    return [
        {
            **one,
            "of_group": _share(one["n_regions"], one["group_regions"]),
            "of_class": _share(one["n_regions"], one["class_regions"]),
        }
        for one in row["classes"]
    ]


def stability_rows(meta: Row) -> list[Row]:
    """What the groups were compared with: in words, adjusted Rand index (null where none is known), and regions.

    Args:
        meta: metadata of atlas.parquet.
    """
    rows = []
    if before := meta.get("before"):
        text = f"clustering of round {before['round']}, the one before"
        rows.append({"text": text, "ari": before["ari"], "n_regions": before["n_regions"]})
    for number, index in enumerate(meta.get("other_seeds") or [], start=1):
        text = f"the same prototypes in groups by another seed ({number})"
        rows.append({"text": text, "ari": index, "n_regions": meta.get("n_regions")})
    for other in meta.get("other_runs") or []:
        rows.append({"text": f"run {other['run']}", "ari": other["ari"], "n_regions": other["n_regions"]})
    return rows


def draw_atlas(atlas: list[Row], meta: Row, pictures: Pictures) -> Row | None:
    """What the template is told of the groups; null where there are none.

    Args:
        atlas: rows of `schemas.ATLAS`.
        meta: metadata of their table.
        pictures: pixels of the rectangles of `wanted_crops`; a region without is shown as not read.
    """
    if not atlas:
        return None
    regions = sum(row["n_regions"] for row in atlas)
    most = min(_MOST, _BYTES // max(1, sum(len(shown_regions(row)) for row in atlas)))

    def crop(region: Row) -> Row:
        pixels = pictures.get((region["slide_id"], _place(region)))
        return {**region, "picture": None if pixels is None else fitted_jpeg(pixels, most)}

    groups = [
        {
            **row,
            "name": group_name(row["group"]),
            "colour": group_colour(row["group"]),
            "share": _share(row["n_regions"], regions),
            "crops": [crop(region) for region in shown_regions(row)],
            "classes": _classes(row),
        }
        for row in atlas
    ]
    facts = {key: meta.get(key) for key in ("round", "wanted", "n_slides")}
    return {**facts, "groups": groups, "crops": CROPS, "n_regions": regions, "stability": stability_rows(meta)}
