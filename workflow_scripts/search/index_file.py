"""A safetensors file written from arrays where they lie: safetensors' own writers hold all of its bytes once more."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from workflow_scripts.core.files import whole_file

_KINDS = {"float32": "F32", "int32": "I32", "uint8": "U8"}


def write_arrays(path: Path | str, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write arrays (float32, int32, uint8) in their order, whole or not at all.

    The format: eight bytes of the header's length, the header as JSON, and the arrays one after another.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name, array in arrays.items():
        kind, start, end = _KINDS[str(array.dtype)], end, end + array.nbytes
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the arrays are aligned
    with whole_file(path) as partial, open(partial, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).data)
