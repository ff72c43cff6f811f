"""Writing safetensors files whole, with an OSError that a full disk is told by, and the user's usual permissions."""

import hashlib
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from workflow_scripts.core.files import whole_file


def write_tensors(path: Path | str, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> str:
    """Write contiguous CPU tensors to a safetensors file, whole or not at all; the file's SHA-256.

    The bytes go through Python's own `open`: safetensors' writer makes files that only their owner can read,
    and reports a full disk by an error that is no OSError.
    """
    data = save(tensors, metadata)
    with whole_file(path) as partial:
        partial.write_bytes(data)
    return hashlib.sha256(data).hexdigest()
