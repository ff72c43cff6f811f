"""Cohorts of tokens, no pixels, in which single patches tell nothing and their arrangement tells all.

A region is a grid of tokens of two or three types, each with the same share of the grid whatever the region's class. A
class is how the types lie: a field of scores is drawn over the grid and the tokens take their types by its ranks, so
that shares are equal exactly. Hence the tokens of a region, taken as a set, have one distribution in all classes, and
so has their mean.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np

from workflow_scripts.core.seeds import derive_seed

CLASSES = ("scattered", "rows", "nests", "front", "rim")
"""Arrangements of a region: at random, in stripes, in round clumps, in two halves, one around the other."""
_BLOCK = 1024  # regions that are made at once


@dataclass(frozen=True)
class Planted:
    """What a cohort is made of; lengths of vectors are in deviations of a token's own noise.

    Attributes:
        slides, regions: how many slides, and regions a slide.
        grid: g, tokens along a region.
        dim: D, width of a token.
        types: token types, 2 or 3, in equal shares of each region.
        strength: distance of the types' vectors from their mean.
        disorder: share of a region's tokens that change places at random.
        stain: length of the offset that all tokens of a slide share.
        tint: length of the offset that all tokens of a region share.
        told: share of the regions in which a part of the tokens carries a sign of the region's class.
        sign: length of that sign.
        signed: part of the tokens of such a region that carry it.
        seed: of everything.
    """

    slides: int = 40
    regions: int = 40
    grid: int = 8
    dim: int = 16
    types: int = 2
    strength: float = 12.0
    disorder: float = 0.0
    stain: float = 0.1
    tint: float = 0.1
    told: float = 0.0
    sign: float = 24.0
    signed: float = 0.25
    seed: int = 0

    def of_seed(self, seed: int) -> "Planted":
        """The same by another seed."""
        return replace(self, seed=seed)

    def to_json(self) -> dict[str, float]:
        """All values by name."""
        return asdict(self)


@dataclass(frozen=True)
class Cohort:
    """A planted cohort of S slides and N regions, slides one after another.

    A slide is a strip of regions. Its kind says which classes occur: all but one, in equal shares. Its order says which
    neighbour which: of its four classes a, b, c, d, regions of a and b lie by turns, and those of c and d (order 0); or
    a and c, and b and d (order 1). So slides of one kind and two orders have the same regions.

    Attributes:
        tokens: float16 `[N, g, g, D]`.
        region_class: int64 `[N]`, place in `CLASSES`.
        slide: int64 `[N]`, number of each region's slide; regions stand in their order along the strip.
        kind: int64 `[S]`, 0 to 3: class `kind + 1` does not occur.
        order: int64 `[S]`, 0 or 1.
        told: bool `[N]`, regions whose class single tokens give away.
        offset: float32 `[S, D]`, stain of each slide.
    """

    tokens: np.ndarray
    region_class: np.ndarray
    slide: np.ndarray
    kind: np.ndarray
    order: np.ndarray
    told: np.ndarray
    offset: np.ndarray

    @property
    def slides(self) -> int:
        return len(self.kind)


def _noise(fields: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(fields.shape)


def _direction(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine `[n, 1, 1]` of directions at random."""
    angle = rng.uniform(0, 2 * np.pi, (n, 1, 1))
    return np.cos(angle), np.sin(angle)


def _places(g: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of each token from the grid's middle, `[1, g, g]`."""
    row, column = np.meshgrid(np.arange(g) - (g - 1) / 2, np.arange(g) - (g - 1) / 2, indexing="ij")
    return row[None], column[None]


def _scattered(n: int, g: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((n, g, g))


def _rows(n: int, g: int, rng: np.random.Generator) -> np.ndarray:
    """Stripes of a width of two tokens, in any direction."""
    (row, column), (cosine, sine) = _places(g), _direction(n, rng)
    return np.sin(np.pi / 2 * (row * cosine + column * sine) + rng.uniform(0, 2 * np.pi, (n, 1, 1)))


def _nests(n: int, g: int, rng: np.random.Generator) -> np.ndarray:
    """Distance to the nearest of some centres, as many as clumps of about four tokens across take half of the grid."""
    count = max(2, round(g * g / 32))
    row, column = _places(g)
    far = np.full((n, g, g), np.inf)
    for _ in range(count):
        y, x = rng.uniform(-g / 2, g / 2, (2, n, 1, 1))
        far = np.minimum(far, (row - y) ** 2 + (column - x) ** 2)
    return far


def _front(n: int, g: int, rng: np.random.Generator) -> np.ndarray:
    (row, column), (cosine, sine) = _places(g), _direction(n, rng)
    return row * cosine + column * sine


def _rim(n: int, g: int, rng: np.random.Generator) -> np.ndarray:
    """Distance from a core near the middle."""
    row, column = _places(g)
    y, x = rng.uniform(-g / 8, g / 8, (2, n, 1, 1))
    return (row - y) ** 2 + (column - x) ** 2


_FIELDS: tuple[Callable[[int, int, np.random.Generator], np.ndarray], ...] = (_scattered, _rows, _nests, _front, _rim)


def arranged(classes: np.ndarray, grid: int, types: int, disorder: float, rng: np.random.Generator) -> np.ndarray:
    """Type of each token of regions of these classes, int64 `[n, g, g]`; types have equal shares to one token.

    The first type is that within clumps and cores, as tumour is within stroma.

    Args:
        classes: int64 `[n]`, places in `CLASSES`.
        grid: g.
        types: how many.
        disorder: share of the tokens that change places at random.
        rng: of the draws.
    """
    n, cells = len(classes), grid * grid
    scores = np.empty((n, grid, grid))
    for number, field in enumerate(_FIELDS):
        own = classes == number
        scores[own] = field(int(own.sum()), grid, rng)
    rank = (scores + 1e-6 * _noise(scores, rng)).reshape(n, cells).argsort(axis=1).argsort(axis=1)
    found = rank * types // cells
    moving = round(disorder * cells)
    if moving > 1:
        where = rng.permuted(np.tile(np.arange(cells), (n, 1)), axis=1)[:, :moving]
        moved = rng.permuted(np.take_along_axis(found, where, axis=1), axis=1)
        np.put_along_axis(found, where, moved, axis=1)
    return found.reshape(n, grid, grid)


def type_vectors(types: int, dim: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Vectors of the types, `strength` from their mean, which is 0, and equally far from each other; `[types, D]`."""
    corners = np.eye(types) - 1 / types
    basis = np.linalg.qr(rng.standard_normal((dim, types)))[0].T
    return strength * (corners / np.linalg.norm(corners[0])) @ basis


def strip(kind: int, order: int, regions: int, rng: np.random.Generator) -> np.ndarray:
    """Classes of a slide's regions along its strip, int64 `[regions]`; see `Cohort`."""
    a, b, c, d = (number for number in range(len(CLASSES)) if number != kind + 1)
    pairs = [(a, b), (c, d)] if order == 0 else [(a, c), (b, d)]
    halves = [regions // 2, regions - regions // 2]
    parts = [
        np.array([*pair] * length)[(shift := int(rng.integers(2))) : shift + length]
        for pair, length in zip(pairs, halves, strict=True)
    ]
    return np.concatenate([parts[i] for i in rng.permutation(2)])


def _length(dim: int, length: float, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Vectors of random directions, float64 `[*shape, D]`, whose mean squared length is `length` squared."""
    return rng.standard_normal((*shape, dim)) * length / np.sqrt(dim)


def plant(planted: Planted) -> Cohort:
    """A cohort; same settings, same bits.

    The kinds and orders have as many slides each as can be, and come by turns.
    """
    s, r, g = planted.slides, planted.regions, planted.grid
    rng = np.random.default_rng(derive_seed(planted.seed, "planted"))
    number = rng.permutation(s)
    kind, order = number % 4, number // 4 % 2
    region_class = np.concatenate([strip(k, o, r, rng) for k, o in zip(kind, order, strict=True)])
    slide = np.repeat(np.arange(s), r)
    vectors = type_vectors(planted.types, planted.dim, planted.strength, rng)
    signs = _length(planted.dim, 1.0, (len(CLASSES),), rng)
    signs *= planted.sign / np.linalg.norm(signs, axis=1, keepdims=True)
    offset = _length(planted.dim, planted.stain, (s,), rng).astype(np.float32)
    told = rng.random(len(slide)) < planted.told
    tokens = np.empty((len(slide), g, g, planted.dim), dtype=np.float16)
    for start in range(0, len(slide), _BLOCK):
        rows = slice(start, start + _BLOCK)
        classes = region_class[rows]
        types = arranged(classes, g, planted.types, planted.disorder, rng)
        block = vectors[types] + rng.standard_normal((*types.shape, planted.dim), dtype=np.float32)
        shared = offset[slide[rows]] + _length(planted.dim, planted.tint, (len(classes),), rng)
        carried = (rng.random(types.shape) < planted.signed) & told[rows][:, None, None]
        block += shared[:, None, None] + carried[..., None] * signs[classes][:, None, None]
        tokens[rows] = block
    return Cohort(tokens, region_class, slide, kind, order, told, offset)
