"""Penalised Cox regression on the slide vector."""

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter

from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.curves import log_baseline, proportional, with_curves
from workflow_scripts.mil.head import Affine, Scaler, VectorHead

GRID = (10.0, 1.0, 0.1, 0.01, 0.001)


def log_partial_likelihood(risk: np.ndarray, target: np.ndarray) -> float:
    """Cox's log partial likelihood of log risks float64 `[n]`, ties as Breslow's."""
    order = np.argsort(-target["time"], kind="stable")
    at_risk = np.logaddexp.accumulate(risk[order])
    times = target["time"][order]
    last = np.searchsorted(-times, -times, side="right") - 1  # who leaves at the same time is still at risk
    return float((risk[order] - at_risk[last])[target["event"][order]].sum())


def by_patient(bags: Bags) -> Bags:
    """A bag for each patient, with the mean of its slides' vectors; one for each time, should its slides' differ.

    Weights would not do: slides of a patient leave at the same time, and as ties they would weaken each other.
    """
    facts = [(p, float(t), bool(e)) for p, (t, e) in zip(bags.patients, bags.target, strict=True)]
    place = {fact: number for number, fact in enumerate(dict.fromkeys(facts))}
    owner = np.array([place[fact] for fact in facts], dtype=np.int64)
    first = np.unique(owner, return_index=True)[1]
    sums = np.zeros((len(place), bags.vectors.shape[1]))
    np.add.at(sums, owner, bags.vectors)
    patients, regions = [fact[0] for fact in place], [bags.regions[i] for i in first]
    return Bags(sums / np.bincount(owner)[:, None], regions, bags.target[first], 0, np.ones(len(first)), patients)


class CoxHead(VectorHead):
    """Standardised slide vector, its first principal components, Cox with a ridge or elastic-net penalty.

    Patients are fitted, by the mean of their slides' vectors. There is one component for every five patients with an
    event (`events_per_component`). The penalty is given, or has the highest cross-validated partial likelihood
    (Verweij and van Houwelingen 1993, Stat. Med. 12) over held-out training patients. Risk is the log partial hazard,
    so higher means an earlier event. Survival probabilities have Breslow's baseline hazard of the training patients.
    """

    def fit(self, train: Bags, validation: Bags, seed: int) -> dict[str, float]:
        self._times, train = train.times, by_patient(train)
        penalizer = self.given_or_chosen("penalizer", GRID, self._losses, train, validation, seed, otherwise=0.1)
        self._scaler, self._basis = self._components(train)
        self._slopes = self._fitted(self._scaler(train.vectors) @ self._basis, train, penalizer)
        self._baseline = log_baseline(self._risk(train.vectors), train.target, train.weights, self._times)
        return {"penalizer": penalizer, "components": self._basis.shape[1]}

    def _components(self, train: Bags) -> tuple[Scaler, np.ndarray]:
        """Scaler of the patients, and those of the first principal directions `[D, k]` that have spread."""
        scaler = Scaler(train)
        events = int(train.target["event"].sum())
        most = min(len(train) - 1, max(1, events // self.settings["events_per_component"]))
        _, size, directions = np.linalg.svd(scaler(train.vectors), full_matrices=False)
        return scaler, directions[:most][size[:most] ** 2 > 1e-9 * len(train)].T

    def _fitted(self, scores: np.ndarray, train: Bags, penalizer: float) -> np.ndarray:
        """Coefficients float64 `[k]` of scores `[n, k]`."""
        if not scores.shape[1]:
            return np.zeros(0)
        table = pd.DataFrame(scores, columns=[f"c{i}" for i in range(scores.shape[1])])
        table = table.assign(time=train.target["time"], event=train.target["event"])
        model = CoxPHFitter(penalizer=penalizer, l1_ratio=self.settings["l1_ratio"])
        model.fit(table, "time", "event")
        return model.params_.to_numpy(dtype=np.float64)

    def _losses(self, train: Bags, held: Bags) -> np.ndarray:
        held, (scaler, basis) = by_patient(held), self._components(train)
        inside, outside = scaler(train.vectors) @ basis, scaler(held.vectors) @ basis
        target = np.concatenate([train.target, held.target])
        losses = []
        for penalizer in GRID:
            slopes = self._fitted(inside, train, penalizer)
            whole = log_partial_likelihood(np.concatenate([inside, outside]) @ slopes, target)
            losses.append(log_partial_likelihood(inside @ slopes, train.target) - whole)
        return np.array(losses)

    def _risk(self, vectors: np.ndarray) -> np.ndarray:
        return np.asarray(self._scaler(vectors) @ self._basis @ self._slopes)

    def predict_vectors(self, vectors: np.ndarray) -> np.ndarray:
        risk = self._risk(vectors)
        return with_curves(risk, proportional(risk, self._baseline))

    def affine(self) -> Affine:
        """The last fit: the one score is the risk, the log partial hazard."""
        return self._scaler.unscaled((self._basis @ self._slopes)[:, None], np.zeros(1))
