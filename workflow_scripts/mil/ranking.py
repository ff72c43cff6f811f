"""Measures of a ranking of slides by their likeness to a query: average precision and precision at k.

Of all, also their value without each patient, exactly and at once, by which intervals are made (jackknife), and their
value under a random order.
"""

import math

import numpy as np

CUTOFFS = (1, 5, 10)
MEASURES = ("mean_average_precision", *(f"precision_at_{k}" for k in CUTOFFS))
"""Names in `core.tasks.RETRIEVAL` of what the rows of all arrays here stand for."""


def measures(relevant: np.ndarray) -> np.ndarray:
    """`MEASURES` of one ranking, float64 `[4]`: the first is its average precision.

    Average precision is the mean, over the relevant, of the share of relevant ones down to each. Precision at k is not
    defined for rankings of fewer than k; nothing is where none is relevant.

    Args:
        relevant: bool `[m]`, best match first.
    """
    if not relevant.any():
        return np.full(len(MEASURES), math.nan)
    places = np.flatnonzero(relevant)
    precision = (np.arange(1, len(places) + 1) / (places + 1)).mean()
    cut = [relevant[:k].mean() if len(relevant) >= k else math.nan for k in CUTOFFS]
    return np.array([precision, *cut])


def by_chance(n_relevant: int, n_ranked: int) -> np.ndarray:
    """Expected `MEASURES` of a ranking in random order, float64 `[4]`, exactly.

    Each place holds a relevant slide with probability R / m, and where place i does, of the i - 1 before it
    (i - 1) (R - 1) / (m - 1) are relevant on average. So the average precision is expected to be the mean over i of
    (1 + (i - 1) (R - 1) / (m - 1)) / i.

    Args:
        n_relevant: R.
        n_ranked: m.
    """
    if n_relevant == 0:
        return np.full(len(MEASURES), math.nan)
    place = np.arange(1, n_ranked + 1)
    before = (place - 1) * (n_relevant - 1) / max(n_ranked - 1, 1)
    share = n_relevant / n_ranked
    return np.array([((1 + before) / place).mean(), *(share if n_ranked >= k else math.nan for k in CUTOFFS)])


def without_each(relevant: np.ndarray, owner: np.ndarray, n_patients: int) -> np.ndarray:
    """`MEASURES` of one ranking without the slides of each of G patients, float64 `[4, G]`.

    Args:
        relevant: bool `[m]`, best match first.
        owner: int64 `[m]`, number of the patient of each.
        n_patients: G.
    """
    owned = np.bincount(owner, minlength=n_patients)
    hits = np.bincount(owner, relevant, n_patients)
    found = np.empty((len(MEASURES), n_patients))
    found[0] = _average_precision_without(relevant, owner, n_patients)
    for row, k in enumerate(CUTOFFS, start=1):
        found[row] = relevant[:k].mean()
        for patient in np.unique(owner[:k]):
            top = owner[: k + owned[patient]] != patient
            found[row, patient] = relevant[: k + owned[patient]][top][:k].mean() if top.any() else math.nan
        found[row, len(relevant) - owned < k] = math.nan
    found[:, hits == relevant.sum()] = math.nan
    return found


def _average_precision_without(relevant: np.ndarray, owner: np.ndarray, n_patients: int) -> np.ndarray:
    """Average precision of one ranking without the slides of each of G patients, float64 `[G]`; arguments as above.

    Behind the t-th slide of a patient, b of its t relevant, a relevant slide at place j with c relevant down to it
    moves to place j - t with c - b. So the sum of (c - b) / (j - t) up to the patient's next slide is a difference of
    running sums that are the same for all patients.
    """
    m, place = len(relevant), np.arange(1, len(relevant) + 1)
    count = np.cumsum(relevant)
    order = np.argsort(owner, kind="stable")
    own, at = owner[order], order + 1
    first = np.r_[True, own[1:] != own[:-1]]
    taken = np.arange(m) - np.maximum.accumulate(np.where(first, np.arange(m), 0)) + 1  # t
    hit = np.cumsum(relevant[order])
    lost = hit - np.maximum.accumulate(np.where(first, hit - relevant[order], 0))  # b
    until = np.where(np.r_[first[1:], True], m, np.r_[at[1:] - 1, m])
    sums = np.zeros(n_patients)
    for t in range(taken.max() + 1):
        behind = relevant & (place > t)
        weight = np.where(behind, 1 / np.maximum(place - t, 1), 0.0)
        one, many = np.r_[0, np.cumsum(weight)], np.r_[0, np.cumsum(weight * count)]
        if t == 0:
            sums[own[first]] = many[at[first] - 1]
            whole = many[-1]
            continue
        rows = np.flatnonzero(taken == t)
        start, end = at[rows], until[rows]
        part = many[end] - many[start] - lost[rows] * (one[end] - one[start])
        sums += np.bincount(own[rows], part, n_patients)
    there = np.bincount(owner, minlength=n_patients) > 0
    left = count[-1] - np.bincount(owner, relevant, n_patients)
    return np.where(there, sums, whole) / np.where(left > 0, left, math.nan)
