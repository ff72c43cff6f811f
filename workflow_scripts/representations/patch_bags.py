"""Bags of patch features, read slide by slide from the feature files: all patches of a cohort are too many to hold."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from workflow_scripts.core.bags import LazyBags
from workflow_scripts.core.entry import log
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_store import slide_file
from workflow_scripts.core.tables import read_table
from workflow_scripts.core.tensors import from_column

WORKING_MB = 4000
"""What a head on bags of patches takes beside them: torch, and a step's slides in float32."""


def tissue_patches(folder: Path | str, slide_id: str) -> np.ndarray:
    """Features `[m, D]`, as stored, of a slide's readable patches with tissue, regions and patches in their order.

    Where no patch has both, all readable ones; where none is readable, one row of zeros: a bag is never empty.

    Args:
        folder: `features/{encoder}`.
        slide_id: the slide.
    """
    table = read_table(slide_file(folder, slide_id), ["features", "read_ok", "tissue"])
    features, wanted = from_column(table, "features"), _wanted(table)
    return features[wanted] if wanted.any() else np.zeros((1, features.shape[-1]), features.dtype)


def _wanted(table: pa.Table) -> np.ndarray:
    """Which patches of a slide are its bag, bool `[n, g, g]`, by its columns read_ok and tissue."""
    read_ok = from_column(table, "read_ok")
    wanted: np.ndarray = read_ok & (from_column(table, "tissue") > 0)
    return wanted if wanted.any() else read_ok


def _bag_length(folder: Path, slide_id: str) -> int:
    """Rows of `tissue_patches`; the features are not read."""
    return max(1, int(_wanted(read_table(slide_file(folder, slide_id), ["read_ok", "tissue"])).sum()))


class PatchBags(LazyBags[str]):
    """The bags of S slides, each `tissue_patches`, read anew each time it is asked for."""

    def __init__(self, folder: Path | str, slide_ids: Sequence[str]) -> None:
        """Bags of the slides, in that order, in the folder `features/{encoder}`."""
        super().__init__(slide_ids)
        self.folder = Path(folder)

    def read(self, key: str) -> np.ndarray:
        """The bag of a slide, `[m, D]`."""
        return tissue_patches(self.folder, key)

    def lengths(self) -> np.ndarray:
        """Patches in each bag, int64 `[S]`; the features are not read."""
        return np.array([_bag_length(self.folder, name) for name in self.keys], dtype=np.int64)

    def size(self) -> int:
        """Bytes that all bags together take in memory; the features of one slide alone are read."""
        first = self[0]
        return int(self.lengths().sum()) * first.shape[1] * first.itemsize


def bags_with_room(folder: Path | str, slide_ids: Sequence[str], memory_mb: int | None) -> PatchBags:
    """Bags of the slides, once it is told what they take in memory, which a head on bags holds once.

    Args:
        folder: `features/{encoder}`.
        slide_ids: the slides.
        memory_mb: what the job has, of which `WORKING_MB` are for all else; None for no limit.

    Raises:
        UserError: they do not fit.
    """
    bags = PatchBags(folder, slide_ids)
    size = bags.size()
    log.info("the patches of %d slides take %.1f GB in memory", len(bags), size / 1e9)
    require_room(len(bags), size, memory_mb)
    return bags


def require_room(slides: int, size: int, memory_mb: int | None) -> None:
    """Refuse the patches of a number of slides, `size` bytes, where memory is too little; as `bags_with_room`."""
    needed = math.ceil(size / 1e6) + WORKING_MB
    if memory_mb is not None and needed > memory_mb:
        raise UserError(
            f"the patches of {slides} slides take {size / 1e9:.1f} GB in memory and the job has {memory_mb / 1e3:.1f} "
            f"GB; give it more (--set-resources fit_head:mem_mb={needed}), lay fewer regions (regions.max_per_slide), "
            "or set embed.patches: false"
        )
