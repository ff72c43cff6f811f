"""From splits to fits: which bags a head learns from and predicts, for every split and head seed."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.mil.head import Job

_FEW_SHOT = "/class"  # how the names of few-shot budgets end


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


def budget_facts(splits: pa.Table, patient_of: dict[str, str], design: str) -> dict[str, dict[str, Any]]:
    """What the inference has to know of the splits of each budget: `design` and `learnt_per_left` (`mil.intervals`).

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
        if design == "draws" or budget.endswith(_FEW_SHOT):
            ours, others = len(everyone) - len(tested), len(tested)
        ratios.setdefault(budget, []).append(ours / max(others, 1))
    return {
        budget: {"design": "draws" if budget.endswith(_FEW_SHOT) else design, "learnt_per_left": float(np.mean(values))}
        for budget, values in ratios.items()
    }
