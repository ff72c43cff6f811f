"""The feature file of a slide: its columns, how it is written, where it lies and what it notes about itself.

Apart from the reading of features (`core.feature_store`), so that a change there does not encode slides again.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa

from workflow_scripts.core.tables import read_meta
from workflow_scripts.core.tensors import tensor_field

# Features hardly compress, and uncompressed they can be read by offset (core.tensor_rows); they are too wide for
# dictionaries or statistics.
FEATURE_PARQUET: dict[str, Any] = {
    "compression": dict.fromkeys(("slide_id", "region_id", "read_ok", "tissue", "colour"), "lz4"),
    "use_dictionary": ["slide_id"],
    "write_statistics": ["slide_id", "region_id"],
}


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


def slide_file(folder: Path | str, slide_id: str) -> Path:
    """Feature file of a slide in the folder `features/{encoder}`."""
    return Path(folder) / "slides" / f"{slide_id}.parquet"


def feature_facts(folder: Path | str, slide_id: str) -> dict[str, Any]:
    """Provenance stored with a slide's features: encoder, preprocessing, grid, patch_px, mpp."""
    return read_meta(slide_file(folder, slide_id))
