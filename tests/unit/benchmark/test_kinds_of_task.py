"""Survival and grades from splits to results."""

import json

import numpy as np
import pytest

from tests.unit.benchmark.made import SURVIVAL, collect, fit_heads, split_cohort
from workflow_scripts import fit_head
from workflow_scripts.core.tables import read_meta, read_table
from workflow_scripts.core.tasks import KINDS, METRICS


def test_survival_from_splits_to_results(cohort):
    split_cohort(cohort, SURVIVAL)
    files = [fit_heads(cohort, "cox", representation=name) for name in ("good", "mean")]
    row = read_table(files[0]).to_pylist()[0]
    assert row["label"] is None
    assert row["probabilities"] is None
    assert isinstance(row["risk"], float)
    rows, _, _ = collect(cohort, *files)
    assert [(row["representation"], row["metric"]) for row in rows] == [
        (name, metric) for name in ("good", "mean") for metric in ("c_index", "time_dependent_auc", "integrated_brier")
    ]
    assert rows[0]["value"] > 0.6 and rows[0]["aggregation"] == "within folds"
    assert 0 < rows[2]["value"] < 0.25 and rows[2]["aggregation"] == "pooled over folds"
    times = read_meta(cohort / "splits.parquet")["times"]
    assert read_meta(files[0])["times"] == times and len(times) == 20 == len(row["survival"])
    assert row["survival"] == sorted(row["survival"], reverse=True)


@pytest.mark.parametrize("slides_of_patient", ["average", "bag"])
@pytest.mark.parametrize("loss", ["cox", "discrete_time"])
def test_networks_predict_survival_probabilities_too(cohort, loss, slides_of_patient):
    split_cohort(cohort, SURVIVAL | {"slides_of_patient": slides_of_patient})
    settings = json.dumps({"heads": {"mean_mil": {"survival_loss": loss}}, "seed": 0})
    files = ["--labels", f"{cohort}/labels.parquet", "--splits", f"{cohort}/splits.parquet", "--gpu", "0"]
    files += ["--representation", "good", "--embeddings", f"{cohort}/good", "--output", f"{cohort}/mil.parquet"]
    files += ["--attention", f"{cohort}/attention.parquet"]
    fit_head.main(["--config", settings, *files])
    curves = np.array(read_table(cohort / "mil.parquet")["survival"].to_pylist())
    assert ((curves >= 0) & (curves <= 1)).all() and (np.diff(curves, axis=1) <= 0).all() and curves[:, -1].min() < 0.9
    rows, _, _ = collect(cohort, cohort / "mil.parquet", compare=())
    assert rows[2]["metric"] == "integrated_brier" and 0 < rows[2]["value"] < 0.35


def test_times_are_of_those_who_are_tested_each_patient_once(cohort):
    """Nine tenths of the events of an external cohort, whose follow-up is shorter than that of the first."""
    lines = (cohort / "slides.csv").read_text().splitlines()
    where = ["where", *("there" if int(line.split(",")[2][1:]) < 8 else "here" for line in lines[1:])]
    (cohort / "slides.csv").write_text("\n".join(f"{line},{at}" for line, at in zip(lines, where, strict=True)) + "\n")
    split_cohort(cohort, SURVIVAL | {"splits": {"kind": "external", "column": "where", "value": "there"}})
    tested = {p: (5 + 40 * (p % 2) + p, p % 4 != 3) for p in range(8)}
    events = sorted(days for days, dead in tested.values() if dead)
    times = read_meta(cohort / "splits.parquet")["times"]
    assert 0 < read_meta(cohort / "splits.parquet")["brier_without_skill"] < 0.25
    assert times[-1] == pytest.approx(events[5] * 19.5 / 20)  # of six events, nine tenths are the sixth


def test_ordinal_task_adds_kappa_and_keeps_the_order_of_grades(cohort):
    task = {"kind": "ordinal", "label": "subtype", "classes": ["lusc", "luad"]}
    assert read_meta(split_cohort(cohort, task))["classes"] == ["lusc", "luad"]
    rows, _, _ = collect(cohort, fit_heads(cohort, "logistic"))
    assert [row["metric"] for row in rows] == list(KINDS["ordinal"].metrics)
    assert all(row["value"] > 0.8 for row in rows if METRICS[row["metric"]].larger_is_better)
