"""An encoder fed from memory: what the feature stage is compared with. Needs no package that reads slides."""

import time

import numpy as np

from workflow_scripts.encoders.encode import encode_batches
from workflow_scripts.encoders.registry import Encoder


def alone(encoder: Encoder, patches: np.ndarray, batch: int) -> float:
    """Seconds a patch of the encoder fed from memory."""
    begun = time.perf_counter()
    for _ in encode_batches((patches[i : i + batch] for i in range(0, len(patches), batch)), encoder):
        pass
    return (time.perf_counter() - begun) / len(patches)
