"""Bags of patch features, read slide by slide from the feature files: all patches of a cohort are too many to hold."""

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np

from workflow_scripts.core.feature_store import slide_file
from workflow_scripts.core.tables import read_table
from workflow_scripts.core.tensors import from_column


def tissue_patches(folder: Path | str, slide_id: str) -> np.ndarray:
    """Features float32 `[m, D]` of a slide's readable patches with tissue, regions and patches in their order.

    Where no patch has both, all readable ones; where none is readable, one row of zeros: a bag is never empty.

    Args:
        folder: `features/{encoder}`.
        slide_id: the slide.
    """
    table = read_table(slide_file(folder, slide_id), ["features", "read_ok", "tissue"])
    features, read_ok = from_column(table, "features"), from_column(table, "read_ok")
    wanted = read_ok & (from_column(table, "tissue") > 0)
    wanted = wanted if wanted.any() else read_ok
    if not wanted.any():
        return np.zeros((1, features.shape[-1]), np.float32)
    return features[wanted].astype(np.float32)


class PatchBags(Sequence[np.ndarray]):
    """The bags of S slides, each `tissue_patches`, read anew each time it is asked for."""

    def __init__(self, folder: Path | str, slide_ids: Sequence[str]) -> None:
        """Bags of the slides, in that order, in the folder `features/{encoder}`."""
        self.folder, self.slide_ids = Path(folder), list(slide_ids)

    def __len__(self) -> int:
        return len(self.slide_ids)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice) -> "PatchBags": ...

    def __getitem__(self, index: int | slice) -> "np.ndarray | PatchBags":
        if isinstance(index, slice):
            return PatchBags(self.folder, self.slide_ids[index])
        return tissue_patches(self.folder, self.slide_ids[index])

    def take(self, index: np.ndarray) -> "PatchBags":
        """Bags `index`, int64 `[n]`; nothing is read."""
        return PatchBags(self.folder, [self.slide_ids[i] for i in index])
