"""Regions' embeddings as one array, read piece by piece."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.core.errors import UserError

_ROWS = 8192  # read at once
_BUFFER = 2**20  # bytes of the file that are held; else all of a row group's column would be


def read_region_vectors(path: Path) -> tuple[np.ndarray, list[str], list[str]]:
    """Vectors float32 `[N, d]`, slide ids and region ids of regions.parquet of a run's embeddings.

    Nothing but the result is held whole, and no list of Arrow's, whose offsets end at 2^31 values.

    Raises:
        UserError: the file is no readable one, it has no regions, or their vectors differ in width.
    """
    vectors = np.empty((0, 0), dtype=np.float32)
    slide_ids: list[str] = []
    region_ids: list[str] = []
    known: dict[str, str] = {}  # one text a slide
    try:
        with pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
            for piece in file.iter_batches(_ROWS, columns=["slide_id", "region_id", "vector"]):
                values, start = piece["vector"].flatten().to_numpy(zero_copy_only=False), len(region_ids)
                if not start:
                    vectors = np.empty((file.metadata.num_rows, len(values) // len(piece)), dtype=np.float32)
                vectors[start : start + len(piece)] = values.reshape(len(piece), -1)
                slide_ids += [known.setdefault(name, name) for name in piece["slide_id"].to_pylist()]
                region_ids += piece["region_id"].to_pylist()
    except (pa.ArrowInvalid, ValueError) as error:
        raise UserError(f"{path} is not a readable table of regions ({error}); delete it and run again") from None
    if not vectors.size:
        raise UserError(f"{path} holds no vectors of regions; name other embeddings, such as those of slpd")
    return vectors, slide_ids, region_ids
