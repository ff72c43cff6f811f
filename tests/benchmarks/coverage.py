"""What the intervals of the benchmark cover, on cohorts drawn from a known model.

    python -m tests.benchmarks.coverage --cohorts 400 --patients 24 60 --output coverage.json

Each cohort has two representations of equal worth: the same signal, noise of their own. Folds, heads, metrics and
intervals are the workflow's. Of each condition and metric it prints how often the 95 % interval holds the value that
is expected (the mean over all cohorts), and how often the difference of the two is called one. Conditions that are in
the output already are not computed again, so an interrupted run goes on; with `--predictions FOLDER` what the heads
predict is kept there, so that other intervals or metrics of the same cohorts cost no fits.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from workflow_scripts.config import HeadSettings
from workflow_scripts.core.heads import HEADS
from workflow_scripts.core.tasks import KINDS, METRICS
from workflow_scripts.mil.bags import Bags, target_array
from workflow_scripts.mil.crossval import predict_jobs
from workflow_scripts.mil.head import Job
from workflow_scripts.mil.intervals import covers, difference, interval
from workflow_scripts.mil.metrics import metrics_of
from workflow_scripts.mil.metrics.survival import brier_times
from workflow_scripts.mil.predictions import Predicted, prediction_table, read_tested
from workflow_scripts.mil.scoring import score
from workflow_scripts.mil.splits import Cohort, deal_folds
from workflow_scripts.mil.variance import Scores

DIM, CARRIERS = 16, 4
SIGNAL = {"classification": 0.35, "ordinal": 0.6, "survival": 0.4, "regression": 0.4}
# Choices by inner folds are part of the procedure too; they are fixed here for their cost.
FIXED = {"logistic": {"c": 1.0}, "ridge": {"alpha": 10.0}}  # of DIM values; with more the penalty grows in proportion


@dataclass(frozen=True)
class Condition:
    """What cohorts are drawn from: head, kind of task, patients, whether labels can be learnt, share of positives.

    Of ordinal tasks `positive` is the share of the highest of three grades, and the one below has twice as many; 0.5
    stands for equal shares. `shared` is the share of the noise's variance that both representations have in common, as
    two models of the same patches have. Vectors have `width` values; penalties grow with it.
    """

    head: str
    kind: str
    patients: int
    signal: bool
    positive: float = 0.5
    shared: float = 0.0
    width: int = DIM

    @property
    def name(self) -> str:
        parts = [self.kind, self.head, f"n {self.patients}", "signal" if self.signal else "null"]
        parts += [f"{self.positive:.0%} positive"] if self.positive != 0.5 else []
        parts += [f"{self.width} values"] if self.width != DIM else []
        return ", ".join(parts + ([f"{self.shared:.0%} shared"] if self.shared else []))


def conditions(patients: list[int]) -> list[Condition]:
    """Every kind of task with a head on vectors, a rare class, noise in common, and a network on small cohorts."""
    classification = ("logistic", "classification")
    pairs = [classification, ("knn", "classification")]
    pairs += [("logistic", "ordinal"), ("cox", "survival"), ("ridge", "regression")]
    both = (False, True)
    found = [Condition(*pair, n, signal) for n in patients for pair in pairs for signal in both]
    rare = [(classification, n) for n in patients if n >= 60] + [(pairs[2], n) for n in patients if n >= 200]
    found += [Condition(*pair, n, signal, 0.15) for pair, n in rare for signal in both]
    found += [
        Condition(*pair, n, True, shared=0.8) for n in (60, 200) for pair in pairs if n in patients and pair[0] != "knn"
    ]
    wide = [pair for pair in pairs if pair[0] in FIXED]
    found += [Condition(*pair, n, s, width=192) for n in (60, 200) for pair in wide for s in both if n in patients]
    return found + [Condition("abmil", "classification", n, signal) for n in patients if n <= 60 for signal in both]


def draw(condition: Condition, random: np.random.Generator) -> tuple[list[Any], list[np.ndarray]]:
    """Labels of a cohort, and two representations float32 `[n, width]` that tell equally much of them."""
    n = condition.patients
    if condition.kind == "classification":
        target = (np.arange(n) < round(n * condition.positive)).astype(int)
        hidden, labels = 2.0 * target - 1, [("a", "b")[i] for i in target]
    elif condition.kind == "ordinal":
        grades = np.arange(n) / n
        target = (grades > 1 - 3 * condition.positive).astype(int) + (grades > 1 - condition.positive)
        target = np.arange(n) % 3 if condition.positive == 0.5 else target
        hidden, labels = target - 1.0, [("G1", "G2", "G3")[i] for i in target]
    else:
        hidden = random.standard_normal(n)
        death, censoring = random.exponential(np.exp(-hidden)), random.exponential(2.0, n)
        survival = list(zip(np.minimum(death, censoring).tolist(), (death <= censoring).tolist(), strict=True))
        labels = survival if condition.kind == "survival" else hidden.tolist()
    strength = SIGNAL[condition.kind] if condition.signal else 0.0
    carried = np.zeros((n, condition.width))
    carried[:, :CARRIERS] = strength * hidden[:, None]
    own = [random.standard_normal((n, condition.width)) for _ in range(2)]
    common = random.standard_normal((n, condition.width)) * math.sqrt(condition.shared)
    return labels, [(carried + common + noise * math.sqrt(1 - condition.shared)).astype(np.float32) for noise in own]


def scores_of_cohort(
    condition: Condition, repeats: int, folds: int, seed: int, kept: Path | None = None
) -> dict[str, list[Scores]]:
    """Scores of both representations by each metric with intervals; `kept` is where predictions are kept."""
    kind = KINDS[condition.kind]
    labels, representations = draw(condition, np.random.default_rng(seed))
    names = [f"p{i:04d}" for i in range(condition.patients)]
    classes = sorted(set(labels)) if kind.has_classes else []
    groups = kind.groups(labels)
    strata = np.array([sorted(set(groups)).index(group) for group in groups])
    finer = None if kind.finer is None else [kind.finer(label) for label in labels]
    splits = deal_folds(Cohort(names, names, strata, finer), folds, repeats, seed)
    columns = [list(part) for part in zip(*labels, strict=True)] if isinstance(labels[0], tuple) else [labels]
    truth = {column.name: values for column, values in zip(kind.truth, columns, strict=True)}
    table = pa.table({"slide_id": names, "patient_id": names} | truth)
    found = []
    for number, vectors in enumerate(representations):
        bags = _bags(vectors, table, kind, classes, condition.head, seed)
        jobs = [Job(*(np.flatnonzero(s.parts == part) for part in ("train", "val", "test")), seed) for s in splits]
        values = _predicted(condition, bags, jobs, kept / f"{condition.name}_{seed}_{number}.npz" if kept else None)
        tests = [
            Predicted("all", s.repeat, s.fold, 0, job.test, value)
            for s, job, value in zip(splits, jobs, values, strict=True)
        ]
        predicted = prediction_table(condition.head, kind, table, tests)
        tested = read_tested(predicted, kind, classes, by_slide=False, times=bags.times)
        head = HEADS[condition.head]
        scored = {
            metric: score(metric, kind, tested, "folds", folds - 1, head, width=condition.width).scores
            for metric in metrics_of(condition.kind, len(classes))
        }
        found.append({metric: scores for metric, scores in scored.items() if covers(METRICS[metric], scores)})
    return {metric: [scores[metric] for scores in found] for metric in found[0]}


def _bags(vectors: np.ndarray, table: pa.Table, kind: Any, classes: list[str], head: str, seed: int) -> Bags:
    """A region a slide, or for networks six, each with noise of its own beside that of its slide."""
    columns = [table[column.name].to_pylist() for column in kind.truth]
    labels = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
    regions = [vector[None] for vector in vectors]
    if not HEADS[head].light:
        noise = np.random.default_rng([seed, 1]).standard_normal((len(vectors), 6, DIM), dtype=np.float32)
        regions = list(vectors[:, None] + noise)
    bags = Bags(vectors, regions, target_array(kind, labels, classes), len(classes))
    return replace(bags, times=brier_times(bags.target["time"], bags.target["event"])) if kind.curve else bags


def _predicted(condition: Condition, bags: Bags, jobs: list[Job], kept: Path | None) -> list[np.ndarray]:
    """What the head predicts in each job, from the file `kept` if it is there, else written to it."""
    if kept and kept.exists():
        with np.load(kept) as stored:
            return [stored[str(number)] for number in range(len(jobs))]
    wider = {"c": DIM / condition.width, "alpha": condition.width / DIM}
    fixed = {name: value * wider[name] for name, value in FIXED.get(condition.head, {}).items()}
    own = {**HeadSettings().of(condition.head), **fixed}
    values, _ = predict_jobs(condition.head, condition.kind, bags, jobs, own)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, **{str(number): value for number, value in enumerate(values)})
    return values


def _numbers(metric: str, scores: list[Scores]) -> list[float]:
    """Value, low and high of both representations, and the p value of their difference."""
    bounds = METRICS[metric].bounds
    both = [interval(one, bounds) for one in scores]
    _, p = difference(*scores, bounds)
    return [number for one in both for number in (one.value, one.low, one.high)] + [p]


def summary(cohorts: list[dict[str, list[float]]]) -> dict[str, dict[str, float]]:
    """Of each metric: expected value, how many intervals hold it, mean width, how many differences have p < 0.05."""
    found = {}
    for metric in cohorts[0]:
        rows = np.array([cohort[metric] for cohort in cohorts])
        values, low, high = (rows[:, [place, place + 3]].ravel() for place in range(3))
        kept = np.isfinite(values)
        expected = values[kept].mean()
        found[metric] = {
            "expected": float(expected),
            "coverage": float(((low <= expected) & (expected <= high))[kept].mean()),
            "width": float((high - low)[kept].mean()),
            "different": float((rows[:, 6] < 0.05).mean()),
        }
    return found


def run(condition: Condition, cohorts: int, repeats: int, folds: int = 5, kept: Path | None = None) -> dict[str, Any]:
    """All cohorts of one condition."""
    start = time.perf_counter()
    scored = []
    for seed in range(cohorts):
        scores = scores_of_cohort(condition, repeats, folds, seed, kept)
        scored.append({metric: _numbers(metric, both) for metric, both in scores.items()})
    spent = time.perf_counter() - start
    return {"cohorts": cohorts, "repeats": repeats, "seconds": round(spent, 1), "metrics": summary(scored)}


def lines(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The results as a Markdown table, the headline of each kind first."""
    yield "| condition | metric | cohorts | expected | covers | width | called different |"
    yield "|---|---|---|---|---|---|---|"
    for name, result in results.items():
        for metric, row in result["metrics"].items():
            numbers = " | ".join(f"{row[key]:.3f}" for key in ("expected", "coverage", "width", "different"))
            yield f"| {name} | {METRICS[metric].label} | {result['cohorts']} | {numbers} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=200)
    parser.add_argument("--patients", type=int, nargs="+", default=[24, 60, 200, 500])
    parser.add_argument("--kinds", nargs="+", default=list(SIGNAL))
    parser.add_argument("--heads", nargs="+", default=list(HEADS))
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--predictions", type=Path, help="folder in which predictions are kept")
    parser.add_argument("--output", type=Path, required=True, help="JSON, read and completed")
    args = parser.parse_args()
    results = json.loads(args.output.read_text()) if args.output.exists() else {}
    for condition in conditions(args.patients):
        wanted = condition.kind in args.kinds and condition.head in args.heads
        if wanted and condition.name not in results:
            results[condition.name] = run(condition, args.cohorts, args.repeats, kept=args.predictions)
            args.output.write_text(json.dumps(results, indent=1))
            print(condition.name, results[condition.name]["seconds"], "s", flush=True)
    print("\n".join(lines(results)))


if __name__ == "__main__":
    main()
