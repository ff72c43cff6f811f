"""Planted predictions, written as `fit_head` writes them."""

import numpy as np
import pyarrow as pa

from workflow_scripts.core.tasks import KINDS
from workflow_scripts.mil.predictions import Predicted, prediction_table

CLASSES = ["a", "b"]


def facts(representation="slpd", heads=("logistic",), **more):
    """Metadata of a file of predictions of a task of two classes."""
    return {
        "task": "t",
        "kind": "classification",
        "family": "t",
        "level": "patient",
        "classes": CLASSES,
        "counts": {"a": 20, "b": 20},
        "n_slides": 40,
        "n_excluded": 0,
        "excluded": {},
        "heads": list(heads),
        "failures": {},
        "representation": representation,
        "pretrained_on": "nothing",
        "saw": [[4, 10], [3, 10], [0, 10], [10, 10]],
        "splits": "3 x 4 folds",
        "balanced": True,
        "width": 4,
        "budgets": {"all": {"design": "folds", "learnt_per_left": 3.0}},
    } | more


def predictions(shift, seed=0, n=40, repeats=3, folds=4, head="logistic", seeds=1, slides=1):
    """Probabilities of n patients in folds dealt anew; `shift` is how far the classes lie apart."""
    random = np.random.default_rng(seed)
    label = np.arange(n) % 2
    owner = np.repeat(np.arange(n), slides)
    truth = pa.table(
        {
            "slide_id": [f"s{i:03d}" for i in range(n * slides)],
            "patient_id": [f"p{i:02d}" for i in owner],
            "label": [CLASSES[i] for i in label[owner]],
        }
    )
    tests = []
    own = random.normal(size=n * slides) + shift * label[owner]
    for repeat in range(repeats):
        fold_of = np.random.default_rng(repeat).permutation(n) % folds
        for fold in range(folds):
            rows = np.flatnonzero(fold_of[owner] == fold)
            for number in range(seeds):
                score = 1 / (1 + np.exp(-own[rows] - 0.3 * random.normal(size=len(rows))))
                tests.append(Predicted("all", repeat, fold, number, rows, np.stack([1 - score, score], axis=1)))
    return prediction_table(head, KINDS["classification"], truth, tests)
