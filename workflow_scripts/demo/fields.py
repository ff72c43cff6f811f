"""Seamless building blocks of textures: smooth noise, jittered lattices, cells, and nuclei stamped at points.

All canvases are square, wrap around at their edges and are measured in px at 0.5 um/px.
"""

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.spatial import cKDTree


def enlarge(values: np.ndarray, shape: tuple[int, int], pad: int = 0) -> np.ndarray:
    """Bicubic enlargement of a float field, whose border `pad` is context that the result leaves out."""
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    box = (pad, pad, image.width - pad, image.height - pad)
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC, box=box))


def smooth_noise(rng: np.random.Generator, size: int, across: float, down: float | None = None) -> np.ndarray:
    """Wrapping noise [size, size], float32, about standard normal, with features `across` by `down` px large."""
    columns = max(2, round(size / across))
    rows = columns if down is None else max(2, round(size / down))
    grid = rng.standard_normal((rows, columns), dtype=np.float32)
    field = enlarge(np.pad(grid, 4, mode="wrap"), (size, size), 4)
    return field * np.float32(1.35)  # interpolation between independent values lowers the deviation


def lattice(rng: np.random.Generator, size: int, spacing: float, jitter: float) -> np.ndarray:
    """Wrapping hexagonal lattice of points [n, 2] (y, x), each moved by up to `jitter` of the spacing."""
    rows = max(2, 2 * round(size / (spacing * 0.866) / 2))
    columns = max(1, round(size / spacing))
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    x += 0.5 * (np.arange(rows) % 2)[:, None]
    points = np.stack([y.ravel() * size / rows, x.ravel() * size / columns], axis=1)
    return (points + rng.uniform(-jitter, jitter, points.shape) * spacing) % size


def cell_edges(points: np.ndarray, size: int, step: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Wrapping Voronoi cells of `points`.

    Returns:
        distance [size, size]: about the distance to the nearest cell border, px.
        owner [size // step, size // step]: index of the nearest point.
    """
    at = (np.arange(size // step) + 0.5) * step
    grid = np.stack(np.meshgrid(at, at, indexing="ij"), axis=-1).reshape(-1, 2)
    distance, owner = cKDTree(points, boxsize=size).query(grid, k=2)
    half = (0.5 * (distance[:, 1] - distance[:, 0])).reshape(len(at), len(at))
    return enlarge(np.pad(half, 4, mode="wrap"), (size, size), 4), owner[:, 0].reshape(len(at), len(at))


def nucleus_kernels(
    rng: np.random.Generator, long_px: tuple[float, float], short_px: tuple[float, float], angles: np.ndarray
) -> np.ndarray:
    """Nuclei [n, k, k], float32, 0 outside and about 1 inside, one for each angle (radians from the x axis).

    Half axes are drawn from `long_px` and `short_px`. Each has a soft edge, a darker rim and clumped chromatin.
    """
    reach = int(np.ceil(max(long_px[1], short_px[1]))) + 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    count = len(angles)
    a = rng.uniform(*long_px, count)[:, None, None]
    b = rng.uniform(*short_px, count)[:, None, None]
    cos, sin = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
    bulge = 1 + 0.10 * rng.standard_normal((count, 1, 1)) * np.sin(2 * np.arctan2(y, x) + rng.uniform(0, 6.3))
    radius = np.hypot((cos * x + sin * y) / a, (cos * y - sin * x) / b) * bulge
    body = np.clip((1 - radius) * b * 0.7 + 0.5, 0, 1)
    clumps = ndimage.gaussian_filter(rng.standard_normal(body.shape), (0, 1.1, 1.1)) * 3.0
    inside = 0.80 + 0.16 * clumps + 0.20 * np.exp(-(((radius - 0.8) / 0.2) ** 2))
    return (body * inside.clip(0.35, 1.25)).astype(np.float32)


def stamp(plane: np.ndarray, points: np.ndarray, kernels: np.ndarray, which: np.ndarray, dark: np.ndarray) -> None:
    """Stamp `kernels[which[i]] * dark[i]` at each point into `plane`, keeping the larger value; wraps around."""
    size, reach = plane.shape[0], kernels.shape[1] // 2
    offset = np.arange(-reach, reach + 1)
    flat = plane.reshape(-1)
    for first in range(0, len(points), 2048):
        part = slice(first, first + 2048)
        at = np.rint(points[part]).astype(np.int64)
        y = (at[:, :1] + offset) % size
        x = (at[:, 1:] + offset) % size
        index = y[:, :, None] * size + x[:, None, :]
        values = kernels[which[part]] * dark[part, None, None].astype(np.float32)
        np.maximum.at(flat, index.reshape(-1), values.reshape(-1))


def scatter_nuclei(
    rng: np.random.Generator,
    size: int,
    points: np.ndarray,
    long_px: tuple[float, float],
    short_px: tuple[float, float],
    angles: np.ndarray | None = None,
    spread: float = 0.15,
) -> np.ndarray:
    """Plane [size, size] of nuclei at `points`, about 1 inside; `spread` is the variation of their darkness.

    `angles` gives each point's orientation, taken to the nearest of 24 directions; None draws them at random.
    """
    plane = np.zeros((size, size), np.float32)
    if not len(points):
        return plane
    directions = np.repeat(np.arange(24) * np.pi / 24, 3)
    kernels = nucleus_kernels(rng, long_px, short_px, directions)
    angles = rng.uniform(0, np.pi, len(points)) if angles is None else angles
    which = np.rint(angles % np.pi / (np.pi / 24)).astype(int) % 24 * 3 + rng.integers(0, 3, len(points))
    stamp(plane, points, kernels, which, rng.normal(1, spread, len(points)).clip(0.5, 1.5))
    return plane
