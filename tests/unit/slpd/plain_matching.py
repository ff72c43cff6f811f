"""Nearest slides and matched prototypes in plain loops over pairs and permutations, float64 (method: C.3, C.4, D)."""

import math
from itertools import permutations

import numpy as np

from workflow_scripts.config import Neighbours
from workflow_scripts.slpd.neighbours import SlideNeighbours


def best_matching(own: np.ndarray, other: np.ndarray) -> tuple[float, list[int]]:
    """Largest sum of cosines of `[M, d]` prototypes over all permutations, and the first that reaches it."""
    best, found = -math.inf, []
    for order in permutations(range(len(own))):
        total = sum(float(np.dot(own[k], other[place])) for k, place in enumerate(order))
        if total > best:
            best, found = total, list(order)
    return best, found


def most_similar(own: np.ndarray, other: np.ndarray) -> list[int]:
    """For each prototype the most similar one of the other slide, whoever else takes it (docs/method.md, row 1)."""
    cosines = [[float(np.dot(p, q)) for q in other] for p in own]
    return [row.index(max(row)) for row in cosines]


def nearest_slides(
    vectors: np.ndarray, valid: np.ndarray, settings: Neighbours, patients: list[str] | None = None
) -> SlideNeighbours:
    """Nearest valid slides, pair after pair: never the slide itself, ties to the smaller index."""
    x, s, m = vectors.astype(np.float64), *vectors.shape[:2]
    index = np.full((s, settings.count), -1)
    similarity, matching = np.zeros((s, settings.count)), np.full((s, settings.count, m), -1)
    for i in range(s):
        scores = []
        for j in range(s):
            same_patient = settings.exclude_same_patient and patients[i] == patients[j]
            if valid[i] and valid[j] and j != i and not same_patient:
                scores.append((-best_matching(x[i], x[j])[0], j))
        for rank, (score, j) in enumerate(sorted(scores)[: settings.count]):
            argmax = settings.matching == "argmax"
            index[i, rank], similarity[i, rank] = j, -score
            matching[i, rank] = most_similar(x[i], x[j]) if argmax else best_matching(x[i], x[j])[1]
    return SlideNeighbours(index, similarity, matching)


def published_neighbours(vectors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours as published: exact zeros become -4, the first of the top count + 1 dropped (method.md, rows 3, 4)."""
    x, s = vectors.astype(np.float64), len(vectors)
    index, matching = [], []
    for i in range(s):
        row = [best_matching(x[i], x[j])[0] for j in range(s)]
        row = [-4.0 if value == 0 else value for value in row]
        top = sorted(range(s), key=lambda j: -row[j])[1 : count + 1]
        index.append(top)
        matching.append([most_similar(x[i], x[j]) for j in top])
    return np.array(index), np.array(matching)
