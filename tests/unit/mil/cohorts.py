"""Small planted cohorts for the tests of heads, and short ways to fit a head."""

import numpy as np

from workflow_scripts.mil.bags import Bags, patient_weights
from workflow_scripts.mil.head import Job
from workflow_scripts.mil.heads import make_head

NONE = np.empty(0, np.int64)


def class_bags(n=40, n_classes=2, dim=6, seed=0, shift=2.0):
    """Slides of 3 to 8 regions; one region in each carries the class."""
    random = np.random.default_rng(seed)
    label = np.arange(n) % n_classes
    regions = []
    for c in label:
        region = random.normal(size=(random.integers(3, 9), dim)).astype(np.float32)
        region[0, c] += shift * 2
        regions.append(region)
    vectors = np.stack([region.mean(axis=0) for region in regions])
    return Bags(vectors, regions, label, n_classes)


def survival_bags(n=60, dim=12, seed=0, ties=False):
    """Slides of one region, whose first value raises the hazard."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(n, dim)).astype(np.float32)
    death, censoring = random.exponential(np.exp(-1.5 * vectors[:, 0])), random.exponential(2.0, n)
    time, event = np.minimum(death, censoring), death <= censoring
    time = np.ceil(time * 4) if ties else time
    target = np.array(list(zip(time, event, strict=True)), dtype=[("time", float), ("event", bool)])
    return Bags(vectors, [vector[None] for vector in vectors], target, 0)


def number_bags(n=60, dim=5, seed=0):
    """Slides of two to five regions, whose mean tells a number."""
    random = np.random.default_rng(seed)
    regions = [random.normal(size=(random.integers(2, 6), dim)).astype(np.float32) for _ in range(n)]
    vectors = np.stack([region.mean(axis=0) for region in regions])
    return Bags(vectors, regions, 50 + 10 * vectors[:, 0].astype(float) + random.normal(size=n), 0)


def bags_of(kind, n=40, seed=0):
    if kind == "survival":
        return survival_bags(n, seed=seed)
    return number_bags(n, seed=seed) if kind == "regression" else class_bags(n, seed=seed)


def of_patients(bags, patients):
    """The same slides, of the patients named."""
    return Bags(bags.vectors, bags.regions, bags.target, bags.n_classes, patient_weights(patients), list(patients))


def joined(first, second):
    regions, target = [*first.regions, *second.regions], np.concatenate([first.target, second.target])
    patients = [*(f"a{p}" for p in first.patients), *(f"b{p}" for p in second.patients)]
    weights = np.concatenate([first.weights, second.weights])
    return Bags(np.concatenate([first.vectors, second.vectors]), regions, target, first.n_classes, weights, patients)


def predict(name, kind, train, test, seed=0, validation=None, **settings):
    """Predictions of the test bags by a head fitted to the training bags."""
    middle = validation if validation is not None else train.take(NONE)
    whole = joined(joined(train, middle), test)
    parts = np.split(np.arange(len(whole)), np.cumsum([len(train), len(middle)]))
    return make_head(name, kind, settings).predict(whole, [Job(*parts, seed)])[0]


def fold_jobs(parts, seed):
    """A job for each row of parts str `[K, S]`."""
    return [
        Job(*(np.flatnonzero(part == name) for name in ("train", "val", "test")), seed + fold)
        for fold, part in enumerate(parts)
    ]
