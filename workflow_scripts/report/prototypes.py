"""Prototypes on the tissue: which slides are shown, which pixels are needed for it, and the maps."""

from collections import Counter, defaultdict
from statistics import mean, median, stdev
from typing import NamedTuple

import numpy as np

from workflow_scripts.core.spread import spread_by_class
from workflow_scripts.report.inputs import Results, Row
from workflow_scripts.report.palette import prototype_colour, text_on
from workflow_scripts.report.pictures import fit, jpeg_uri, read_picture
from workflow_scripts.report.wording import known

THUMBNAIL_PX = 640
CROP_PX = 160
OWN_CROPS, NEIGHBOUR_CROPS = 4, 2


COHORT = ""
"""In the place of a slide_id: prototypes of the whole cohort."""


class Rectangle(NamedTuple):
    """A rectangle of a slide in level-0 px, and the size in px at which it is read."""

    x: int
    y: int
    width: int
    height: int
    out_width: int
    out_height: int


Pictures = dict[tuple[str, Rectangle], np.ndarray]


def run_summary(results: Results, run: str, number: int, patient_of: dict[str, str]) -> Row:
    """Counts and medians over the prototypes and nearest slides of one round.

    Of prototypes of the whole cohort `of_cohort` is their number, else null; they have no nearest slides.
    """
    sizes = defaultdict(list)
    for row in results.prototypes(run, number, "prototypes"):
        sizes[row["slide_id"]].append(row["n_regions"] or 0)
    of_cohort = len(sizes[COHORT]) if COHORT in sizes else None
    ranked = sorted(results.prototypes(run, number, "neighbours"), key=lambda r: -r["rank"])
    first = {r["slide_id"]: r for r in ranked if r["neighbour_id"]}
    same = sum(patient_of.get(s) == patient_of.get(r["neighbour_id"]) for s, r in first.items())
    shares = [max(n) / sum(n) for n in sizes.values() if sum(n)]
    similar = [r["similarity"] / len(sizes[s]) for s, r in first.items() if sizes.get(s)]
    return {
        "run": run,
        "round": number,
        "of_cohort": of_cohort,
        "of_slide": None if of_cohort else max(map(len, sizes.values()), default=None),
        "slides": len(sizes) if of_cohort is None else results.slides_with_prototypes(run, number),
        "largest_share": median(shares) if shares else None,
        "similarity": median(similar) if similar else None,
        "with_neighbour": len(first),
        "same_patient": same,
    }


def _nearest(regions: list[Row], count: int) -> list[Row]:
    return sorted(regions, key=lambda r: (-r["similarity"], r["region_id"]))[:count]


def _place(row: Row) -> Rectangle:
    return Rectangle(row["x"], row["y"], row["size_x"], row["size_y"], CROP_PX, CROP_PX)


def _clustered_regions(results: Results, run: str, number: int, slides: list[str]) -> dict[str, list[Row]]:
    """Regions of some slides with place, prototype and similarity."""
    found: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in results.prototypes(run, number, "assignments", slides):
        found[row["slide_id"]][row["region_id"]] = row
    return {
        s: [{**r, **found[s][r["region_id"]]} for r in results.regions(s) if r["region_id"] in found[s]] for s in slides
    }


def _matched(sizes: dict[int, int], own: list[Row], theirs: list[Row], matching: list[int]) -> list[Row]:
    """Prototypes of a slide with its nearest regions, the match in the nearest slide, and those of that."""
    lines = []
    for prototype in sorted(sizes):
        match = matching[prototype] if 0 <= prototype < len(matching) and matching[prototype] >= 0 else None
        lines.append(
            {
                "prototype": prototype,
                "n_regions": sizes[prototype],
                "nearest": _nearest([r for r in own if r["prototype"] == prototype], OWN_CROPS),
                "match": match,
                "match_nearest": []
                if match is None
                else _nearest([r for r in theirs if r["prototype"] == match], NEIGHBOUR_CROPS),
            }
        )
    return lines


def _sizes(results: Results, run: str, number: int) -> dict[str, dict[int, int]]:
    """Regions of each prototype in each slide, by slide."""
    sizes: dict[str, dict[int, int]] = defaultdict(dict)
    for row in results.prototypes(run, number, "prototypes"):
        sizes[row["slide_id"]][row["prototype"]] = row["n_regions"]
    if COHORT not in sizes:
        return sizes
    counted = Counter((r["slide_id"], r["prototype"]) for r in results.prototypes(run, number, "assignments"))
    of_slides: dict[str, dict[int, int]] = defaultdict(dict)
    for (slide, prototype), count in counted.items():
        of_slides[slide][prototype] = count
    return of_slides


def plan_examples(
    results: Results, run: str, number: int, slides: list[Row], count: int, class_of: dict[str, str]
) -> list[Row]:
    """Slides to show, at even distances in the order of class and slide_id, with their prototypes and nearest slide.

    Each example has `slide`, `regions`, `thumbnail` (the rectangle of the whole slide), `neighbour` (row of
    neighbours.parquet or null) and `prototypes`, each with its nearest regions and those of its match.
    """
    of = {s["slide_id"]: s for s in slides}
    sizes = _sizes(results, run, number)
    chosen = spread_by_class((s for s in sizes if s in of and of[s]["width"] and of[s]["height"]), class_of, count)
    rows = sorted(results.prototypes(run, number, "neighbours", chosen), key=lambda r: -r["rank"])
    neighbours = {r["slide_id"]: r for r in rows if r["neighbour_id"] in of}
    wanted = sorted({*chosen, *(r["neighbour_id"] for r in neighbours.values())})
    regions = _clustered_regions(results, run, number, wanted)
    examples = []
    for slide_id in chosen:
        neighbour = neighbours.get(slide_id)
        theirs = regions[neighbour["neighbour_id"]] if neighbour else []
        matching = list(neighbour["matching"] or []) if neighbour else []
        lines = _matched(sizes[slide_id], regions[slide_id], theirs, matching)
        slide = of[slide_id]
        whole = Rectangle(0, 0, slide["width"], slide["height"], *fit(slide["width"], slide["height"], THUMBNAIL_PX))
        examples.append(
            {
                "slide": slide,
                "thumbnail": whole,
                "regions": regions[slide_id],
                "neighbour": neighbour,
                "prototypes": lines,
            }
        )
    return examples


def wanted_pixels(examples: list[Row]) -> dict[str, list[Rectangle]]:
    """Rectangles to read, by slide_id."""
    wanted: dict[str, set[Rectangle]] = defaultdict(set)
    for example in examples:
        wanted[example["slide"]["slide_id"]].add(example["thumbnail"])
        for line in example["prototypes"]:
            for region in line["nearest"] + line["match_nearest"]:
                wanted[region["slide_id"]].add(_place(region))
    return {slide: sorted(places) for slide, places in sorted(wanted.items())}


def _crop(region: Row, pictures: Pictures) -> Row:
    pixels = pictures.get((region["slide_id"], _place(region)))
    return {**region, "picture": None if pixels is None else jpeg_uri(pixels)}


def _view(example: Row) -> str:
    """SVG view box, level-0 px, that holds the slide and its regions, which may stick out of it."""
    slide, regions = example["slide"], example["regions"]
    left, top = (min([0, *(r[key] for r in regions)]) for key in ("x", "y"))
    right = max([slide["width"], *(r["x"] + r["size_x"] for r in regions)])
    bottom = max([slide["height"], *(r["y"] + r["size_y"] for r in regions)])
    return f"{left} {top} {right - left} {bottom - top}"


def draw_examples(examples: list[Row], pictures: Pictures, results: Results) -> list[Row]:
    """Examples with their pictures; a slide that could not be read shows its tissue overlay instead."""
    drawn = []
    for example in examples:
        slide_id = example["slide"]["slide_id"]
        thumbnail = pictures.get((slide_id, example["thumbnail"]))
        fallback = thumbnail is None
        if fallback:
            thumbnail = read_picture(results.overlay(slide_id), THUMBNAIL_PX)
        tiles = [
            {**r, "fill": prototype_colour(r["prototype"]), "ink": text_on(prototype_colour(r["prototype"]))}
            for r in example["regions"]
        ]
        lines = [
            {
                **line,
                "colour": prototype_colour(line["prototype"]),
                "ink": text_on(prototype_colour(line["prototype"])),
                "nearest": [_crop(r, pictures) for r in line["nearest"]],
                "match_nearest": [_crop(r, pictures) for r in line["match_nearest"]],
            }
            for line in example["prototypes"]
        ]
        drawn.append(
            {
                **example,
                "picture": None if thumbnail is None else jpeg_uri(thumbnail),
                "fallback": fallback,
                "tiles": tiles,
                "view": _view(example),
                "prototypes": lines,
            }
        )
    return drawn


def texture_summary(rows: list[Row]) -> Row | None:
    """Adjusted Rand index over the slides with two classes or more, and of random prototypes; null without any."""
    mixed = [r for r in rows if (r["n_classes"] or 0) >= 2 and known(r["ari"]) and known(r["ari_random"])]
    if not mixed:
        return None
    values = [r["ari"] for r in mixed]
    return {
        "slides": len(mixed),
        "left_out": len(rows) - len(mixed),
        "median": median(values),
        "low": min(values),
        "high": max(values),
        "random": median(r["ari_random"] for r in mixed),
        "above": sum(r["ari"] > r["ari_random"] for r in mixed),
        "rows": sorted(mixed, key=lambda r: (-r["ari"], r["slide_id"])),
    }


def texture_section(run: str, rows: list[Row], meta: Row) -> Row:
    """Agreement of a run's prototypes and groups with the true classes: of `slides`, and of the whole `cohort`.

    Args:
        run: its name.
        rows: of `schemas.TEXTURES`.
        meta: metadata of their table, `cohort` as `mil.agreement.CohortAgreement` has it; null where it is not known.
    """
    cohort = meta.get("cohort")
    indices = [(cohort or {}).get(name) for name in ("ari", "ari_random", "ari_random_prototypes")]
    whole = cohort if cohort and cohort["n_regions"] and all(map(known, indices)) else None
    return {"run": run, "slides": texture_summary(rows), "cohort": whole}


def texture_sections(scored: list[tuple[str, list[Row], Row]], trainings: dict[str, list[str]]) -> list[Row]:
    """A section for each run, of its first training; with the spread over its trainings where there are several.

    Args:
        scored: of each training its name, rows of `schemas.TEXTURES` and the metadata of their table.
        trainings: by seeds, of each run that has several.
    """
    found = {run: texture_section(run, rows, meta) for run, rows, meta in scored}
    again = {name for names in trainings.values() for name in names[1:]}
    sections = []
    for run, section in found.items():
        if run not in again and (section["slides"] or section["cohort"]):
            mine = [found[name] for name in trainings.get(run, [run]) if name in found]
            whole = [one["cohort"]["ari"] for one in mine if one["cohort"]]
            within = [one["slides"]["median"] for one in mine if one["slides"]]
            sections.append(section | {"trainings": len(mine), "whole": _spread(whole), "within": _spread(within)})
    return sections


def _spread(values: list[float]) -> Row | None:
    """Mean and standard deviation (ddof 1) over trainings, and their number; null of fewer than two."""
    return {"mean": mean(values), "sd": stdev(values), "count": len(values)} if len(values) > 1 else None
