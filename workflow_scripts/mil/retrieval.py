"""Retrieval: whether the slides most like a slide have its class. Nothing is learnt, so there are no folds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from workflow_scripts.core.matching import SUM_DECIMALS, set_similarities
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Scaler
from workflow_scripts.mil.ranking import MEASURES, by_chance, measures, without_each

Likeness = Callable[[int], np.ndarray]
"""Likeness of one slide to all n, float64 `[n]`."""

_BLOCK = 2**20  # pairs of patients that are worked on at a time


@dataclass(frozen=True)
class Cohort:
    """Slides that ask and slides that are found.

    Attributes:
        names: n ids; equally like slides stand in an order that is drawn by them, and by no order of rows.
        target: class of each, int64 `[n]`.
        patient: number of the patient of each from 0 to G - 1, int64 `[n]`.
        weights: what each counts as a query, float64 `[n]`: 1 over the slides of its patient.
        asks: whether it is a query, bool `[n]`.
        found: whether it is searched, bool `[n]`.
    """

    names: list[str]
    target: np.ndarray
    patient: np.ndarray
    weights: np.ndarray
    asks: np.ndarray
    found: np.ndarray


@dataclass(frozen=True)
class Retrieved:
    """Measures of all queries: rows of `MEASURES`, means in which each patient counts the same.

    Attributes:
        values: float64 `[4]`.
        without: float64 `[4, G]`: without each patient, neither asking nor found; NaN where that is not defined.
        chance: float64 `[4]`: expected under random order, the same queries and patients left out.
        again: float64 `[4]`: what the jackknife counts once too often (`counted_again`).
        n_queries: queries that have a slide of their class to find.
        n_alone: queries that have none, which are left out.
    """

    values: np.ndarray
    without: np.ndarray
    chance: np.ndarray
    again: np.ndarray
    n_queries: int
    n_alone: int


def cosine_likeness(bags: Bags, found: np.ndarray) -> Likeness:
    """Cosines of slide vectors, standardised as heads do it: by the patients that are searched, each counting the same.

    Args:
        bags: n slides.
        found: bool `[n]`, slides that are searched.
    """
    vectors = Scaler(bags.take(found))(bags.vectors)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(length > 0, length, 1)
    return lambda query: np.round(unit @ unit[query], SUM_DECIMALS)


def matching_likeness(sets: np.ndarray) -> Likeness:
    """Sums of cosines of sets of prototypes `[n, M, d]` over their best one-to-one matching (`core.matching`).

    Memory is 8 n^2 bytes.
    """
    found = set_similarities(sets)
    return lambda query: found[query]


def retrieve(cohort: Cohort, likeness: Likeness, seed: int) -> Retrieved:
    """Rank the slides of other patients for each query, and measure how many of its class stand in front.

    Memory is 16 G^2 bytes and little more, beside what the likeness holds, and none of it is kept.

    Args:
        cohort: n slides of G patients.
        likeness: of one of them to all.
        seed: of the benchmark.
    """
    n_patients, random = int(cohort.patient.max()) + 1, np.random.default_rng(derive_seed(seed, "retrieval"))
    shape = (len(MEASURES), n_patients)
    classes = np.zeros(n_patients, dtype=np.int64)
    classes[cohort.patient[::-1]] = cohort.target[::-1]  # of the first slide of each
    sums, weights, chance = (np.zeros(len(MEASURES)) for _ in range(3))
    sums_without, weights_without = np.zeros(shape), np.zeros(shape)
    effects = np.zeros((*shape, n_patients), dtype=np.float32)
    n_queries = n_alone = 0
    by_name = np.argsort(np.array(cohort.names, dtype=str), kind="stable")
    for query in by_name[cohort.asks[by_name]]:
        own, place = cohort.patient[query], np.empty(len(by_name), dtype=np.int64)
        place[by_name] = random.permutation(len(by_name))
        relevant, owner = _ranked(cohort, query, likeness(query), place)
        if not relevant.any():
            n_alone += 1
            continue
        n_queries += 1
        now, weight = measures(relevant), cohort.weights[query]
        each = without_each(relevant, owner, n_patients)
        each[:, own] = np.nan  # without its patient there is no query
        sums += weight * np.nan_to_num(now)
        weights += weight * np.isfinite(now)
        chance += weight * np.nan_to_num(by_chance(int(relevant.sum()), len(relevant)))
        sums_without += weight * np.nan_to_num(each)
        weights_without += weight * np.isfinite(each)
        effects[:, own] += weight * np.nan_to_num(now[:, None] - each)
    effects /= np.maximum(weights, 1)[:, None, None]
    again = np.array([counted_again(one, classes) for one in effects])
    values, without = _ratio(sums, weights), _ratio(sums_without, weights_without)
    return Retrieved(values, without, _ratio(chance, weights), again, n_queries, n_alone)


def _ranked(cohort: Cohort, query: int, likeness: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each slide of other patients has the class of a query, bool `[m]`, and its patient, int64 `[m]`.

    The most like first. Equally like ones stand by `place`, which is drawn for each query, so that vectors which tell
    nothing are as good as chance, whatever the order of the slides.
    """
    others = np.flatnonzero(cohort.found & (cohort.patient != cohort.patient[query]))
    order = others[np.lexsort((place[others], -likeness[others]))]
    return cohort.target[order] == cohort.target[query], cohort.patient[order]


def _ratio(sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.where(weights > 0, sums / np.where(weights > 0, weights, 1), np.nan)


def counted_again(effects: np.ndarray, groups: np.ndarray) -> float:
    """What the jackknife counts once too often: the sum over pairs of patients of the squared effect of the pair.

    A query and what it finds move a measure together: of the variance by a query and s patients that are found, the
    jackknife, which leaves out each of the 1 + s in turn, counts 1 + s times as much, and the pairs of the query with
    each of the s make up s of these. Of both patients of a pair the effects on each other are added, and what either
    does to all of a class is taken off: that is no effect of the pair.

    Args:
        effects: of one measure, float32 `[G, G]`: how much each patient (last), by being found, moves the part of the
            measure that is each patient's as a query; 0 of itself.
        groups: number of the class of each patient, int64 `[G]`.
    """
    total, members = 0.0, [np.flatnonzero(groups == group) for group in np.unique(groups)]
    for number, rows in enumerate(members):
        for columns in members[number:]:
            if min(len(rows), len(columns)) >= 3:  # fewer do not tell pairs from single patients
                total += _own_squares(effects, rows, columns) / (2 if columns is rows else 1)
    return total


def _both_ways(effects: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Effects of pairs on each other, float64 `[some, C]` for some of R rows at a time, and which rows these are."""
    height = max(1, _BLOCK // len(columns))
    for start in range(0, len(rows), height):
        part = slice(start, start + height)
        both = effects[np.ix_(rows[part], columns)] + effects[np.ix_(columns, rows[part])].T
        yield part, both.astype(np.float64)


def _own_squares(effects: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float:
    """Sum of the squared effects of pairs of patients of two classes, or one, without what each does to all."""
    of_row, of_column, itself = np.zeros(len(rows)), np.zeros(len(columns)), int(columns is rows)
    for part, block in _both_ways(effects, rows, columns):
        of_row[part] = block.sum(axis=1)
        of_column += block.sum(axis=0)
    mean = of_row.sum() / (len(rows) * (len(columns) - itself))
    of_row, of_column = of_row / (len(columns) - itself), of_column / (len(rows) - itself)
    total = 0.0
    for part, block in _both_ways(effects, rows, columns):
        own = block - of_column - of_row[part, None] + mean
        total += float((own[rows[part, None] != columns] ** 2).sum())
    return total
