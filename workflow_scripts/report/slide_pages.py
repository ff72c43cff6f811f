"""The page of each slide: thumbnail, tissue, its regions with what is known of each, and the nearest slide."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import shapely

from workflow_scripts.core.colours import group_name
from workflow_scripts.report.cohort import choose_slides
from workflow_scripts.report.head_attention import HeadLayer, region_values
from workflow_scripts.report.inputs import Results, Row
from workflow_scripts.report.pictures import fitted_jpeg, jpeg_bytes, read_picture
from workflow_scripts.report.settings import pictures_apart
from workflow_scripts.report.view_box import view_box

PAGES = 2000
"""Slides that have a page, at most."""
_LARGE_PX, _SMALL_PX = 1000, 512
_LARGE_BYTES = 9_500_000  # of all pictures together: a third more as text
_SMALL_BYTES, _MOST = 24_000_000, 110_000
_PLACE = ["x", "y", "size_x", "size_y"]
_OUTLINE_POINTS = 700  # px of the thumbnail to which outlines are true


class Plan(NamedTuple):
    """Which slides have a page, and how large their pictures are.

    Attributes:
        slides: rows of the tables of slides.
        longest: side of a picture in the report, px at most.
        most_bytes: size of one, JPEG.
        apart: whether larger ones lie in the folder beside the report.
    """

    slides: list[Row]
    longest: int
    most_bytes: int
    apart: bool


def plan_pages(slides: list[Row]) -> Plan:
    """Slides with a page: all, or of very many the excluded ones and others at even distances."""
    shown = choose_slides(slides, PAGES)
    apart = pictures_apart(len(slides))
    bytes_each = (_SMALL_BYTES if apart else _LARGE_BYTES) // max(1, len(shown))
    return Plan(shown, _SMALL_PX if apart else _LARGE_PX, min(_MOST, bytes_each), apart)


def write_pictures(inputs: Results, slides: list[Row], folder: Path) -> None:
    """Write larger pictures of very many slides to the folder beside the report; of fewer, remove it.

    Args:
        inputs: the results folder.
        slides: rows of the tables of slides.
        folder: appears whole; a picture that is missing is left out.
    """
    plan, partial = plan_pages(slides), folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    if plan.apart:
        (partial / "slides").mkdir(parents=True)
        for slide_id in (slide["slide_id"] for slide in plan.slides):
            pixels = read_picture(inputs.overlay(slide_id), _LARGE_PX)
            if pixels is not None:
                (partial / "slides" / f"{slide_id}.jpg").write_bytes(jpeg_bytes(pixels))
    shutil.rmtree(folder, ignore_errors=True)
    if plan.apart:
        partial.rename(folder)


def outline_path(polygons: list[bytes], width: int, height: int) -> str:
    """SVG path of tissue polygons, level-0 px, simplified to what a thumbnail shows.

    Args:
        polygons: WKB, level-0 px.
        width: of the slide, level-0 px.
        height: of the slide, level-0 px.
    """
    tolerance = max(width, height) / _OUTLINE_POINTS
    shapes = shapely.simplify(shapely.from_wkb(polygons), tolerance) if polygons else []
    rings = [
        ring for shape in shapes for part in shapely.get_parts([shape]) for ring in (part.exterior, *part.interiors)
    ]
    lines = [np.rint(shapely.get_coordinates(ring)[:-1]).astype(int) for ring in rings if not ring.is_empty]
    return "".join("M" + "L".join(f"{x} {y}" for x, y in line) + "Z" for line in lines)


def _same(values: list[int]) -> int | list[int]:
    """One number where all are equal, to keep the page small."""
    return values[0] if values and len(set(values)) == 1 else values


def _layers(places: pa.Table, assigned: pa.Table | None, groups: dict[int, int]) -> Row:
    """Values of each region by layer; `slide_layers` says what the layers are."""
    if assigned is None or not len(assigned):
        return {}
    at = {region: row for row, region in enumerate(assigned["region_id"].to_pylist())}
    rows = [at.get(region) for region in places["region_id"].to_pylist()]
    prototype, similarity = assigned["prototype"].to_pylist(), assigned["similarity"].to_pylist()
    own = [None if row is None else prototype[row] for row in rows]
    layers: Row = {"prototype": own, "similarity": [None if row is None else round(similarity[row], 3) for row in rows]}
    return layers | ({"group": [None if value is None else groups.get(value) for value in own]} if groups else {})


def cosine_ends(assigned: dict[str, pa.Table]) -> tuple[float, float]:
    """1st percentile and largest of the cosines of all regions with their prototypes; 0 and 1 where none is known.

    Args:
        assigned: rows of assignments.parquet, by slide.
    """
    values = [np.asarray(rows["similarity"].to_numpy(), float) for rows in assigned.values()]
    known = np.concatenate([np.empty(0), *(own[np.isfinite(own)] for own in values)])
    return (float(np.percentile(known, 1)), float(known.max())) if len(known) else (0.0, 1.0)


def slide_layers(
    groups: int,
    cosines: tuple[float, float],
    attention_of: str | None = None,
    of_heads: Sequence[HeadLayer] = (),
    of_cohort: bool = False,
) -> list[Row]:
    """Layers of regions that the pages know: `classes` have a colour each, `share` is a scale, `picture` is one.

    A scale goes from 0 to 1, or between its `ends`.

    Numbers of prototypes belong to their slide, those of groups are the same in all, which is `shared`. A `note` stands
    beside the colours, and `absent` in their place where a slide lacks the layer.

    Args:
        groups: into how many groups the prototypes were put; 0 where they were not.
        cosines: from `cosine_ends`.
        attention_of: the run whose attention is known of some slides, where there is one.
        of_heads: where heads of the benchmark look.
        of_cohort: whether prototypes are of the whole cohort, and their numbers the same in all slides.
    """
    title = f"Prototype of the {'cohort' if of_cohort else 'slide'}"
    own = {"key": "prototype", "title": title, "kind": "classes", "shared": of_cohort, "names": None}
    group = {"key": "group", "title": "Group in the cohort", "kind": "classes", "shared": True}
    cosine = {"key": "similarity", "title": "Cosine with its prototype", "kind": "share", "shared": True, "names": None}
    cosine |= {"ends": cosines, "note": "cosine; colours run from the 1st percentile of all slides to their largest"}
    names = [group_name(number) for number in range(groups)]
    title = f"Attention of the region encoder, run {attention_of}"
    looks = {"key": "attention", "title": title, "kind": "picture", "shared": True, "names": None}
    looks["absent"] = (
        "not computed for this slide; docs/atlas.md of the workflow says how it is for slides of your choice"
    )
    shown = [own, *([group | {"names": names}] if groups else []), cosine, *([looks] if attention_of else [])]
    return [*shown, *(layer.facts for layer in of_heads)]


def slide_page(
    inputs: Results,
    slide: Row,
    plan: Plan,
    assigned: pa.Table | None,
    neighbour: Row | None,
    groups: dict[int, int] | None = None,
    attention: Row | None = None,
    of_heads: Sequence[HeadLayer] = (),
) -> Row:
    """What the page of one slide is made of, as JSON has it; the facts stand in the table of slides.

    Args:
        inputs: the results folder.
        slide: its row of the table of slides.
        plan: from `plan_pages`.
        assigned: its rows of assignments.parquet.
        neighbour: its nearest slide, as `nearest_slides` gives it.
        groups: group of each of its prototypes, where they are in any.
        attention: what `attention_layer` gives of it.
        of_heads: from `head_layers`.
    """
    slide_id = slide["slide_id"]
    pixels = read_picture(inputs.overlay(slide_id), plan.longest)
    places = inputs.places(slide_id) if slide["status"] == "ok" else None
    page: Row = {
        "picture": None if pixels is None else fitted_jpeg(pixels, plan.most_bytes),
        "size": [slide["width"] or 1, slide["height"] or 1],
        "known": bool(slide["width"] and slide["height"]),
        "view": view_box(slide, {} if places is None else places.select(_PLACE).to_pydict()),
        "tissue": outline_path(inputs.tissue(slide_id), slide["width"], slide["height"]) if slide["width"] else "",
        "neighbour": neighbour,
    }
    if places is not None and len(places):
        page |= {key: _same(places[name].to_pylist()) for key, name in (("w", "size_x"), ("h", "size_y"))}
        page |= {
            "x": places["x"].to_pylist(),
            "y": places["y"].to_pylist(),
            "layers": _layers(places, assigned, groups or {})
            | ({"attention": attention["peaks"]} if attention else {}),
        }
        page |= {"attention": {key: attention[key] for key in ("picture", "box", "low", "top")}} if attention else {}
        told = [layer for layer in of_heads if slide_id in layer.of_slide]
        values = {layer.facts["key"]: region_values(places, layer.of_slide[slide_id]) for layer in told}
        page["layers"] |= {key: ranks for key, (ranks, _) in values.items()}
        page |= {"times": {key: times for key, (_, times) in values.items()}} if values else {}
    return page


def nearest_slides(inputs: Results, run: str, number: int) -> dict[str, Row]:
    """The nearest slide of each: `id`, mean cosine of the matched prototypes, and the `matching` to its prototypes."""
    found = {}
    for row in sorted(inputs.prototypes(run, number, "neighbours"), key=lambda row: -row["rank"]):
        if row["neighbour_id"]:
            matching = list(row["matching"] or [])
            mean = row["similarity"] / len(matching) if matching else None
            found[row["slide_id"]] = {"id": row["neighbour_id"], "mean": mean, "matching": matching}
    return found
