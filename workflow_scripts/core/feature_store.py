"""The features of a cohort as arrays: one Parquet file a slide in, regions of all slides in manifest order out.

Ids, counts and flags are read at once; the features, which are large, when and where they are wanted.
"""

import argparse
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_file import feature_facts, feature_schema, slide_file
from workflow_scripts.core.tables import read_table
from workflow_scripts.core.tensor_rows import TensorRows
from workflow_scripts.core.tensors import from_column

__all__ = [  # the parts of core.feature_file that readers need, too
    "FeatureStore",
    "add_feature_arguments",
    "feature_facts",
    "feature_schema",
    "load_features",
    "slide_file",
    "usable_slides",
]


def in_threads(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """`map` over files in as many threads as this process has cores, eight at most; order kept."""
    with ThreadPoolExecutor(min(8, len(os.sched_getaffinity(0)))) as pool:
        return list(pool.map(function, items))


@dataclass(frozen=True)
class FeatureStore:
    """Regions of all usable slides, slides contiguous.

    Attributes:
        slide_ids: slides with at least one region, S of them.
        counts: int64 `[S]`, regions of each.
        region_ids: N region ids.
        read_ok: bool `[N, g, g]`, False where a token is padding or could not be read.
        rows: S columns of tokens, each `[g, g, D]` float16, still in their files.
    """

    slide_ids: list[str]
    counts: np.ndarray
    region_ids: list[str]
    read_ok: np.ndarray
    rows: list[TensorRows]

    @cached_property
    def slide_index(self) -> np.ndarray:
        """int64 `[N]`: index into `slide_ids` of each region."""
        return np.repeat(np.arange(len(self.slide_ids)), self.counts)

    @cached_property
    def starts(self) -> np.ndarray:
        """int64 `[S]`: the first region of each slide."""
        starts: np.ndarray = np.cumsum(self.counts) - self.counts
        return starts

    @property
    def grid(self) -> int:
        return self.rows[0].note.shape[0]

    @property
    def dim(self) -> int:
        return self.rows[0].note.shape[-1]

    @property
    def nbytes(self) -> int:
        """Bytes of all tokens in memory."""
        return len(self.region_ids) * self.rows[0].note.width

    @cached_property
    def tokens(self) -> np.ndarray:
        """float16 `[N, g, g, D]`, read at the first use and kept."""
        tokens = np.empty((len(self.region_ids), *self.rows[0].note.shape), np.float16)
        self.read_into(tokens)
        return tokens

    @cached_property
    def tissue(self) -> np.ndarray:
        """float32 `[N, g, g]`, tissue fraction of each token's patch, read at the first use and kept."""

        def read(rows: TensorRows) -> np.ndarray:
            return from_column(read_table(rows.path, ["tissue"]), "tissue")

        return np.concatenate(in_threads(read, self.rows))

    def read_into(self, tokens: np.ndarray, first: int = 0) -> None:
        """Read the tokens of consecutive regions, all by default, without another copy; slides in threads.

        Args:
            tokens: float16 `[n, ...]`, rows of the regions, each of g * g * D values.
            first: number of the first region.
        """
        flat = tokens.reshape(len(tokens), -1).view(np.uint8)
        begins, ends = np.maximum(self.starts, first), np.minimum(self.starts + self.counts, first + len(tokens))

        def read(slide: int) -> None:
            rows = flat[begins[slide] - first : ends[slide] - first]
            self.rows[slide].read_all(rows, int(begins[slide] - self.starts[slide]))

        in_threads(read, np.flatnonzero(begins < ends))

    def pick(self, index: np.ndarray, tokens: np.ndarray) -> None:
        """Copy the tokens of the regions int64 `[B]` into `tokens`, float16 `[B, ...]`, from the mapped files."""
        flat = tokens.reshape(len(tokens), -1).view(np.uint8)
        slide, row = self.slide_index[index], index - self.starts[self.slide_index[index]]
        places = [(number, np.flatnonzero(slide == number)) for number in np.unique(slide)]
        for number, place in places:
            self.rows[number].expect(row[place])
        for number, place in places:
            self.rows[number].read(row[place], [flat[i] for i in place])


def open_features(path: Path) -> tuple[list[str], np.ndarray, TensorRows]:
    """Region ids of a slide, readable flags bool `[n, g, g]`, and the tokens in their file.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with pq.ParquetFile(path) as file:
            small = file.read(["region_id", "read_ok"])
            return small["region_id"].to_pylist(), from_column(small, "read_ok"), TensorRows.of(path, file, "features")
    except pa.ArrowInvalid as error:
        raise UserError(f"{path} is not a readable Parquet file ({error}); delete it and run again") from error


def load_features(folder: Path | str, slide_ids: list[str]) -> FeatureStore:
    """Features of the given slides in `features/{encoder}`, in the given order; slides without regions are left out.

    Raises:
        UserError: a file cannot be read, no slide has a region, or slides differ in grid or width.
    """
    opened = in_threads(open_features, [slide_file(folder, name) for name in slide_ids])
    kept = [(name, *parts) for name, parts in zip(slide_ids, opened, strict=True) if parts[0]]
    if not kept:
        raise UserError(
            f"none of the {len(slide_ids)} usable slides has features in {folder}; "
            "look at slides.parquet for why slides or regions were excluded"
        )
    names, regions, read_ok, rows = map(list, zip(*kept, strict=True))
    for name, other in zip(names, rows, strict=True):
        if other.note != rows[0].note:
            raise UserError(
                f"the features of slide {name} are {other.note.shape} a region, those of {names[0]} "
                f"{rows[0].note.shape}; delete {other.path} and run extract_features again"
            )
    return FeatureStore(
        slide_ids=names,
        counts=np.array([len(ids) for ids in regions], dtype=np.int64),
        region_ids=[region for ids in regions for region in ids],
        read_ok=np.concatenate(read_ok),
        rows=rows,
    )


def usable_slides(*tables: Path | str) -> list[str]:
    """Ids of the slides with status ok, in the order of the manifests, from slides.parquet of one cohort or several."""
    rows = [row for table in tables for row in read_table(table, ["slide_id", "status"]).to_pylist()]
    return [row["slide_id"] for row in rows if row["status"] == "ok"]


def add_feature_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of every command that reads features: where they are, which slides, and how many GPUs."""
    parser.add_argument("--features", required=True, help="folder features/{encoder}")
    parser.add_argument("--slides", nargs="+", required=True, help="slides.parquet of one cohort or several")
    parser.add_argument("--gpu", type=int, default=0, help="GPUs granted; 0 means CPU")
