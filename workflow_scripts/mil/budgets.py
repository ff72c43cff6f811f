"""Smaller training parts: a fraction of the patients, or a few of each class, each within the next larger one.

Patients that a budget leaves out are `unused`. The tests stay as they are, so that budgets are compared on the same
patients.
"""

from collections.abc import Collection

import numpy as np

from workflow_scripts.core.budgets import fraction_name, shots_name
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.mil.splits import Cohort, Split, patient_strata

_LEARNT = ("train", "val")


def _shuffled(cohort: Cohort, split: Split, parts: Collection[str], seed: int) -> dict[int, list[str]]:
    """Patients of some parts by stratum, in an order that is drawn once for all budgets of the split."""
    inside = np.flatnonzero(np.isin(split.parts, list(parts)))
    of_patient = patient_strata([cohort.patient_ids[i] for i in inside], np.asarray(cohort.strata)[inside])
    names, random = list(of_patient), np.random.default_rng(seed)
    found: dict[int, list[str]] = {}
    for index in random.permutation(len(names)):
        found.setdefault(of_patient[names[index]], []).append(names[index])
    return found


def _with_only(cohort: Cohort, split: Split, budget: str, kept: Collection[str]) -> Split:
    """The split with the training and validation patients that are not kept as unused."""
    dropped = [
        part in _LEARNT and patient not in kept
        for patient, part in zip(cohort.patient_ids, split.parts.tolist(), strict=True)
    ]
    return split._replace(budget=budget, parts=np.where(dropped, "unused", split.parts))


def train_fractions(cohort: Cohort, splits: list[Split], fractions: list[float], seed: int) -> list[Split]:
    """The splits at each fraction of their training and validation patients, stratified, at least one a stratum.

    Within a split, the patients of a smaller fraction are among those of a larger one.

    Args:
        cohort: what is split.
        splits: whole ones.
        fractions: 0 < fraction <= 1.
        seed: seed of the draw.
    """
    made = []
    for fraction in fractions:
        for split in splits:
            kept = set()
            for part in _LEARNT:
                drawn = _shuffled(cohort, split, [part], derive_seed(seed, "fraction", part, split.repeat, split.fold))
                for names in drawn.values():
                    kept.update(names[: max(1, int(fraction * len(names) + 0.5))])
            made.append(_with_only(cohort, split, fraction_name(fraction), kept))
    return made


def few_shot(
    cohort: Cohort, splits: list[Split], patients: list[int], draws: int, seed: int, names: list[str]
) -> list[Split]:
    """A few patients of each class to learn from, drawn anew in each draw, and nothing held back as `val`.

    A draw is a repeat of one split: draw d takes the training part (with `val`) and the test of split d modulo their
    number, which for k folds is fold d mod k of repeat d // k. Within a draw, fewer patients are among more. Where
    labels are by slide, a patient counts for the class of most of its slides.

    Args:
        cohort: what is split; its strata are the classes.
        splits: whole ones, in order of repeat and fold.
        patients: numbers of patients a class.
        draws: number of draws.
        seed: seed of the draws.
        names: classes by stratum, for the message.

    Raises:
        UserError: a training part has fewer patients of a class than are to be drawn.
    """
    made = []
    for number in sorted(patients):
        for draw in range(draws):
            split = splits[draw % len(splits)]
            drawn = _shuffled(cohort, split, _LEARNT, derive_seed(seed, "few_shot", draw))
            for stratum, name in enumerate(names):
                count = len(drawn.get(stratum, []))
                if count < number:
                    raise UserError(
                        f"few_shot: {number} patients of each class are asked for, and the training part of repeat "
                        f"{split.repeat}, fold {split.fold} has {count} of {name!r}; ask for fewer"
                    )
            kept = {patient for found in drawn.values() for patient in found[:number]}
            shots = _with_only(cohort, split, shots_name(number), kept)
            learnt = np.where(shots.parts == "val", "train", shots.parts)
            made.append(shots._replace(repeat=draw, parts=learnt))
    return made
