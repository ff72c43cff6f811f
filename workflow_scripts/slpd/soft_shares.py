"""The shares of soft assignment, as the teacher at the start of a round sees the regions."""

from pathlib import Path

import numpy as np

from workflow_scripts.config import PretrainRun
from workflow_scripts.core.directions import unit_vectors
from workflow_scripts.slpd.prototypes import SlidePrototypes
from workflow_scripts.slpd.session import Session
from workflow_scripts.slpd.state import load_teacher
from workflow_scripts.slpd.trainer import clustered_features

_BLOCK = 4096  # regions whose prototypes are gathered at once


def soft_shares(
    settings: PretrainRun, start: Path | str, session: Session, prototypes: SlidePrototypes, owner: np.ndarray
) -> np.ndarray | None:
    """Shares of its slide's prototypes in each region's target, float32 `[N, M]`; None where a region takes its own.

    Of a round that clusters, the teacher is that of the clustering; of one that goes on with earlier prototypes it is
    the later one.

    Args:
        settings: of the run.
        start: state that the round starts from.
        session: with the tokens of all regions; they are seen as they are clustered.
        prototypes: of all slides, or of the cohort.
        owner: int64 `[N]`, the row of `prototypes.vectors` that each region belongs to.
    """
    if not settings.loss.soft_temp:
        return None
    data = session.as_clustered(settings)
    teacher = load_teacher(start, settings, data.dim, data.device)
    _, clustered = clustered_features(settings, teacher, data)
    return prototype_shares(clustered.numpy(), prototypes, owner, settings.loss.soft_temp)


def prototype_shares(
    features: np.ndarray, prototypes: SlidePrototypes, slide_index: np.ndarray, temperature: float
) -> np.ndarray:
    """Shares of a region's prototypes in its target: softmax of its cosines with them over a temperature.

    Args:
        features: float32 `[N, d]` of any length, as they were clustered.
        prototypes: of all slides, or of the cohort.
        slide_index: int64 `[N]`, the row of `prototypes.vectors` that each region belongs to.
        temperature: `loss.soft_temp`, above 0; the smaller, the nearer to the assignment.

    Returns:
        float32 `[N, M]`, rows of sum 1; equal shares where a slide has no prototypes.
    """
    shares = np.empty((len(features), prototypes.vectors.shape[1]), dtype=np.float32)
    unit = unit_vectors(prototypes.vectors)
    for start in range(0, len(features), _BLOCK):
        rows = slice(start, start + _BLOCK)
        cosines = np.einsum("nd,nmd->nm", unit_vectors(features[rows]), unit[slide_index[rows]])
        exps = np.exp((cosines - cosines.max(axis=1, keepdims=True)) / temperature)
        shares[rows] = exps / exps.sum(axis=1, keepdims=True)
    return shares
