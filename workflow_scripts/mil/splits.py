"""Patient-level stratified folds. No patient is ever in two parts of a fold."""

from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedKFold

from workflow_scripts.core.seeds import derive_seed


def _validation_patients(strata: np.ndarray, fraction: float, random: np.random.Generator) -> np.ndarray:
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


def patient_parts(
    patients: list[str], strata: np.ndarray, folds: int, seed: int, validation_fraction: float = 0.0
) -> list[dict[str, str]]:
    """Deal patients to `train`, `val` and `test` of each fold; every patient is tested exactly once.

    Args:
        patients: unique patient ids; their order does not matter.
        strata: int64 `[n]`, what the folds are stratified by.
        folds: number of folds.
        seed: seed of the deal.
        validation_fraction: fraction of a fold's training patients that becomes `val`.

    Returns:
        For each fold, the part of each patient.
    """
    order = np.argsort(patients)
    names, strata = [patients[i] for i in order], np.asarray(strata)[order]
    dealer = StratifiedKFold(folds, shuffle=True, random_state=derive_seed(seed, "folds") % 2**32)
    dealt = []
    for fold, (train, test) in enumerate(dealer.split(np.zeros(len(names)), strata)):
        parts = np.full(len(names), "train", dtype=object)
        parts[test] = "test"
        random = np.random.default_rng(derive_seed(seed, "validation", fold))
        parts[train[_validation_patients(strata[train], validation_fraction, random)]] = "val"
        dealt.append(dict(zip(names, parts.tolist(), strict=True)))
    return dealt


def require_no_leak(rows: list[dict[str, Any]]) -> None:
    """Assert that no patient stands in two parts of one fold.

    Raises:
        AssertionError: a patient leaks; the message names it.
    """
    seen: dict[tuple[int, str], str] = {}
    for row in rows:
        part = seen.setdefault((row["fold"], row["patient_id"]), row["part"])
        if part != row["part"]:
            raise AssertionError(f"patient {row['patient_id']} is in {part} and {row['part']} of fold {row['fold']}")


def split_rows(
    slide_ids: list[str],
    patient_ids: list[str],
    strata: np.ndarray,
    folds: int,
    seed: int,
    validation_fraction: float = 0.0,
) -> list[dict[str, Any]]:
    """Rows of `schemas.SPLITS`: per fold one row for every labelled slide, in the order given.

    Args:
        slide_ids: S slide ids.
        patient_ids: S patient ids; slides of a patient share their stratum.
        strata: int64 `[S]`.
        folds: number of folds.
        seed: seed of the deal.
        validation_fraction: fraction of a fold's training patients that becomes `val`.
    """
    of_patient = dict(zip(patient_ids, np.asarray(strata).tolist(), strict=True))
    dealt = patient_parts(list(of_patient), np.array(list(of_patient.values())), folds, seed, validation_fraction)
    rows = [
        {"slide_id": slide, "patient_id": patient, "fold": fold, "part": parts[patient]}
        for fold, parts in enumerate(dealt)
        for slide, patient in zip(slide_ids, patient_ids, strict=True)
    ]
    require_no_leak(rows)
    return rows
