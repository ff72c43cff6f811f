"""Cox ridge regression on the slide vector."""

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from workflow_scripts.mil.bags import Bags

PENALIZER = 0.1
EVENTS_PER_COMPONENT = 5


class CoxHead:
    """Standardised slide vector, principal components (one per five events at most), Cox with a ridge penalty.

    Risk is the log partial hazard, so higher means an earlier event.
    """

    def __init__(self, seed: int) -> None:
        pass  # full SVD and Newton steps, nothing is drawn

    def _components(self, bags: Bags) -> pd.DataFrame:
        scores = self._pca.transform(self._scaler.transform(bags.vectors.astype(np.float64)))[:, self._varies]
        return pd.DataFrame(scores, columns=[f"c{i}" for i in range(scores.shape[1])])

    def fit(self, train: Bags, validation: Bags | None = None) -> None:
        vectors = train.vectors.astype(np.float64)
        self._scaler = StandardScaler().fit(vectors)
        most = min(len(vectors) - 1, vectors.shape[1], int(train.target["event"].sum()) // EVENTS_PER_COMPONENT)
        with np.errstate(invalid="ignore"):  # vectors without any spread: the ratios are 0 / 0, and not used
            self._pca = PCA(max(1, most), svd_solver="full").fit(self._scaler.transform(vectors))
        self._varies = self._pca.explained_variance_ > 1e-9  # a component without spread has no hazard ratio
        self._model = None
        if self._varies.any():
            table = self._components(train).assign(time=train.target["time"], event=train.target["event"])
            self._model = CoxPHFitter(penalizer=PENALIZER).fit(table, "time", "event")

    def predict(self, bags: Bags) -> np.ndarray:
        if self._model is None:
            return np.zeros(len(bags))
        return self._model.predict_log_partial_hazard(self._components(bags)).to_numpy(dtype=np.float64)
