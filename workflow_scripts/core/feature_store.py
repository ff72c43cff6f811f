"""The features of a cohort as arrays: one Parquet file a slide in, regions of all slides in manifest order out."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from workflow_scripts.core.tables import read_meta, read_table
from workflow_scripts.core.tensors import from_column, tensor_field


def feature_schema(grid: int, dim: int) -> pa.Schema:
    """Schema of a slide's features: per region `[g, g, D]` tokens, readable flags and colour statistics."""
    return pa.schema(
        [
            pa.field("slide_id", pa.string(), nullable=False),
            pa.field("region_id", pa.string(), nullable=False),
            tensor_field("features", (grid, grid, dim), "float16"),
            tensor_field("read_ok", (grid, grid), "bool"),  # inside the slide and readable
            tensor_field("tissue", (grid, grid), "float32"),  # tissue fraction of each patch
            tensor_field("colour", (grid, grid, 6), "float32"),  # mean RGB, standard deviation RGB, 0..1
        ]
    )


@dataclass(frozen=True)
class FeatureStore:
    """Regions of all usable slides, slides contiguous.

    Attributes:
        slide_ids: slides with at least one region, S of them.
        counts: int64 `[S]`, regions of each.
        region_ids: N region ids.
        tokens: float16 `[N, g, g, D]`.
        read_ok: bool `[N, g, g]`, False where a token is padding or could not be read.
    """

    slide_ids: list[str]
    counts: np.ndarray
    region_ids: list[str]
    tokens: np.ndarray
    read_ok: np.ndarray

    @property
    def slide_index(self) -> np.ndarray:
        """int64 `[N]`: index into `slide_ids` of each region."""
        return np.repeat(np.arange(len(self.slide_ids)), self.counts)

    @property
    def grid(self) -> int:
        return self.tokens.shape[1]

    @property
    def dim(self) -> int:
        return self.tokens.shape[-1]


def slide_file(folder: Path | str, slide_id: str) -> Path:
    """Feature file of a slide in the folder `features/{encoder}`."""
    return Path(folder) / "slides" / f"{slide_id}.parquet"


def load_features(folder: Path | str, slide_ids: list[str]) -> FeatureStore:
    """Load the features of the given slides from `features/{encoder}`, in the given order."""
    tables = [
        read_table(slide_file(folder, name), ["slide_id", "region_id", "features", "read_ok"]) for name in slide_ids
    ]
    kept = [(name, table) for name, table in zip(slide_ids, tables, strict=True) if len(table)]
    return FeatureStore(
        slide_ids=[name for name, _ in kept],
        counts=np.array([len(table) for _, table in kept], dtype=np.int64),
        region_ids=[region for _, table in kept for region in table["region_id"].to_pylist()],
        tokens=np.concatenate([from_column(table, "features") for _, table in kept]),
        read_ok=np.concatenate([from_column(table, "read_ok") for _, table in kept]),
    )


def usable_slides(slides_parquet: Path | str) -> list[str]:
    """Ids of the slides with status ok, in manifest order."""
    table = read_table(slides_parquet, ["slide_id", "status"])
    return [i for i, s in zip(table["slide_id"].to_pylist(), table["status"].to_pylist(), strict=True) if s == "ok"]


def feature_facts(folder: Path | str, slide_id: str) -> dict:
    """Provenance stored with a slide's features: encoder, preprocessing, grid, patch_px, mpp."""
    return read_meta(slide_file(folder, slide_id))


def add_feature_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of every command that reads features: where they are, which slides, and how many GPUs."""
    parser.add_argument("--features", required=True, help="folder features/{encoder}")
    parser.add_argument("--slides", required=True, help="slides.parquet")
    parser.add_argument("--gpu", type=int, default=0, help="GPUs granted; 0 means CPU")
