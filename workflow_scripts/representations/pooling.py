"""Pooling of patch values over the readable patches of a region, and of a slide."""

from typing import NamedTuple

import numpy as np


class Pooled(NamedTuple):
    """A slide's regions float32 `[N, D]`, and the slide itself float32 `[D]`."""

    regions: np.ndarray
    slide: np.ndarray


def pool_mean(values: np.ndarray, read_ok: np.ndarray) -> Pooled:
    """Mean of each region's readable patches, zeros where there are none; of the slide, the mean over its regions.

    Args:
        values: `[N, g, g, D]`, N >= 1.
        read_ok: bool `[N, g, g]`.
    """
    weights = read_ok.astype(np.float32)[..., None]
    total = (values.astype(np.float32) * weights).sum(axis=(1, 2))
    regions = total / np.maximum(weights.sum(axis=(1, 2)), 1)
    return Pooled(regions, regions.mean(axis=0, dtype=np.float64).astype(np.float32))


def pool_max(values: np.ndarray, read_ok: np.ndarray) -> Pooled:
    """Largest value of each region's readable patches, and of the slide's; zeros where there are none.

    Arguments as of `pool_mean`.
    """
    regions = np.where(read_ok[..., None], values, -np.inf).max(axis=(1, 2))
    return Pooled(*(np.where(top == -np.inf, 0, top).astype(np.float32) for top in (regions, regions.max(axis=0))))


def pool_std(values: np.ndarray, read_ok: np.ndarray) -> Pooled:
    """Standard deviation (ddof 0) of each region's readable patches, and of all of the slide's.

    That of the slide is put together from the count, mean and squared deviations of the regions (Chan et al. 1979),
    in float64, so that it equals that of the patches. Zeros where there are none. Arguments as of `pool_mean`.
    """
    patches = [region[ok].astype(np.float64) for region, ok in zip(values, read_ok, strict=True)]
    count = np.array([len(rows) for rows in patches])[:, None]
    share = 1 / np.maximum(count, 1)
    means = np.array([rows.sum(axis=0) for rows in patches]) * share
    within = np.array([((rows - mean) ** 2).sum(axis=0) for rows, mean in zip(patches, means, strict=True)])
    n = max(1, int(count.sum()))
    centre = (count * means).sum(axis=0) / n
    whole = (within + count * (means - centre) ** 2).sum(axis=0) / n
    return Pooled(np.sqrt(within * share).astype(np.float32), np.sqrt(whole).astype(np.float32))


POOLS = {"mean": pool_mean, "max": pool_max, "std": pool_std, "colour": pool_mean}
"""Function of each of `embed.baselines`; `colour` pools the patches' colour, the others their features."""
