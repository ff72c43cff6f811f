"""A head over all fits of a task."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.core.budgets import WHOLE
from workflow_scripts.core.entry import log
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.heads import HEADS
from workflow_scripts.core.tasks import KINDS
from workflow_scripts.mil.attention import ATTENTION, AttentionSums, Watched, attention_table
from workflow_scripts.mil.bags import Bags, bag_lengths
from workflow_scripts.mil.fit_warnings import counted_warnings
from workflow_scripts.mil.head import Job, Settings
from workflow_scripts.mil.heads import make_head
from workflow_scripts.mil.jobs import Fit, fits
from workflow_scripts.mil.predictions import PREDICTIONS, Predicted, prediction_table
from workflow_scripts.mil.units import Units


class Part(NamedTuple):
    """Bags, and the rows of `schemas.SPLITS` in which they are used."""

    units: Units
    splits: pa.Table


class HeadRows(NamedTuple):
    """Rows of `PREDICTIONS` and `ATTENTION` of heads; one that does not attend has none of the latter."""

    predictions: pa.Table
    attention: pa.Table


def by_fold(units: Sequence[Units], splits: pa.Table) -> list[Part]:
    """One part for all splits; or, where every fold has bags of its own, as many parts as folds.

    Args:
        units: bags for all folds, or for each in their order.
        splits: rows of `schemas.SPLITS`.
    """
    if len(units) == 1:
        return [Part(units[0], splits)]
    return [Part(one, splits.filter(pc.equal(splits["fold"], fold))) for fold, one in enumerate(units)]


def fits_in_words(heads: Iterable[str], splits: pa.Table, seeds: int) -> str:
    """How many fits are made, as `50 splits, so 50 fits of knn, 100 fits of abmil`: what they take is known beforehand.

    Args:
        heads: names of the registry.
        splits: rows of `schemas.SPLITS`.
        seeds: number of head seeds; heads without chance in them take one.
    """
    count = len(splits.group_by(["budget", "repeat", "fold"]).aggregate([]))
    each = [f"{count * (seeds if HEADS[head].seeded else 1)} fits of {head}" for head in heads]
    return f"{count} splits, so {', '.join(each)}"


def results_in_words(found: HeadRows, failures: Mapping[str, Mapping[str, str]]) -> str:
    """How many predictions there are, and why there are no others, both from `predict_heads`."""
    heads = pc.count_distinct(found.predictions["head"]).as_py()
    failed = [f"; {head} failed in {name}: {why}" for head, own in failures.items() for name, why in own.items()]
    return f"{len(found.predictions)} predictions of {heads} heads" + "".join(failed)


def predict_heads(
    heads: Mapping[str, Settings], kind: str, parts: Sequence[Part], seed: int, seeds: int
) -> tuple[HeadRows, dict[str, dict[str, str]]]:
    """Predictions and attention of the heads that could be fitted, and by head and budget, why others could not.

    Args:
        heads: settings of each head; for the rest see `predict_parts`.
        kind: kind of the task.
        parts: from `by_fold`.
        seed: seed of the benchmark.
        seeds: number of head seeds.
    """
    found = [HeadRows(PREDICTIONS.empty_table(), ATTENTION.empty_table())]
    failures = {}
    for head, settings in heads.items():
        own, failed = _predict_budgets(head, kind, parts, settings, seed, seeds)
        found += own
        if failed:
            failures[head] = failed
    return HeadRows(*map(pa.concat_tables, zip(*found, strict=True))), failures


def _predict_budgets(
    head: str, kind: str, parts: Sequence[Part], settings: Settings, seed: int, seeds: int
) -> tuple[list[HeadRows], dict[str, str]]:
    """One head in all budgets together, which is fastest; where that fails, in each by itself, so that some may stand.

    Returns:
        Predictions, and by budget, why there are none.
    """
    budgets = list(dict.fromkeys(name for part in parts for name in part.splits["budget"].to_pylist()))
    try:
        return [predict_parts(head, kind, parts, settings, seed, seeds)], {}
    except Exception as error:  # a failure is a line of the results, and costs nothing else
        log.exception("head %s failed in budgets %s", head, ", ".join(budgets))
        if len(budgets) == 1:
            return [], {budgets[0]: str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"}
    found: list[HeadRows] = []
    failures: dict[str, str] = {}
    for budget in budgets:
        own = [part._replace(splits=part.splits.filter(pc.equal(part.splits["budget"], budget))) for part in parts]
        more, failed = _predict_budgets(head, kind, own, settings, seed, seeds)
        found += more
        failures |= failed
    return found, failures


def predict_parts(head: str, kind: str, parts: Sequence[Part], settings: Settings, seed: int, seeds: int) -> HeadRows:
    """Predictions and attention of one head over all splits.

    Args:
        head: name of the registry.
        kind: kind of the task.
        parts: from `by_fold`.
        settings: of the head.
        seed: seed of the benchmark.
        seeds: number of head seeds; heads without chance in them take one.

    Raises:
        ValueError: a prediction is no finite number.
    """
    tables, attention = [], []
    for units, splits in parts:
        wanted = fits(head, splits, units.bag_of, seed, seeds if HEADS[head].seeded else 1)
        watch = HEADS[head].attends and units.regions is not None
        sums = AttentionSums(bag_lengths(units.bags.regions)) if watch else None
        jobs = [_watched(fit, sums) if sums else fit.job for fit in wanted]
        values, _ = predict_jobs(head, kind, units.bags, jobs, settings)
        bad = sum(not np.isfinite(one).all() for one in values)
        if bad:
            raise ValueError(f"the predictions of {bad} of {len(values)} fits are no finite numbers")
        predicted = [Predicted(*one[:4], one.job.test, value) for one, value in zip(wanted, values, strict=True)]
        tables.append(prediction_table(head, KINDS[kind], units.truth, predicted))
        attention += [sums.table(units.regions)] if sums else []
    return HeadRows(pa.concat_tables(tables), attention_table(head, attention))


def _watched(fit: Fit, sums: AttentionSums) -> Job:
    """The job of a fit, with its attention to the test bags that it has not learnt from, if it has the whole budget."""
    if fit.budget != WHOLE:
        return fit.job
    unseen = np.setdiff1d(fit.job.test, np.concatenate([fit.job.train, fit.job.validation]))
    return fit.job._replace(attention=Watched(sums, unseen))


def predict_jobs(
    head: str, kind: str, bags: Bags, jobs: Sequence[Job], settings: Settings
) -> tuple[list[np.ndarray], list[dict[str, float]]]:
    """Fit a head on the training bags of every job and predict its test bags.

    Args:
        head: name of the registry.
        kind: kind of the task.
        bags: S bags.
        jobs: fits, whose indices are of `bags`.
        settings: of the head, as `benchmark.head_settings` has them.

    Returns:
        For each job the predictions of its test bags, float64 `[n_test, C]` or `[n_test]`, and what it has chosen.
    """
    model = make_head(head, kind, settings)
    with counted_warnings(f"{len(jobs)} fits of {head}, inner ones by which they choose among them"):
        predictions = model.predict(bags, jobs)
    for number, (job, chosen) in enumerate(zip(jobs, model.chosen or [{}] * len(jobs), strict=True), start=1):
        told = "".join(f", {name} {value:g}" for name, value in chosen.items())
        sizes = f"{len(job.train)} slides to learn from, {len(job.test)} to test"
        log.info("fit %d of %d: %s%s", number, len(jobs), sizes, told)
    return predictions, model.chosen
