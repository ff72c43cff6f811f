"""The map of slides: their vectors along the two directions in which they differ most."""

from typing import NamedTuple

import numpy as np

from workflow_scripts.report.inputs import Results, Row

_FEWEST = 3


class Plane(NamedTuple):
    """Principal components.

    Attributes:
        places: `[n, 2]` float64, coordinates of the vectors from their mean.
        shares: `[2]` float64, shares of the variance, 0 to 1.
    """

    places: np.ndarray
    shares: np.ndarray


def first_components(vectors: np.ndarray) -> Plane | None:
    """The first two principal components (Pearson 1901) of `[n, d]` vectors; null where they do not differ.

    The sign of a component is such that its largest weight is positive, so that equal vectors give an equal map.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    n, d = centred.shape
    total = float((centred**2).sum())
    if n < _FEWEST or d < 2 or total == 0:
        return None
    wide = d > n
    values, found = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    axes = found[:, ::-1][:, :2]
    if wide:
        axes = centred.T @ axes
        axes /= np.maximum(np.linalg.norm(axes, axis=0), 1e-300)
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    return Plane(centred @ axes, np.clip(values[::-1][:2] / total, 0, 1))


def slide_maps(inputs: Results, titles: dict[str, str], order: list[str]) -> list[Row]:
    """Maps of the representations that have slide vectors.

    Args:
        inputs: the results folder.
        titles: what each representation is called, by its name.
        order: slide_ids of the table of slides.

    Returns:
        for each its `name`, `title`, `rows` (places in `order`), `x`, `y` and the percent of variance of both,
        `shares`.
    """
    row_of = {slide_id: number for number, slide_id in enumerate(order)}
    maps = []
    for name, title in titles.items():
        slide_ids, vectors = inputs.slide_vectors(name)
        kept = np.array([i for i, s in enumerate(slide_ids) if s in row_of and np.isfinite(vectors[i]).all()], int)
        plane = first_components(vectors[kept]) if len(kept) else None
        if plane is not None:
            x, y = (100 * plane.places / max(np.abs(plane.places).max(), 1e-300)).round(2).T.tolist()
            rows = [row_of[slide_ids[i]] for i in kept]
            shares = (100 * plane.shares).round(1).tolist()
            maps.append({"name": name, "title": title, "rows": rows, "x": x, "y": y, "shares": shares})
    return maps
