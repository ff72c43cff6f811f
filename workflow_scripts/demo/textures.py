"""Seamless canvases of the tissue classes, as amounts of haematoxylin and eosin.

A canvas is a float32 array [2, SIZE, SIZE]: haematoxylin, then eosin, in units of the stains' vectors (optical
density, natural logarithm). At 0.5 um/px a canvas is 640 um wide.
"""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from workflow_scripts.demo.fields import cell_edges, lattice, scatter_nuclei, smooth_noise

SIZE = 1280


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((values - low) / (high - low), 0, 1)


def _join(nuclei: np.ndarray, background: np.ndarray, eosin: np.ndarray, dark: float) -> np.ndarray:
    """Nuclei over their surroundings: they take up haematoxylin and little eosin."""
    cover = nuclei.clip(0, 1)
    return np.stack([background * (1 - cover) + dark * nuclei, eosin * (1 - 0.45 * cover)]).astype(np.float32)


def _fibres(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Wavy fibres: their brightness (about standard normal) and their local slope (dy/dx)."""
    shift = 26 * smooth_noise(rng, SIZE, 210)
    grain = smooth_noise(rng, SIZE, 150, 7) + 0.6 * smooth_noise(rng, SIZE, 60, 4)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    wavy = grain[(rows + shift.astype(np.int64)) % SIZE, columns]
    slope = -0.5 * (np.roll(shift, -1, axis=1) - np.roll(shift, 1, axis=1))
    return wavy * 0.8, slope


def stroma(rng: np.random.Generator) -> np.ndarray:
    """Wavy pink fibres with few spindle nuclei along them."""
    wavy, slope = _fibres(rng)
    gaps = _ramp(wavy + 0.5 * smooth_noise(rng, SIZE, 90), -1.8, -1.2)
    eosin = (0.48 + 0.12 * wavy + 0.05 * smooth_noise(rng, SIZE, 120)).clip(0.08) * (0.35 + 0.65 * gaps)
    points = lattice(rng, SIZE, 52, 0.5)
    at = points.astype(int) % SIZE
    angles = np.arctan(slope[at[:, 0], at[:, 1]]) + rng.normal(0, 0.12, len(points))
    nuclei = scatter_nuclei(rng, SIZE, points, (8, 13), (2.0, 3.2), angles, 0.2)
    return _join(nuclei, 0.05 + 0.03 * wavy.clip(-1), eosin, 1.15)


def _gland_shape(rng: np.random.Generator, centres: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Relative radius [SIZE, SIZE] within the nearest gland (1 at its outer border), and glands' nuclei [n, 3].

    A nucleus is (y, x, angle); nuclei lie near the outer border and point to the lumen.
    """
    relative = np.full((SIZE, SIZE), 2.0, np.float32)
    nuclei = []
    for (cy, cx), r in zip(centres, radius, strict=True):
        bend, phase, lobe = rng.uniform(-0.22, 0.22), rng.uniform(0, 6.3), rng.uniform(-0.10, 0.10)

        def outline(
            angle: np.ndarray, r: float = r, bend: float = bend, phase: float = phase, lobe: float = lobe
        ) -> np.ndarray:
            return r * (1 + bend * np.cos(2 * angle + phase) + lobe * np.cos(3 * angle - phase))

        reach = int(1.4 * r)
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
        rows, columns = (int(cy) + np.arange(-reach, reach + 1)) % SIZE, (int(cx) + np.arange(-reach, reach + 1)) % SIZE
        place = np.ix_(rows, columns)
        relative[place] = np.minimum(relative[place], np.hypot(y, x) / outline(np.arctan2(y, x)))
        count = int(2 * np.pi * 0.78 * r / 11.5)
        angle = (np.arange(count) + rng.uniform(-0.2, 0.2, count)) * 2 * np.pi / count
        depth = rng.normal(0.79, 0.035, count) - 0.12 * (rng.random(count) < 0.22)
        far = depth * outline(angle)
        nuclei.append(np.stack([cy + far * np.sin(angle), cx + far * np.cos(angle), angle], axis=1))
    found = np.concatenate(nuclei)
    at = found[:, :2].astype(int) % SIZE
    return relative, found[relative[at[:, 0], at[:, 1]] > 0.58]  # where glands touch, none lies in a lumen


def glands(rng: np.random.Generator) -> np.ndarray:
    """Rings of columnar cells around lumens, close together in a little stroma."""
    centres = lattice(rng, SIZE, 160, 0.12)
    relative, nuclei = _gland_shape(rng, centres, 160 * rng.uniform(0.40, 0.58, len(centres)))
    relative = relative + 0.02 * smooth_noise(rng, SIZE, 9)
    lumen = 1 - _ramp(relative, 0.46, 0.50)
    inside = 1 - _ramp(relative, 0.98, 1.03)
    wavy, _ = _fibres(rng)
    cytoplasm = 0.42 + 0.05 * smooth_noise(rng, SIZE, 5) + 0.12 * np.exp(-(((relative - 0.53) / 0.05) ** 2))
    eosin = np.where(inside > 0.5, cytoplasm, 0.45 + 0.10 * wavy)
    eosin = eosin * (1 - 0.94 * lumen) + 0.05 * lumen * smooth_noise(rng, SIZE, 40).clip(0)
    background = (0.05 + 0.13 * inside) * (1 - 0.95 * lumen)
    plane = scatter_nuclei(rng, SIZE, nuclei[:, :2], (6.5, 9.0), (4.2, 5.4), nuclei[:, 2], 0.14)
    between = lattice(rng, SIZE, 30, 0.4)
    at = between.astype(int) % SIZE
    between = between[relative[at[:, 0], at[:, 1]] > 1.08]
    spindles = scatter_nuclei(rng, SIZE, between, (7, 11), (2.0, 3.0))
    return _join(np.maximum(plane, spindles), background, eosin.clip(0), 1.2)


def solid(rng: np.random.Generator) -> np.ndarray:
    """Nests of packed pleomorphic tumour nuclei, retracted from thin septa."""
    edge, _ = cell_edges(lattice(rng, SIZE, 200, 0.27), SIZE)
    edge = edge + 2.5 * smooth_noise(rng, SIZE, 40) + 1.0 * smooth_noise(rng, SIZE, 9)
    nest = _ramp(edge, 16, 18)
    septum = 1 - _ramp(edge, 4, 6)
    wavy, _ = _fibres(rng)
    points = lattice(rng, SIZE, 20.5, 0.20)
    at = points.astype(int) % SIZE
    packed = points[edge[at[:, 0], at[:, 1]] > 23]
    nuclei = scatter_nuclei(rng, SIZE, packed, (5.6, 8.6), (4.8, 6.6), spread=0.16)
    borders, _ = cell_edges(points, SIZE)
    cytoplasm = 0.42 + 0.05 * smooth_noise(rng, SIZE, 5) + 0.08 * (1 - _ramp(borders, 0.5, 2.5))
    eosin = cytoplasm * nest + (0.48 + 0.10 * wavy) * septum + 0.02
    background = 0.17 * nest + 0.05 * septum
    spindles = scatter_nuclei(rng, SIZE, points[edge[at[:, 0], at[:, 1]] < 3], (7, 10), (2.0, 3.0))
    return _join(np.maximum(nuclei, spindles), background, eosin.clip(0), 1.2)


def lymphoid(rng: np.random.Generator) -> np.ndarray:
    """Densely packed small dark nuclei with scant cytoplasm; paler, looser centres."""
    points = lattice(rng, SIZE, 12.6, 0.22)
    centre = smooth_noise(rng, SIZE, 190)
    at = points.astype(int) % SIZE
    loose = centre[at[:, 0], at[:, 1]] > 1.1
    points = points[rng.random(len(points)) > np.where(loose, 0.35, 0.07)]
    nuclei = scatter_nuclei(rng, SIZE, points, (4.2, 5.6), (3.9, 4.9), spread=0.13)
    eosin = 0.26 + 0.07 * smooth_noise(rng, SIZE, 9)
    return _join(nuclei, 0.16 + 0.03 * smooth_noise(rng, SIZE, 30), eosin.clip(0.02), 1.5)


def fat(rng: np.random.Generator) -> np.ndarray:
    """Empty round vacuoles with thin rims and a few flat nuclei in the corners."""
    edge, _ = cell_edges(lattice(rng, SIZE, 116, 0.30), SIZE)
    edge = ndimage.gaussian_filter(edge, 3.5, mode="wrap") + 0.8 * smooth_noise(rng, SIZE, 25)  # rounds the corners
    rim = 1 - _ramp(edge, 3.4, 5.2)
    points = lattice(rng, SIZE, 26, 0.5)
    at = points.astype(int) % SIZE
    nuclei = scatter_nuclei(rng, SIZE, points[edge[at[:, 0], at[:, 1]] < 3.0], (5, 9), (2.2, 3.2))
    return _join(nuclei, 0.04 * rim, 0.44 * rim * (1 + 0.2 * smooth_noise(rng, SIZE, 12)) + 0.012, 1.0)


def necrosis(rng: np.random.Generator) -> np.ndarray:
    """Granular pink debris with ghosts of nuclei and few dark fragments."""
    grains = smooth_noise(rng, SIZE, 6) + 0.7 * smooth_noise(rng, SIZE, 11) + 0.35 * smooth_noise(rng, SIZE, 60)
    cracks = _ramp(grains, -2.0, -0.9)
    eosin = (0.55 + 0.11 * grains + 0.04 * smooth_noise(rng, SIZE, 3)).clip(0.1) * (0.3 + 0.7 * cracks)
    ghosts = scatter_nuclei(rng, SIZE, lattice(rng, SIZE, 40, 0.4), (5.5, 8), (5, 7), spread=0.25)
    hollow = ndimage.gaussian_filter(ghosts, 2.5, mode="wrap")
    dust = lattice(rng, SIZE, 22, 0.5)
    dust = dust[smooth_noise(rng, SIZE, 70)[tuple(dust.astype(int).T % SIZE)] > 0.2]
    fragments = scatter_nuclei(rng, SIZE, dust, (1.8, 4.2), (1.5, 2.8), spread=0.3)
    background = 0.09 + 0.02 * grains + 0.30 * (ghosts - 0.4 * hollow).clip(0)
    return _join(fragments, background.clip(0.02), eosin, 1.05)


PAINTERS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "glands": glands,
    "solid": solid,
    "stroma": stroma,
    "lymphoid": lymphoid,
    "fat": fat,
    "necrosis": necrosis,
}
