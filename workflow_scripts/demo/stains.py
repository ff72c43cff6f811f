"""From amounts of stain to colour, with the staining of a batch and a slide; and textures made equal in colour."""

from typing import NamedTuple

import numpy as np

STEP = 0.01  # amount of stain of one unit of a uint8 plane
# Optical densities (natural logarithm) of haematoxylin and eosin in R, G, B; widely used reference vectors
# (Macenko et al. 2009, "A method for normalizing histology slides for quantitative analysis").
HAEMATOXYLIN = (0.5626, 0.7201, 0.4062)
EOSIN = (0.2159, 0.8012, 0.5581)
_LOW, _HIGH = 10, 245  # room for noise without overflow


class Staining(NamedTuple):
    """How one slide was stained and scanned.

    Attributes:
        vectors: [2, 3] optical density of a unit of haematoxylin and of eosin in R, G, B.
        white: [3] brightness of the glass, 0..255.
    """

    vectors: np.ndarray
    white: np.ndarray


REFERENCE = Staining(np.array([HAEMATOXYLIN, EOSIN]), np.array([243.0, 243.0, 243.0]))


def draw_staining(shared: np.random.Generator, own: np.random.Generator, batch: int) -> Staining:
    """Staining of a slide of batch 0 (more haematoxylin, bluer) or 1 (more eosin, redder).

    Half of the variance comes from `shared`, which one slide of each subtype draws from alike, so that
    among a few slides chance does not tie the staining to the subtype; the rest is the slide's own.
    """
    sign = 1 - 2 * batch
    turn = np.array([[0.05, 0.0, -0.04], [0.03, -0.02, 0.0]]) * sign
    log_strength = np.array([0.10, -0.10]) * sign
    for rng, part in ((shared, 0.7), (own, 0.7)):
        turn = turn + part * rng.normal(0, 0.025, (2, 3))
        log_strength = log_strength + part * (rng.normal(0, 0.11, 2) + rng.normal(0, 0.08))
    vectors = REFERENCE.vectors + turn
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Staining(vectors * np.exp(log_strength)[:, None], 240 + own.uniform(-4, 4) + own.uniform(-1, 1, 3))


def colour_table(staining: Staining) -> np.ndarray:
    """Colour [65536, 3], uint8, of each pair of amounts (haematoxylin * 256 + eosin, in `STEP`); Beer and Lambert."""
    amount = np.arange(256) * STEP
    depth = amount[:, None, None] * staining.vectors[0] + amount[None, :, None] * staining.vectors[1]
    colour = np.rint(staining.white * np.exp(-depth)).clip(_LOW, _HIGH)
    return colour.astype(np.uint8).reshape(-1, 3)


def to_units(amounts: np.ndarray) -> np.ndarray:
    """Amounts of stain as uint8 planes in units of `STEP`."""
    return np.rint(amounts / STEP).clip(0, 255).astype(np.uint8)


def to_rgb(planes: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Colour [h, w, 3] of haematoxylin and eosin planes [2, h, w], uint8."""
    index = planes[0].astype(np.uint16)
    index <<= 8
    index |= planes[1]
    return table[index]


def match_colour(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Make two canvases (uint8 [2, h, w] of equal size) equal in the amounts of each stain.

    Each stain's distribution is moved monotonically to the two canvases' mean quantiles, so that mean colour and
    its spread differ only as far as the two stains go together differently.
    """
    matched = [np.empty_like(first), np.empty_like(second)]
    for stain in range(2):
        ranks = (np.arange(1024) + 0.5) / 1024
        target = 0.5 * (np.quantile(first[stain], ranks) + np.quantile(second[stain], ranks))
        for out, canvas in zip(matched, (first, second), strict=True):
            counts = np.bincount(canvas[stain].ravel(), minlength=256)
            middle = (np.cumsum(counts) - 0.5 * counts) / canvas[stain].size
            out[stain] = np.rint(np.interp(middle, ranks, target)).astype(np.uint8)[canvas[stain]]
    return matched[0], matched[1]
