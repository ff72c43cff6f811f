"""What the intervals of retrieval cover, on cohorts drawn from a known model.

    python -m tests.benchmarks.retrieval_coverage --cohorts 400 --patients 24 60 200 --output retrieval.json

Each cohort has two representations of equal worth: the same signal, noise of their own, a part of it in common to the
slides of a patient. Likeness, measures and intervals are the workflow's. Of each condition and metric it prints how
often the 95 % interval holds the value that is expected (the mean over all cohorts), what a random order is expected to
have, and how often the difference of the two representations is called one (p < 0.05). Conditions that are in the
output already are not computed again.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.core.tasks import METRICS
from workflow_scripts.mil.bags import Bags, patient_weights
from workflow_scripts.mil.intervals import difference, interval
from workflow_scripts.mil.ranking import MEASURES
from workflow_scripts.mil.retrieval import Cohort, Likeness, Retrieved, cosine_likeness, matching_likeness, retrieve
from workflow_scripts.mil.retrieval_cells import retrieval_cells, retrieval_facts, retrieval_table
from workflow_scripts.mil.variance import Scores

DIM, CARRIERS, SIGNAL, PROTOTYPES = 16, 4, 0.5, 4
COMMON = 0.5  # share of the noise that slides of a patient have in common


@dataclass(frozen=True)
class Condition:
    """What cohorts are drawn from: patients, whether classes can be told, classes, share of the rarest, slides.

    `positive` is the share of the first of two classes. With `several`, a third of the patients has two slides and a
    sixth has four. With `matching`, a slide is a set of prototypes, in an order of its own.
    """

    patients: int
    signal: bool
    classes: int = 2
    positive: float = 0.5
    several: bool = False
    matching: bool = False

    @property
    def name(self) -> str:
        parts = ["matching" if self.matching else "cosine", f"n {self.patients}", "signal" if self.signal else "null"]
        parts += [f"{self.classes} classes"] if self.classes != 2 else []
        parts += [f"{self.positive:.0%} of the rarer"] if self.positive != 0.5 else []
        return ", ".join(parts + (["several slides"] if self.several else []))


def conditions(patients: list[int]) -> list[Condition]:
    """Two and four classes, a rare class, several slides a patient, and sets of prototypes."""
    both = (False, True)
    found = [Condition(n, signal) for n in patients for signal in both]
    found += [Condition(n, signal, classes=4) for n in patients for signal in both]
    found += [Condition(n, signal, positive=0.15) for n in patients if n >= 60 for signal in both]
    found += [Condition(n, signal, several=True) for n in patients for signal in both]
    return found + [Condition(n, signal, matching=True) for n in patients if n <= 200 for signal in both]


def draw(condition: Condition, random: np.random.Generator) -> tuple[Cohort, list[Likeness]]:
    """A cohort, and two likenesses that tell equally much of its classes."""
    n = condition.patients
    of_patient = np.arange(n) % condition.classes
    if condition.positive != 0.5:
        of_patient = (np.arange(n) >= round(n * condition.positive)).astype(int)
    number = np.arange(n) // condition.classes  # so that all classes have the same slides a patient
    slides = np.where(number % 6 == 5, 4, np.where(number % 3 == 0, 2, 1)) if condition.several else np.ones(n, int)
    patient = np.repeat(np.arange(n), slides)
    target = of_patient[patient]
    weights = patient_weights([str(one) for one in patient])
    everyone = np.ones(len(patient), dtype=bool)
    cohort = Cohort([f"s{i:05d}" for i in range(len(patient))], target, patient, weights, everyone, everyone)
    return cohort, [_likeness(condition, cohort, random) for _ in range(2)]


def _likeness(condition: Condition, cohort: Cohort, random: np.random.Generator) -> Likeness:
    sets, n = PROTOTYPES if condition.matching else 1, len(cohort.names)
    place = np.zeros((condition.classes, DIM))
    for number in range(condition.classes):
        place[number, :CARRIERS] = np.where(np.arange(CARRIERS) % condition.classes == number, 2, -1)
    signal = place[cohort.target] * (SIGNAL if condition.signal else 0)
    shared = random.standard_normal((condition.patients, sets, DIM))[cohort.patient] * np.sqrt(COMMON)
    noise = shared + random.standard_normal((n, sets, DIM)) * np.sqrt(1 - COMMON)
    vectors = (signal[:, None] + noise).astype(np.float32)
    if condition.matching:
        return matching_likeness(random.permuted(vectors, axis=1))
    patients = [str(one) for one in cohort.patient]
    bags = Bags(vectors[:, 0], list(vectors), cohort.target, condition.classes, cohort.weights, patients)
    return cosine_likeness(bags, cohort.found)


def scores_of(cohort: Cohort, found: Retrieved) -> dict[str, Scores]:
    """Scores of each metric, as the workflow makes them of its table."""
    ids = [f"p{i:05d}" for i in range(int(cohort.patient.max()) + 1)]
    target = [f"c{one}" for one in cohort.target]
    facts, groups = retrieval_facts({"one": found}, "classification", target, cohort.patient, ids)
    cell = retrieval_cells(retrieval_table({"one": found}, ids, groups), facts)[0]
    return {metric: scored.scores for (_, metric), scored in cell.scored.items()}


def cohort_numbers(condition: Condition, seed: int) -> dict[str, list[float]]:
    """By metric: value, low and high of both representations, the p value of their difference, and chance."""
    cohort, likenesses = draw(condition, np.random.default_rng(seed))
    found = [retrieve(cohort, likeness, seed) for likeness in likenesses]
    one, two = (scores_of(cohort, each) for each in found)
    numbers = {}
    for row, metric in enumerate(MEASURES):
        bounds = METRICS[metric].bounds
        both = [interval(scores[metric], bounds) for scores in (one, two)]
        p = difference(one[metric], two[metric], bounds)[1]
        numbers[metric] = [value for each in both for value in (each.value, each.low, each.high)]
        numbers[metric] += [p, float(found[0].chance[row])]
    return numbers


def run(condition: Condition, cohorts: int) -> dict[str, Any]:
    """All cohorts of one condition."""
    start, drawn = time.perf_counter(), [cohort_numbers(condition, seed) for seed in range(cohorts)]
    metrics = {}
    for metric in MEASURES:
        rows = np.array([one[metric] for one in drawn])
        values, low, high = (rows[:, [place, place + 3]].ravel() for place in range(3))
        expected = values.mean()
        metrics[metric] = {
            "expected": float(expected),
            "chance": float(rows[:, 7].mean()),
            "coverage": float(((low <= expected) & (expected <= high)).mean()),
            "width": float((high - low).mean()),
            "different": float((rows[:, 6] < 0.05).mean()),
        }
    return {"cohorts": cohorts, "seconds": round(time.perf_counter() - start, 1), "metrics": metrics}


def lines(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The results as a Markdown table."""
    yield "| condition | metric | cohorts | expected | by chance | covers | width | called different |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, result in results.items():
        for metric, row in result["metrics"].items():
            keys = ("expected", "chance", "coverage", "width", "different")
            numbers = " | ".join(f"{row[key]:.3f}" for key in keys)
            yield f"| {name} | {METRICS[metric].label} | {result['cohorts']} | {numbers} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=400)
    parser.add_argument("--patients", type=int, nargs="+", default=[24, 60, 200])
    parser.add_argument("--output", type=Path, required=True, help="JSON, read and completed")
    args = parser.parse_args()
    results = json.loads(args.output.read_text()) if args.output.exists() else {}
    for condition in conditions(args.patients):
        if condition.name not in results:
            results[condition.name] = run(condition, args.cohorts)
            args.output.write_text(json.dumps(results, indent=1))
            print(condition.name, results[condition.name]["seconds"], "s", flush=True)
    print("\n".join(lines(results)))


if __name__ == "__main__":
    main()
