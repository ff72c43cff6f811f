"""The stage as a whole, folds to intervals, on cohorts whose truth is known: planted, null, and traps.

In a trap something tells the label that must not: an identity, or the label itself where it is learnt from. A stage
that leaks scores well in it, one that does not is at chance.
"""

import numpy as np
import pytest
from scipy.stats import norm

from tests.benchmarks.coverage import Condition, scores_of_cohort
from workflow_scripts.config import HeadSettings
from workflow_scripts.core.heads import HEADS, heads_for
from workflow_scripts.core.tasks import KINDS
from workflow_scripts.mil import predictions
from workflow_scripts.mil.bags import Bags, patient_weights
from workflow_scripts.mil.crossval import predict_jobs
from workflow_scripts.mil.head import Job
from workflow_scripts.mil.intervals import interval
from workflow_scripts.mil.metrics import Outcomes
from workflow_scripts.mil.scoring import score
from workflow_scripts.mil.splits import Cohort, deal_folds

KIND = KINDS["classification"]
FAST = ["knn", "logistic", "mean_mil"]  # of the networks, the smallest


def stage(head, label, vectors_of, folds=4, repeats=2, patients=None, seed=0, **settings):
    """AUC with its interval, networks in few passes.

    `vectors_of` gives the vectors `[n, D]` of a split, from whether each slide is tested.
    """
    n = len(label)
    patients = patients or [f"p{i:03d}" for i in range(n)]
    slides = [f"s{i:03d}" for i in range(n)]
    names = sorted(set(patients))
    own = HeadSettings().of(head) | ({} if HEADS[head].light else {"epochs": 8}) | settings
    numbers = np.array([names.index(name) for name in patients])
    splits = deal_folds(Cohort(slides, patients, label), folds, repeats, seed)
    rounds = []
    for repeat in range(repeats):
        case, fold, predicted = [], [], []
        for split in (one for one in splits if one.repeat == repeat):
            tested = split.parts == "test"
            vectors = vectors_of(tested).astype(np.float32)
            regions = [vector[None] for vector in vectors]
            bags = Bags(vectors, regions, label, 2, patient_weights(patients), patients)
            job = Job(np.flatnonzero(~tested), np.empty(0, np.int64), np.flatnonzero(tested), 7)
            values, _ = predict_jobs(head, "classification", bags, [job], own)
            case.append(np.flatnonzero(tested))
            fold.append(np.full(tested.sum(), split.fold))
            predicted.append(values[0])
        order = np.concatenate(case)
        outcomes = Outcomes(label[order], np.concatenate(predicted))
        rounds.append(predictions.Round(repeat, 0, order, np.concatenate(fold), outcomes))
    labels = [("a", "b")[i] for i in label]
    tested = predictions.Tested(slides, numbers, names, labels, rounds)
    scores = score("auc", KIND, tested, "folds", folds - 1.0, HEADS[head]).scores
    return interval(scores, (0.0, 1.0))


@pytest.mark.parametrize("head", FAST)
def test_a_planted_cohort_is_scored_near_its_best_auc_and_never_above(head):
    """One of four values lies 1.5 deviations apart: no rule has an AUC above Phi(1.5 / sqrt 2) = 0.856."""
    random, label = np.random.default_rng(0), np.arange(160) % 2
    vectors = random.normal(size=(160, 4))
    vectors[:, 0] += 1.5 * label
    best = norm.cdf(1.5 / np.sqrt(2))
    found = stage(head, label, lambda tested: vectors)
    assert found.low < best < found.high + 0.05
    assert best - 0.12 < found.value < best + 0.05


@pytest.mark.parametrize("head", [name for name in heads_for("classification") if not HEADS[name].prototypes])
def test_a_null_cohort_holds_chance(head):
    random, label = np.random.default_rng(1), np.arange(32) % 2
    vectors = random.normal(size=(32, 4))
    steps = {} if HEADS[head].light else {"batch_size": 6}
    found = stage(head, label, lambda tested: vectors, repeats=1, **steps)
    assert found.low < 0.5 < found.high


@pytest.mark.parametrize(
    ("kind", "head"),
    [("classification", "logistic"), ("ordinal", "logistic"), ("survival", "cox"), ("regression", "ridge")],
)
def test_the_metric_of_the_control_is_at_chance_in_null_cohorts_of_every_kind(kind, head):
    """Eight cohorts: 95 % of the intervals are expected to hold chance, and fewer than 6 one time in 170."""
    metric, cohorts = KINDS[kind].of_chance, range(8)
    found = [scores_of_cohort(Condition(head, kind, 40, False), 1, 5, seed)[metric][0] for seed in cohorts]
    intervals = [interval(scores, KINDS[kind].metrics[metric].bounds) for scores in found]
    chance = KINDS[kind].metrics[metric].chance
    assert sum(one.low <= chance <= one.high for one in intervals) >= 6
    values = [one.value for one in intervals]
    assert abs(np.mean(values) - chance) < 3 * np.std(values, ddof=1) / np.sqrt(len(values))


@pytest.mark.parametrize("head", FAST)
def test_the_identity_of_the_patient_tells_nothing(head):
    """Two slides a patient, and a vector that is the patient's number alone: all of it is learnt, none is of use."""
    random = np.random.default_rng(2)
    patients = [f"p{i // 2:03d}" for i in range(80)]
    label = np.repeat(random.permutation(np.arange(40) % 2), 2)
    vectors = np.repeat(np.eye(40), 2, axis=0)
    found = stage(head, label, lambda tested: vectors, patients=patients)
    assert found.low <= 0.5 <= found.high


@pytest.mark.parametrize("head", FAST)
def test_the_identity_of_the_fold_tells_nothing(head):
    label = np.arange(60) % 2
    noise = np.random.default_rng(3).normal(size=(60, 1)) * 1e-3
    found = stage(head, label, lambda tested: np.hstack([tested[:, None].astype(float), noise]))
    assert found.low <= 0.5 <= found.high


@pytest.mark.parametrize("head", FAST)
def test_a_label_copied_into_the_training_part_is_of_no_use_in_the_test(head):
    label = np.arange(60) % 2
    noise = np.random.default_rng(4).normal(size=(60, 3))
    found = stage(head, label, lambda tested: np.hstack([np.where(tested, 0.5, label)[:, None] * 3, noise]))
    assert found.low <= 0.5 <= found.high


def test_the_traps_would_catch_a_leak():
    """With the label in the test part too, the same trap is at 1: it can fail."""
    label = np.arange(60) % 2
    noise = np.random.default_rng(4).normal(size=(60, 3))
    assert stage("logistic", label, lambda tested: np.hstack([label[:, None] * 3.0, noise])).value > 0.99
    patients = [f"p{i:03d}" for i in range(80)]  # each slide a patient of its own: the twin is learnt from
    twins = np.repeat(np.random.default_rng(2).permutation(np.arange(40) % 2), 2)
    found = stage("knn", twins, lambda tested: np.repeat(np.eye(40), 2, axis=0), patients=patients, neighbours=1)
    assert found.low > 0.7
