"""From splits to fits: which bags a head learns from and predicts, for every split and head seed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from workflow_scripts.core.budgets import WHOLE, is_few_shot
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.mil.head import Job


class Fit(NamedTuple):
    """A fit and where it stands."""

    budget: str
    repeat: int
    fold: int
    seed: int
    job: Job


def _by_split(splits: pa.Table, bag_of: dict[str, int]) -> list[tuple[str, int, int, dict[str, np.ndarray]]]:
    """Budget, repeat, fold and the bags of each part, sorted int64, in the order of the table."""
    columns = [splits[name].to_pylist() for name in ("budget", "repeat", "fold", "part", "slide_id")]
    found: dict[tuple[str, int, int], dict[str, set[int]]] = {}
    for budget, repeat, fold, part, slide in zip(*columns, strict=True):
        found.setdefault((budget, repeat, fold), {}).setdefault(part, set()).add(bag_of[slide])
    return [
        (*key, {part: np.array(sorted(bags), dtype=np.int64) for part, bags in parts.items()})
        for key, parts in found.items()
    ]


def fits(head: str, splits: pa.Table, bag_of: dict[str, int], seed: int, seeds: int) -> list[Fit]:
    """Every fit of a head. Its seed depends on head and split, not on the representation.

    Args:
        head: name of the registry.
        splits: rows of `schemas.SPLITS`.
        bag_of: number of the bag of each slide.
        seed: seed of the benchmark.
        seeds: number of head seeds.
    """
    none = np.empty(0, dtype=np.int64)
    found = []
    for budget, repeat, fold, parts in _by_split(splits, bag_of):
        train, validation, test = (parts.get(name, none) for name in ("train", "val", "test"))
        for number in range(seeds):
            chance = derive_seed(seed, "head", head, budget, repeat, fold, number)
            found.append(Fit(budget, repeat, fold, number, Job(train, validation, test, chance)))
    return found


def seen_in_tests(splits: pa.Table, saw: Sequence[str | Sequence[str]]) -> list[list[int]]:
    """Slides that pretraining saw and slides that are tested, `[seen, tested]` for each fold of the first repeat.

    Args:
        splits: rows of `schemas.SPLITS`.
        saw: as the metadata of embeddings tells it (`core.embeddings.seen_facts`); one for all folds, or one each.
    """
    found = []
    slides = sorted(set(splits["slide_id"].to_pylist()))
    numbers = {slide: number for number, slide in enumerate(slides)}
    for budget, repeat, fold, parts in _by_split(splits, numbers):
        if budget != WHOLE or repeat != 0:
            continue
        told = saw[fold if len(saw) > 1 else 0]
        tested = [slides[number] for number in parts.get("test", [])]
        known = set(tested) if told == "all" else set() if told == "none" else set(told)
        found.append([len(known & set(tested)), len(tested)])
    return found


def require_unseen(representation: str, saw: Sequence[Sequence[int]]) -> None:
    """Refuse embeddings that are trained for each fold, and have seen slides that it tests.

    Args:
        representation: its name.
        saw: from `seen_in_tests`.

    Raises:
        UserError: some were seen.
    """
    for fold, (seen, _) in enumerate(saw):
        if seen:
            raise UserError(
                f"{representation} is pretrained for each fold, yet for fold {fold} on {seen} of the slides that it "
                "tests, so these are embeddings of other splits; run again with --forcerun choose_slides"
            )


def budget_facts(splits: pa.Table, patient_of: dict[str, str], design: str) -> dict[str, dict[str, Any]]:
    """What the inference has to know of the splits of each budget: `design` and `learnt_per_left` (`mil.variance`).

    Few-shot budgets are draws, whatever the whole splits are: each learns from other patients.

    Args:
        splits: rows of `schemas.SPLITS`.
        patient_of: patient of each slide.
        design: of the whole splits.
    """
    numbers = {patient: number for number, patient in enumerate(dict.fromkeys(patient_of.values()))}
    by_patient = {slide: numbers[patient] for slide, patient in patient_of.items()}
    ratios: dict[str, list[float]] = {}
    for budget, _, _, parts in _by_split(splits, by_patient):
        everyone = np.unique(np.concatenate(list(parts.values())))
        # of a fraction, the whole training part: less is learnt from, and what the repeats show is no less for it
        pool = [parts.get(name, np.empty(0, np.int64)) for name in ("train", "val", "unused")]
        learnt = np.unique(np.concatenate(pool))
        tested = np.unique(parts.get("test", np.empty(0, np.int64)))
        ours, others = len(learnt), len(everyone) - len(learnt)
        if design == "draws" or is_few_shot(budget):
            ours, others = len(everyone) - len(tested), len(tested)
        ratios.setdefault(budget, []).append(ours / max(others, 1))
    return {
        budget: {"design": "draws" if is_few_shot(budget) else design, "learnt_per_left": float(np.mean(values))}
        for budget, values in ratios.items()
    }
