"""The table of results, against scikit-learn on the same predictions."""

import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from workflow_scripts.core.errors import UserError
from workflow_scripts.mil.results import result_rows, result_table, score_predictions


def _scored(representation, noise, n=40, head="knn", seed=0):
    random = np.random.default_rng(seed)
    label = np.arange(n) % 2
    score = 1 / (1 + np.exp(-(2 * label - 1 + random.normal(0, noise, n))))
    rows = [
        {
            "slide_id": f"s{i}",
            "patient_id": f"p{i:03d}",
            "fold": i % 4 // 2,
            "label": "ab"[label[i]],
            "probabilities": [1 - score[i], score[i]],
        }
        for i in range(n)
    ]
    meta = {
        "task": "subtype",
        "kind": "classification",
        "head": head,
        "representation": representation,
        "classes": ["a", "b"],
        "pretrained_on": "cohort",
        "n_excluded": 3,
    }
    return score_predictions(rows, meta, 100, 0), label, score


def test_values_are_those_of_the_predictions():
    scored, label, score = _scored("mean", 1.0)
    rows = {row["metric"]: row for row in result_rows([scored], "mean")}
    assert rows["auc"]["pooled"] == pytest.approx(roc_auc_score(label, score))
    assert rows["accuracy"]["pooled"] == pytest.approx(accuracy_score(label, score > 0.5))
    folds = [roc_auc_score(label[k], score[k]) for k in (np.arange(40) % 4 // 2 == f for f in (0, 1))]
    assert rows["auc"]["folds"] == pytest.approx(folds)
    assert rows["auc"]["mean"] == pytest.approx(np.mean(folds))
    assert rows["auc"]["sd"] == pytest.approx(np.std(folds, ddof=1))
    assert rows["auc"]["ci_low"] < rows["auc"]["pooled"] < rows["auc"]["ci_high"]
    assert (rows["auc"]["n_patients"], rows["auc"]["n_slides"], rows["auc"]["n_excluded"]) == (40, 40, 3)


def test_only_others_are_compared_with_the_baseline():
    (good, *_), (poor, *_) = _scored("slpd", 0.5), _scored("mean", 3.0)
    rows = {(row["representation"], row["metric"]): row for row in result_rows([good, poor], "mean")}
    change = rows["slpd", "auc"]
    assert change["baseline"] == "mean"
    assert change["difference"] == pytest.approx(rows["slpd", "auc"]["pooled"] - rows["mean", "auc"]["pooled"])
    assert change["difference_low"] < change["difference"] < change["difference_high"]
    assert "baseline" not in rows["mean", "auc"]


def test_bootstrap_is_shared_between_representations():
    (one, *_), (two, *_) = _scored("slpd", 1.0), _scored("mean", 1.0)
    change = next(row for row in result_rows([one, two], "mean") if row.get("baseline"))
    assert (change["difference"], change["difference_low"], change["difference_high"]) == (0, 0, 0)


def test_faults_are_told():
    (mean, *_), (slpd, *_) = _scored("mean", 1.0), _scored("slpd", 1.0)
    with pytest.raises(UserError, match="no predictions of the baseline mean for task subtype and head knn"):
        result_rows([slpd], "mean")
    with pytest.raises(UserError, match="task subtype, representation mean, head knn twice"):
        result_rows([mean, mean], "mean")
    with pytest.raises(UserError, match="slpd and mean were tested on different patients"):
        result_rows([mean, _scored("slpd", 1.0, n=36)[0]], "mean")


def test_table_reads():
    (mean, *_), (slpd, *_) = _scored("mean", 3.0), _scored("slpd", 0.5)
    rows = result_rows([slpd, mean], "mean")
    lines = result_table(rows).splitlines()
    assert len(lines) == 1 + len(rows)
    assert lines[0].split() == "task head representation metric value [95 % interval] minus baseline".split()
    auc = next(row for row in rows if row["representation"] == "slpd" and row["metric"] == "auc")
    line = next(line for line in lines if "slpd" in line and " auc " in line)
    assert f"{auc['pooled']:.3f} [{auc['ci_low']:.3f}, {auc['ci_high']:.3f}]" in line
    assert f"{auc['difference']:+.3f} [" in line
    assert not math.isnan(auc["pooled"])
