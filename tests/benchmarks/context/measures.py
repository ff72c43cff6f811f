"""What region vectors of a planted cohort are worth, by the heads and measures of the benchmark.

All that is learnt is learnt on some slides and tested on others. The regularisation of linear models is fixed, the same
for all representations.
"""

from itertools import combinations_with_replacement

import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from tests.benchmarks.context.cohort import CLASSES, Cohort
from workflow_scripts.config import Prototypes
from workflow_scripts.config.heads import HeadSettings
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.mil import retrieval
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Job
from workflow_scripts.mil.heads import make_head
from workflow_scripts.slpd.prototypes import cluster_slides

MEASURES = {
    "region": ("class of a region, logistic", 1 / len(CLASSES)),
    "region_near": ("class of a region, nearest", 1 / len(CLASSES)),
    "kind": ("kind, logistic on means (AUC)", 0.5),
    "kind_knn": ("kind, nearest means", 0.25),
    "kind_sets": ("kind, nearest sets", 0.25),
    "few": ("kind, 4 slides each, logistic", 0.25),
    "few_sets": ("kind, 4 slides each, sets", 0.25),
    "found": ("retrieval by means (mAP)", None),
    "found_sets": ("retrieval by sets (mAP)", None),
    "order": ("order, logistic on neighbouring pairs (AUC)", 0.5),
}
"""Label of each measure, and what it is by chance: of retrieval, of the shares of the kinds."""
KINDS = 4
_FOLDS, _SHOTS, _DRAWS = 5, 4, 20
_ASKED = 3000  # regions of a probe of regions, at most
_SET = Prototypes(count=4, min_regions=4, features="backbone")
_DIRECTIONS = 8  # of regions, of which neighbouring pairs are multiplied
_NO_BAGS = np.empty(0, dtype=np.int64)


def slide_folds(cohort: Cohort, folds: int) -> np.ndarray:
    """Fold of each slide, int64 `[S]`: the slides of each kind and order are dealt one after another."""
    fold, group = np.empty(cohort.slides, dtype=np.int64), cohort.kind * 2 + cohort.order
    start = 0
    for number in np.unique(group):
        own = np.flatnonzero(group == number)
        fold[own] = (start + np.arange(len(own))) % folds
        start += len(own)  # so that folds stay equal where groups do not divide by their number
    return fold


def _jobs(fold: np.ndarray, seed: int) -> list[Job]:
    numbers = np.unique(fold)
    return [Job(np.flatnonzero(fold != f), _NO_BAGS, np.flatnonzero(fold == f), derive_seed(seed, f)) for f in numbers]


def few_shots(cohort: Cohort, seed: int, shots: int = _SHOTS, draws: int = _DRAWS) -> list[Job]:
    """Draws of `shots` slides of each kind to learn from, where all others are tested; half of a kind at most."""
    jobs = []
    for draw in range(draws):
        rng = np.random.default_rng(derive_seed(seed, "few", draw))
        parts = [rng.permutation(np.flatnonzero(cohort.kind == kind)) for kind in range(KINDS)]
        train = np.concatenate([part[: min(shots, len(part) // 2)] for part in parts])
        jobs.append(
            Job(np.sort(train), _NO_BAGS, np.setdiff1d(np.arange(cohort.slides), train), derive_seed(seed, draw))
        )
    return jobs


def _predicted(head: str, bags: Bags, jobs: list[Job]) -> list[np.ndarray]:
    settings = HeadSettings().of(head) | ({"c": 1.0} if head == "logistic" else {})
    return make_head(head, "classification", settings).predict(bags, jobs)


def _accuracy(head: str, bags: Bags, jobs: list[Job]) -> float:
    """Balanced accuracy over the tests of all jobs together."""
    found = np.concatenate([p.argmax(axis=1) for p in _predicted(head, bags, jobs)])
    return float(balanced_accuracy_score(np.concatenate([bags.target[job.test] for job in jobs]), found))


def _auc(bags: Bags, jobs: list[Job]) -> float:
    """AUC of the logistic head, one class against the rest, mean over classes and jobs."""
    values = []
    for job, p in zip(jobs, _predicted("logistic", bags, jobs), strict=True):
        truth = bags.target[job.test]
        values += [roc_auc_score(truth == c, p[:, c]) for c in np.unique(truth) if (truth != c).any()]
    return float(np.mean(values))


def slide_means(vectors: np.ndarray, cohort: Cohort) -> np.ndarray:
    """Mean of each slide's regions, float32 `[S, d]`."""
    return vectors.reshape(cohort.slides, -1, vectors.shape[1]).mean(axis=1)


def slide_sets(vectors: np.ndarray, cohort: Cohort, seed: int) -> np.ndarray:
    """Prototypes of each slide, float32 `[S, 4, d]`, by the k-means of pretraining on these vectors."""
    ids = [f"s{number:04d}" for number in range(cohort.slides)]
    return cluster_slides(vectors, ids, np.bincount(cohort.slide), _SET, derive_seed(seed, "sets")).vectors


def neighbouring_pairs(vectors: np.ndarray, cohort: Cohort) -> np.ndarray:
    """Mean product of regions that lie side by side, float32 `[S, 36]`: which neighbour which, and no more.

    Regions are brought to their slide's mean and to the cohort's directions of most variance, of unit variance; the
    products of two directions are taken both ways.
    """
    centred = vectors - slide_means(vectors, cohort)[cohort.slide]
    width = min(_DIRECTIONS, centred.shape[1])
    scores = PCA(width, whiten=True, random_state=0).fit_transform(centred).reshape(cohort.slides, -1, width)
    one, other = scores[:, :-1], scores[:, 1:]
    pairs = list(combinations_with_replacement(range(width), 2))
    both = [(one[..., i] * other[..., j] + one[..., j] * other[..., i]).mean(axis=1) / 2 for i, j in pairs]
    return np.stack(both, axis=1).astype(np.float32)


def _region_measures(vectors: np.ndarray, cohort: Cohort, seed: int) -> dict[str, float]:
    """The class of a region told by a linear model, and by the nearest regions, of other slides."""
    rng = np.random.default_rng(derive_seed(seed, "asked"))
    asked = np.sort(rng.permutation(len(vectors))[:_ASKED])
    bags = _bags(vectors[asked], cohort.region_class[asked], len(CLASSES))
    jobs = _jobs(slide_folds(cohort, 2)[cohort.slide[asked]], seed)
    return {"region": _accuracy("logistic", bags, jobs), "region_near": _accuracy("knn", bags, jobs)}


def _bags(vectors: np.ndarray, target: np.ndarray, classes: int, sets: np.ndarray | None = None) -> Bags:
    rows = vectors[:, None] if sets is None else sets
    return Bags(vectors.astype(np.float32), list(rows.astype(np.float32)), target, classes)


def measure(vectors: np.ndarray, cohort: Cohort, seed: int) -> dict[str, float]:
    """All of `MEASURES` of region vectors `[N, d]`."""
    sets, means = slide_sets(vectors.astype(np.float32), cohort, seed), slide_means(vectors, cohort)
    of_means = _bags(means, cohort.kind, KINDS)
    of_sets = _bags(sets.reshape(len(sets), -1), cohort.kind, KINDS, sets)
    folds, few = _jobs(slide_folds(cohort, _FOLDS), seed), few_shots(cohort, seed)
    everything = np.ones(cohort.slides, dtype=bool)
    names = [f"{number}" for number in range(cohort.slides)]
    asking = retrieval.Cohort(
        names, cohort.kind, np.arange(cohort.slides), np.ones(cohort.slides), everything, everything
    )
    found = {
        "found": retrieval.cosine_likeness(of_means, everything),
        "found_sets": retrieval.matching_likeness(sets),
    }
    return {
        **_region_measures(vectors, cohort, seed),
        "kind": _auc(of_means, folds),
        "kind_knn": _accuracy("knn", of_means, folds),
        "kind_sets": _accuracy("matching_knn", of_sets, folds),
        "few": _accuracy("logistic", of_means, few),
        "few_sets": _accuracy("matching_knn", of_sets, few),
        **{name: float(retrieval.retrieve(asking, likeness, seed).values[0]) for name, likeness in found.items()},
        "order": _auc(_bags(neighbouring_pairs(vectors, cohort), cohort.order, 2), folds),
    }
