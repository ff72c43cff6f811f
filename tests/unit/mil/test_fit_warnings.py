"""Warnings of the fits are counted lines of the log."""

import logging
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from workflow_scripts.mil import crossval
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.fit_warnings import counted_warnings
from workflow_scripts.mil.head import Job


def test_each_kind_is_one_line_with_its_count(caplog):
    with caplog.at_level(logging.WARNING), counted_warnings("50 fits of logistic"):
        for number in (3, 3, 5):
            warnings.warn(f"failed after {number} steps\nsee the documents", ConvergenceWarning, stacklevel=1)
        warnings.warn("an empty slice", RuntimeWarning, stacklevel=1)
    assert [record.getMessage() for record in caplog.records] == [
        "50 fits of logistic: ConvergenceWarning, 3 times: failed after 3 steps",
        "50 fits of logistic: RuntimeWarning, 1 times: an empty slice",
    ]


class Unfinished:
    """A head whose fits end before they have converged."""

    chosen = ()

    def predict(self, bags, jobs):
        model = LogisticRegression(max_iter=1)
        fitted = [model.fit(bags.vectors[job.train], bags.target[job.train]) for job in jobs]
        return [one.predict_proba(bags.vectors[job.test]) for one, job in zip(fitted, jobs, strict=True)]


@pytest.mark.filterwarnings("error")
def test_the_warnings_of_a_head_are_one_line_of_its_log(monkeypatch, caplog):
    monkeypatch.setattr(crossval, "make_head", lambda *of: Unfinished())
    vectors, target = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32), np.arange(20) % 2
    bags = Bags(vectors, [vector[None] for vector in vectors], target, 2)
    jobs = [Job(np.arange(20), np.empty(0, np.int64), np.arange(20), 0)] * 3
    with caplog.at_level(logging.WARNING):
        crossval.predict_jobs("logistic", "classification", bags, jobs, {})
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert line.startswith(
        "3 fits of logistic, inner ones by which they choose among them: ConvergenceWarning, 3 times"
    )
