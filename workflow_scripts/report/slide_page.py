"""The page of one new slide: its prototypes on the tissue, and the slides of a model's cohort that are like it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from workflow_scripts.report.palette import prototype_colour, text_on
from workflow_scripts.report.pictures import jpeg_uri
from workflow_scripts.report.templates import environment
from workflow_scripts.report.view_box import view_box

_PLACE = ("x", "y", "size_x", "size_y")
THUMBNAIL_PX = 1000
"""Longer side of the slide's picture, px."""


def render_slide_page(
    slide: dict[str, Any],
    model: dict[str, str],
    regions: list[dict[str, Any]],
    neighbours: list[dict[str, Any]],
    thumbnail: np.ndarray | None,
    min_regions: int,
    predictions: Sequence[dict[str, Any]] = (),
    heads: Sequence[dict[str, Any]] = (),
) -> str:
    """One HTML document that needs nothing else.

    Args:
        slide: row of `schemas.CHECK`.
        model: its `run` (the folder's name will do), `cohort` and `pretrained_on`.
        regions: rows of `schemas.APPLIED_REGIONS`, without vectors.
        neighbours: rows of `schemas.APPLIED_NEIGHBOURS`.
        thumbnail: the whole slide, uint8 `[h, w, 3]`, or None where it cannot be read.
        min_regions: regions below which a slide has no prototypes.
        predictions: rows of `schemas.APPLIED_PREDICTIONS`.
        heads: what the model's folder says of the heads that made them.
    """
    sizes = Counter(row["prototype"] for row in regions if row["prototype"] is not None)
    return (
        environment()
        .get_template("slide.html")
        .render(
            slide=slide,
            model=model,
            picture=None if thumbnail is None else jpeg_uri(thumbnail),
            tiles=[{**row, "fill": prototype_colour(row["prototype"])} for row in regions],
            view=" ".join(map(str, view_box(slide, {key: [row[key] for row in regions] for key in _PLACE}))),
            prototypes=[{**_chip(number), "n_regions": size} for number, size in sorted(sizes.items())],
            neighbours=[{**row, "pairs": _pairs(row)} for row in neighbours],
            alike=Counter(row["cohort_slide_id"] for row in regions).most_common(5),
            min_regions=min_regions,
            heads=[_head(facts, predictions) for facts in heads],
        )
    )


def _head(facts: dict[str, Any], predictions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A head with its predictions and, of what was measured, its headline."""
    rows = [row for row in predictions if row["task"] == facts["task"]]
    measured = next((row for row in facts["results"] if row["headline"]), None)
    shares = facts["class_shares"] or [None] * len(rows)
    return {
        **{**facts, "rows": list(zip(rows, shares, strict=True)), "measured": measured},
        "saw": True in (seen := [row["trained_on_it"] for row in rows]),
        "unknown": None in seen,
    }


def _chip(prototype: int) -> dict[str, Any]:
    colour = prototype_colour(prototype)
    return {"number": prototype, "colour": colour, "ink": text_on(colour)}


def _pairs(neighbour: dict[str, Any]) -> list[dict[str, Any]]:
    """Own prototypes, each with the number of the neighbour's that it is matched to."""
    return [{**_chip(own), "other": int(other)} for own, other in enumerate(neighbour["matching"])]
