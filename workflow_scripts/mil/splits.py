"""Dealt splits: repeated stratified folds by patient, by site, one site left out, one cohort held out.

A split says of every slide whether it is learnt from or tested. Nothing here depends on the order of the slides: what
is dealt is sorted by name first. No patient is ever in two parts of a split.
"""

from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from workflow_scripts.core.seeds import derive_seed

ALL = "all"
"""The budget of a split whose whole training part is used."""
_QUANTILES = 4


class Cohort(NamedTuple):
    """What is dealt: S slides.

    Attributes:
        slide_ids: S slide ids.
        patient_ids: S patient ids.
        strata: int64 `[S]`, what the splits are stratified by, such as the place of the class.
        values: float64 `[S]`, by whose quantiles the strata are divided further, such as the time to event; or None.
        sites: S names; slides of one site are tested together. None deals patients freely.
        by_slide: whether slides of a patient may be of different strata; the patient goes to one part all the same.
    """

    slide_ids: list[str]
    patient_ids: list[str]
    strata: np.ndarray
    values: np.ndarray | list[float] | None = None
    sites: list[str] | None = None
    by_slide: bool = False


class Split(NamedTuple):
    """Who is learnt from, and who is tested.

    Attributes:
        budget: how much of the training part is used: `all`, `25%` of its patients, `8/class` patients of each class.
        repeat: number of the deal or of the draw, from 0.
        fold: number within the repeat, from 0.
        parts: str `[S]`: train, val, test or unused; empty for a slide that is in no part.
    """

    budget: str
    repeat: int
    fold: int
    parts: np.ndarray


def patient_strata(patient_ids: list[str], strata: np.ndarray) -> dict[str, int]:
    """Stratum of each patient, sorted by patient: that of most of the slides, the first where they are as many.

    Args:
        patient_ids: S patient ids.
        strata: int64 `[S]`.
    """
    of_patient: dict[str, list[int]] = defaultdict(list)
    for patient, stratum in zip(patient_ids, np.asarray(strata).tolist(), strict=True):
        of_patient[patient].append(stratum)
    return {name: min(of_patient[name], key=lambda s: (-of_patient[name].count(s), s)) for name in sorted(of_patient)}


def _by_quantile(strata: np.ndarray, values: np.ndarray, folds: int) -> np.ndarray:
    """Strata int64 `[n]` divided by quantiles of values float64 `[n]`, up to four and never fewer items than folds."""
    finer = np.zeros_like(strata)
    for stratum in np.unique(strata):
        inside = np.flatnonzero(strata == stratum)
        ranks = np.argsort(np.argsort(values[inside], kind="stable"), kind="stable")
        finer[inside] = ranks * max(1, min(_QUANTILES, len(inside) // folds)) // len(inside)
    return strata * _QUANTILES + finer


def _fold_of_groups(cohort: Cohort, folds: int, seed: int) -> dict[str, int]:
    """The fold in which each site, or each patient where there are no sites, is tested."""
    groups = cohort.sites or cohort.patient_ids
    names = cohort.slide_ids if cohort.by_slide else cohort.patient_ids
    first = {name: index for index, name in reversed(list(enumerate(names)))}
    units = [first[name] for name in sorted(first)]
    strata = np.asarray(cohort.strata)[units]
    if not cohort.by_slide:
        strata = np.array(list(patient_strata(cohort.patient_ids, cohort.strata).values()))
    if cohort.values is not None:
        strata = _by_quantile(strata, np.asarray(cohort.values)[units], folds)
    unit_groups = [groups[unit] for unit in units]
    alone = len(set(unit_groups)) == len(units)
    dealer = (StratifiedKFold if alone else StratifiedGroupKFold)(folds, shuffle=True, random_state=seed % 2**32)
    dealt = dealer.split(np.zeros(len(units)), strata, None if alone else unit_groups)
    return {unit_groups[unit]: fold for fold, (_, test) in enumerate(dealt) for unit in test}


def _validation_items(strata: np.ndarray, fraction: float, random: np.random.Generator) -> np.ndarray:
    """Indices of round(fraction * n) items, proportional over strata; each stratum keeps at least one item.

    Args:
        strata: int64 `[n]`.
        fraction: 0 <= fraction < 1.
        random: source of the draw.
    """
    names, counts = np.unique(strata, return_counts=True)
    quota = counts * fraction
    take = np.floor(quota).astype(int)
    missing = round(len(strata) * fraction) - int(take.sum())
    for position in np.argsort(take - quota, kind="stable")[:missing]:  # largest remainder
        take[position] += 1
    take = np.minimum(take, counts - 1)
    drawn = [
        random.permutation(np.flatnonzero(strata == name))[:count] for name, count in zip(names, take, strict=True)
    ]
    return np.sort(np.concatenate(drawn))


def _split(cohort: Cohort, tested: np.ndarray, repeat: int, fold: int, fraction: float, seed: int) -> Split:
    """The split that tests the slides `tested` (bool `[S]`), with a fraction of the other patients as `val`."""
    of_patient = patient_strata(cohort.patient_ids, cohort.strata)
    in_test = {patient for patient, is_tested in zip(cohort.patient_ids, tested, strict=True) if is_tested}
    learning = [name for name in of_patient if name not in in_test]
    parts = dict.fromkeys(in_test, "test") | dict.fromkeys(learning, "train")
    random = np.random.default_rng(derive_seed(seed, "validation", repeat, fold))
    for index in _validation_items(np.array([of_patient[name] for name in learning]), fraction, random):
        parts[learning[index]] = "val"
    return Split(ALL, repeat, fold, np.array([parts[name] for name in cohort.patient_ids]))


def deal_folds(cohort: Cohort, folds: int, repeats: int, seed: int, validation_fraction: float = 0.0) -> list[Split]:
    """Stratified folds by patient, dealt anew in each repeat; every patient is tested once a repeat.

    With sites, all slides of a site are in one fold, and the strata are balanced as well as that allows; so they are
    by slide, where patients are the groups (scikit-learn's StratifiedGroupKFold).

    Args:
        cohort: what is dealt; every stratum has at least as many patients as there are folds.
        folds: number of folds.
        repeats: number of deals.
        seed: seed of all deals.
        validation_fraction: fraction of a split's training patients that becomes `val`.
    """
    groups = cohort.sites or cohort.patient_ids
    splits = []
    for repeat in range(repeats):
        fold_of = _fold_of_groups(cohort, folds, derive_seed(seed, "folds", repeat))
        folds_of_slides = np.array([fold_of[group] for group in groups])
        splits += [
            _split(cohort, folds_of_slides == fold, repeat, fold, validation_fraction, seed) for fold in range(folds)
        ]
    return splits


def require_no_leak(patient_ids: list[str], splits: list[Split]) -> None:
    """Assert that no patient stands in two parts of one split.

    Raises:
        AssertionError: a patient leaks; the message names it.
    """
    for split in splits:
        seen: dict[str, str] = {}
        for patient, part in zip(patient_ids, split.parts.tolist(), strict=True):
            if part and seen.setdefault(patient, part) != part:
                where = f"repeat {split.repeat}, fold {split.fold}, budget {split.budget}"
                raise AssertionError(f"patient {patient} is in {seen[patient]} and {part} of {where}")


def split_columns(cohort: Cohort, splits: list[Split]) -> dict[str, list[Any]]:
    """Columns of `schemas.SPLITS`: for each split one row for every slide that is in a part of it."""
    columns: dict[str, list[Any]] = {
        name: [] for name in ("slide_id", "patient_id", "repeat", "fold", "budget", "part")
    }
    for split in splits:
        kept = np.flatnonzero(split.parts != "").tolist()
        columns["slide_id"] += [cohort.slide_ids[index] for index in kept]
        columns["patient_id"] += [cohort.patient_ids[index] for index in kept]
        columns["part"] += split.parts[kept].tolist()
        for name in ("repeat", "fold", "budget"):
            columns[name] += [getattr(split, name)] * len(kept)
    return columns
