"""What `glass` measures of a training: what its prototypes follow, and how well regions and slides are told."""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.benchmarks.glass_cohorts import Cohort
from workflow_scripts.config import Prototypes
from workflow_scripts.core.embeddings import slide_means
from workflow_scripts.core.matching import set_similarities
from workflow_scripts.representations.prototype_sets import prototype_means
from workflow_scripts.slpd.explained_rows import ENOUGH_TISSUE, explained_row, plain_prototypes

REPEATS, DRAWS, SHOTS, NEAREST = 5, 20, 4, 3
Splits = list[tuple[np.ndarray, np.ndarray]]


def _classifier() -> LogisticRegression:
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300, class_weight="balanced"))


def region_probe(vectors: np.ndarray, classes: np.ndarray, patients: np.ndarray) -> float:
    """Balanced accuracy of a logistic regression on regions, five folds by patient.

    Args:
        vectors: `[n, d]`.
        classes: int64 `[n]`.
        patients: int64 `[n]`.
    """
    told = np.empty_like(classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for train, test in GroupKFold(5).split(vectors, classes, patients):
            told[test] = _classifier().fit(vectors[train], classes[train]).predict(vectors[test])
    return float(balanced_accuracy_score(classes, told))


def folds(labels: np.ndarray, patients: np.ndarray) -> Iterator[Splits]:
    """Repeats of three stratified folds by patient."""
    for repeat in range(REPEATS):
        yield list(StratifiedGroupKFold(3, shuffle=True, random_state=repeat).split(labels, labels, patients))


def few(labels: np.ndarray, patients: np.ndarray) -> Iterator[Splits]:
    """Draws of one slide each of `SHOTS` patients of every class; the slides of all other patients are tested."""
    for draw in range(DRAWS):
        rng, train = np.random.default_rng(draw), []
        for label in np.unique(labels):
            own = rng.permutation(np.flatnonzero(labels == label))
            _, first = np.unique(patients[own], return_index=True)
            train += own[np.sort(first)][:SHOTS].tolist()
        test = np.flatnonzero(~np.isin(patients, patients[train]))
        yield [(np.array(train), test)]


def _auc(labels: np.ndarray, scores: np.ndarray) -> float:
    if scores.shape[1] == 2:
        return float(roc_auc_score(labels, scores[:, 1]))
    return float(np.mean([roc_auc_score(labels == k, scores[:, k]) for k in range(scores.shape[1])]))


def slide_auc(labels: np.ndarray, splits: Iterator[Splits], score: Callable[..., np.ndarray]) -> float:
    """Mean AUC over splits (of several classes, each against the rest) of `score(train, test)`, `[test, classes]`."""
    found = []
    for parts in splits:
        tested = np.concatenate([test for _, test in parts])
        scores = np.concatenate([score(train, test) for train, test in parts])
        found.append(_auc(labels[tested], scores))
    return float(np.mean(found))


def slide_measures(cohort: Cohort, vectors: np.ndarray, sets: np.ndarray) -> dict[str, float]:
    """AUC of logistic regression on means, and of the nearest slides by matched sets; of folds and of few slides."""
    found, patients = {}, np.unique(cohort.patients, return_inverse=True)[1]
    alike = set_similarities(sets)
    for task, labels in cohort.labels.items():

        def logistic(train: np.ndarray, test: np.ndarray, labels: np.ndarray = labels) -> np.ndarray:
            scores: np.ndarray = _classifier().fit(vectors[train], labels[train]).predict_proba(vectors[test])
            return scores

        def matched(train: np.ndarray, test: np.ndarray, labels: np.ndarray = labels) -> np.ndarray:
            near = train[np.argsort(-alike[np.ix_(test, train)], axis=1, kind="stable")[:, :NEAREST]]
            return np.stack([(labels[near] == k).mean(axis=1) for k in range(labels.max() + 1)], axis=1)

        for name, splits in (("", folds), (f"{SHOTS} a class ", few)):
            found[f"{task} {name}logistic"] = slide_auc(labels, splits(labels, patients), logistic)
            found[f"{task} {name}sets"] = slide_auc(labels, splits(labels, patients), matched)
    return found


def measures(
    cohort: Cohort, embeddings: np.ndarray, own: np.ndarray, settings: Prototypes, seed: int
) -> dict[str, float | None]:
    """All measures of a training, by name.

    Args:
        cohort: what was trained on.
        embeddings: float32 `[N, d]`, of whole regions.
        own: int64 `[N]`, the prototype of each region, -1 for none.
        settings: of the clustering.
        seed: of k-means for the controls.
    """
    facts = cohort.facts
    mean = plain_prototypes(facts, cohort.means(), own, settings, seed)
    row = explained_row(facts, own, mean)
    plain = explained_row(facts, plain_prototypes(facts, embeddings, own, settings, seed), None)
    found = {key: row[key]["adjusted"] for key in ("tissue", "colour", "rim")}
    found |= {"truth": row["truth"], "truth of tissue": row["truth_tissue"], "as mean": row["agreement"]}
    found |= {"k-means: tissue": plain["tissue"]["adjusted"], "k-means: truth": plain["truth"]}
    found["k-means: truth of tissue"] = plain["truth_tissue"]
    patients = np.unique(cohort.patients, return_inverse=True)[1][facts.slide]
    for name, enough in (("probe", 0.0), ("probe of tissue", ENOUGH_TISSUE)):
        taken = (facts.classes > 0) & (facts.tissue >= enough)
        found[name] = region_probe(embeddings[taken], facts.classes[taken], patients[taken])
    sets, _ = prototype_means(embeddings, facts.slide, own, len(cohort.counts), settings.count)
    return found | slide_measures(cohort, slide_means(embeddings, cohort.counts), sets)
