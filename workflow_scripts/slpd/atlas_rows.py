"""The atlas as rows: what each group of prototypes holds."""

from typing import Any

import numpy as np
import pyarrow as pa

from workflow_scripts.slpd.atlas import class_counts, least_cosine, nearest_regions, slides_of_groups

NEAREST = 12
Row = dict[str, Any]


def class_rows(
    task: str, labels: dict[str, str], classes: list[str], slides: list[str], regions: pa.Table, groups: int
) -> list[list[Row]]:
    """What of each group lies in slides of each class, a list of rows of `schemas.ATLAS`'s `classes` a group.

    Args:
        task: its name.
        labels: class of each labelled slide; other classes than those given are counted nowhere.
        classes: names in order.
        slides: ids of the slides of the regions.
        regions: of `core.region_groups`.
        groups: G.
    """
    number = {name: place for place, name in enumerate(classes)}
    of_slide = np.array([number.get(labels.get(name, ""), -1) for name in slides], dtype=np.int64)
    found = class_counts(*_group_and_slide(regions, slides), of_slide, len(classes), groups)
    return [
        [
            {
                "task": task,
                "class": name,
                "n_regions": int(found.regions[group, place]),
                "group_regions": int(found.regions[group].sum()),
                "class_regions": int(found.class_regions[place]),
                "n_slides": int(found.slides[group, place]),
                "class_slides": int(found.class_slides[place]),
            }
            for name, place in number.items()
        ]
        for group in range(len(found.regions))
    ]


def nearest_rows(regions: pa.Table, slides: list[str], groups: int) -> list[list[Row]]:
    """The `NEAREST` regions of each of G groups, with `least_cosine`."""
    cosine = least_cosine(regions["similarity"].to_numpy(), regions["to_centre"].to_numpy())
    chosen = nearest_regions(*_group_and_slide(regions, slides), cosine, NEAREST, groups)
    found = []
    for indices in chosen:
        rows = regions.take(pa.array(indices)).select(["slide_id", "region_id", "prototype"]).to_pylist()
        found.append(
            [{**row, "least_cosine": value} for row, value in zip(rows, cosine[indices].tolist(), strict=True)]
        )
    return found


def group_rows(groups: pa.Table, regions: pa.Table, slides: list[str], centres: list[list[float]]) -> list[Row]:
    """Counts and centre of each group, from the rows of `schemas.GROUPS` and its regions."""
    number, similarity = groups["group"].to_numpy(), groups["similarity"].to_numpy().astype(np.float64)
    group, slide = _group_and_slide(regions, slides)
    n_prototypes = np.bincount(number, minlength=len(centres))
    mean = np.bincount(number, similarity, minlength=len(centres)) / np.maximum(n_prototypes, 1)
    n_regions = np.bincount(group, minlength=len(centres))
    n_slides = slides_of_groups(group, slide, len(centres))
    return [
        {
            "group": place,
            "n_prototypes": int(n_prototypes[place]),
            "n_regions": int(n_regions[place]),
            "n_slides": int(n_slides[place]),
            "similarity": float(mean[place]),
            "centre": centre,
        }
        for place, centre in enumerate(centres)
    ]


def _group_and_slide(regions: pa.Table, slides: list[str]) -> tuple[np.ndarray, np.ndarray]:
    place = {name: number for number, name in enumerate(slides)}
    slide = np.array([place[name] for name in regions["slide_id"].to_pylist()], dtype=np.int64)
    return regions["group"].to_numpy().astype(np.int64), slide
