"""Splits of a task's slides: stratified folds by patient or by site, dealt anew in each repeat, and given ones.

A split says of every slide whether it is learnt from or tested. Nothing here depends on the order of the slides: what
is dealt is sorted by name first. No patient is ever in two parts of a dealt split.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from workflow_scripts.core.budgets import WHOLE
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.given_splits import GivenSplit
from workflow_scripts.core.seeds import derive_seed

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


def _hold_back(cohort: Cohort, split: Split, fraction: float, seed: int) -> Split:
    """The split with a fraction of its training patients as `val`, unless it has such a part already."""
    if fraction == 0 or "val" in split.parts:
        return split
    train = np.flatnonzero(split.parts == "train")
    of_patient = patient_strata([cohort.patient_ids[i] for i in train], np.asarray(cohort.strata)[train])
    names, strata = list(of_patient), np.array(list(of_patient.values()))
    random = np.random.default_rng(derive_seed(seed, "validation", split.repeat, split.fold))
    held = {names[index] for index in _validation_items(strata, fraction, random)}
    parts = split.parts.copy()
    parts[[i for i in train if cohort.patient_ids[i] in held]] = "val"
    return split._replace(parts=parts)


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
        of_slide = np.array([fold_of[group] for group in groups])
        dealt = (Split(WHOLE, repeat, fold, np.where(of_slide == fold, "test", "train")) for fold in range(folds))
        splits += [_hold_back(cohort, split, validation_fraction, seed) for split in dealt]
    return splits


def as_given(cohort: Cohort, given: Iterable[GivenSplit], seed: int, validation_fraction: float = 0.0) -> list[Split]:
    """Given splits as arrays; those without a part `val` get one of the given fraction.

    Args:
        cohort: what they split.
        given: parts by slide; slides without one are in no part.
        seed: seed of the draw of validation patients.
        validation_fraction: fraction of a split's training patients that becomes `val`.
    """
    splits = (
        Split(WHOLE, split.repeat, split.fold, np.array([split.parts.get(name, "") for name in cohort.slide_ids]))
        for split in given
    )
    return [_hold_back(cohort, split, validation_fraction, seed) for split in splits]


def require_learnable(cohort: Cohort, splits: list[Split], needed: Mapping[int, str]) -> None:
    """Refuse splits that a deal with its groups kept together has left without tests or without a class.

    Args:
        cohort: what is split.
        splits: whole ones.
        needed: strata that every training part must hold, with their names.

    Raises:
        UserError: a split has no test slides, or lacks one of these strata to learn from.
    """
    for split in splits:
        learnt = set(np.asarray(cohort.strata)[split.parts == "train"].tolist())
        missing = [name for stratum, name in needed.items() if stratum not in learnt]
        if missing or "test" not in split.parts:
            lacks = f"nothing to learn {missing[0]!r} from" if missing else "nothing to test"
            raise UserError(
                f"splits: repeat {split.repeat}, fold {split.fold} has {lacks}, for the sites or patients that are "
                "kept together are too unequal; lower splits.folds, change benchmark.seed, or drop splits.preserve"
            )


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
