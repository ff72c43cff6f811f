"""How much a clustering differs from the one before, and how evenly its prototypes are used."""

from typing import Any

import numpy as np

from workflow_scripts.core.entry import log
from workflow_scripts.slpd.prototypes import SlidePrototypes


def _pairs(counts: np.ndarray) -> np.ndarray:
    """Number of pairs among `counts` things."""
    return counts * (counts - 1) / 2


def adjusted_rand_indices(group: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Adjusted Rand index of two partitions within each of G groups, float64 `[G]`.

    Hubert & Arabie 1985: (index - expected) / (maximum - expected), where the index counts the pairs that are
    together in both partitions. 1 where both are trivial in the same way (all together, all apart, a single
    thing); NaN for a group without anything.

    Args:
        group: int64 `[N]` from 0, the group of each thing; G is one more than the largest.
        one: int64 `[N]` from 0, the parts of one partition.
        other: int64 `[N]` from 0, those of the other.
    """
    g, m, k = (int(x.max(initial=-1)) + 1 for x in (group, one, other))
    together = np.bincount((group * m + one) * k + other, minlength=g * m * k).reshape(g, m, k)
    index = _pairs(together).sum(axis=(1, 2))
    first, second = _pairs(together.sum(axis=2)).sum(axis=1), _pairs(together.sum(axis=1)).sum(axis=1)
    size = together.sum(axis=(1, 2))
    expected = first * (second / np.maximum(_pairs(size), 1))  # in this order exact for trivial partitions
    maximum = (first + second) / 2
    trivial = maximum == expected
    found = np.where(trivial, 1.0, (index - expected) / np.where(trivial, 1.0, maximum - expected))
    return np.where(size > 0, found, np.nan)


def mean_agreement(owner: np.ndarray, one: np.ndarray, other: np.ndarray) -> float | None:
    """Mean adjusted Rand index of two assignments over the slides that have prototypes in both.

    Args:
        owner: int64 `[N]`, the slide of each region, or 0 where the cohort is clustered as a whole.
        one: int64 `[N]`, the prototype of each region, -1 where it has none.
        other: int64 `[N]`, that in the other assignment.

    Returns:
        None where no slide has prototypes in both.
    """
    both = (one >= 0) & (other >= 0)
    if not both.any():
        return None
    return float(np.nanmean(adjusted_rand_indices(owner[both], one[both], other[both])))


def prototype_usage(owner: np.ndarray, assignment: np.ndarray, valid: np.ndarray, count: int) -> dict[str, float]:
    """How evenly the regions of a slide are spread over its prototypes.

    Args:
        owner: int64 `[N]`, the row of `valid` that each region belongs to.
        assignment: int64 `[N]`, the prototype of each region, -1 where it has none.
        valid: bool `[S]`, which slides have prototypes; at least one.
        count: prototypes M of a slide.

    Returns:
        `smallest_share` (of a slide's regions in its rarest prototype: the smallest of all slides),
        `mean_smallest_share` (its mean over slides; 1 / M if evenly spread), `empty_prototypes` (without regions).
    """
    own = assignment >= 0
    sizes = np.bincount(owner[own] * count + assignment[own], minlength=len(valid) * count)
    sizes = sizes.reshape(len(valid), count)[valid]
    rarest = sizes.min(axis=1) / np.maximum(sizes.sum(axis=1), 1)
    return {
        "smallest_share": float(rarest.min()),
        "mean_smallest_share": float(rarest.mean()),
        "empty_prototypes": int((sizes == 0).sum()),
    }


def clustering_facts(
    owner: np.ndarray, found: SlidePrototypes, before: SlidePrototypes | None, stop: float | None
) -> dict[str, Any]:
    """What is recorded of a round's clustering: `agreement` with the one before, `converged`, and the usage.

    Args:
        owner: int64 `[N]`, the row of `found.vectors` that each region belongs to.
        found: this round's prototypes, of at least one slide.
        before: the previous clustering's over the same regions; None in the first.
        stop: agreement from which on the rounds have converged; None never.
    """
    agreement = None if before is None else mean_agreement(owner, before.assignment, found.assignment)
    converged = stop is not None and agreement is not None and agreement >= stop
    usage = prototype_usage(owner, found.assignment, found.valid, found.vectors.shape[1])
    return {"agreement": agreement, "converged": converged, **usage}


def tell_facts(facts: dict[str, Any]) -> None:
    """Log what `clustering_facts` and the effective rank of the features say of a clustering."""
    log.info(
        "share of a slide's regions in its rarest prototype: %.3f at least, %.3f on average; %d prototypes without "
        "regions; effective rank of the features %.1f",
        *(facts[key] for key in ("smallest_share", "mean_smallest_share", "empty_prototypes", "feature_rank")),
    )
    if facts["agreement"] is not None:
        end = "; converged, so the state is handed on from here" if facts["converged"] else ""
        log.info("agreement with the clustering before (adjusted Rand index) %.4f%s", facts["agreement"], end)
