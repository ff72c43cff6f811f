"""Vectors of a table as an array."""

import numpy as np
import pyarrow as pa


def vectors_of(table: pa.Table) -> np.ndarray:
    """Column `vector`, lists of one length d without nulls, as float32 `[N, d]`; `[0, 0]` where there are no rows."""
    # chunk by chunk: one list of all would end at 2^31 values
    parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in table["vector"].chunks]
    flat = parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.float32), *parts])
    return np.asarray(flat, dtype=np.float32).reshape(len(table), -1 if len(table) else 0)


def vectors_at(table: pa.Table, region_ids: list[str]) -> np.ndarray:
    """Vectors float32 `[N, d]` of the regions of these ids, NaN where a region is not in the table."""
    place = {region: number for number, region in enumerate(table["region_id"].to_pylist())}
    rows = np.array([place.get(region, -1) for region in region_ids], dtype=np.int64)
    vectors = vectors_of(table)
    found: np.ndarray = np.concatenate([vectors, np.full((1, vectors.shape[1]), np.nan, dtype=np.float32)])[rows]
    return found
