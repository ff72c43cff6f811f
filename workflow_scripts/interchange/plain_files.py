"""Files without a layout of their own: one tensor (.pt), NumPy arrays, JSON. No pickle is executed."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np

from workflow_scripts.core.status import SlideError

_FLOATS = [np.dtype(name) for name in ("float16", "float32", "float64")]
# What a pickled array of numbers consists of; nothing else is allowed but tensors. Files of NumPy 1 name it otherwise.
_MAKE_ARRAY = cast("Callable[..., Any]", np.empty(0).__reduce__()[0])
_ARRAYS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    _MAKE_ARRAY,
    (_MAKE_ARRAY, "numpy.core.multiarray._reconstruct"),
    np.ndarray,
    np.dtype,
    *(type(dtype) for dtype in _FLOATS),
]


def read_tensor(path: Path) -> np.ndarray:
    """The one tensor or NumPy array (TRIDENT) of a .pt file; bfloat16 as float32.

    Raises:
        SlideError: `bad_features`: the file is damaged, or holds anything but a plain tensor.
    """
    import torch  # takes a second, and most layouts do without

    try:
        with torch.serialization.safe_globals(_ARRAYS):
            tensor = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        line = str(error).partition("\n")[0][:120]
        raise SlideError(
            "bad_features", f"{path} holds no plain tensor that is safe to load ({line}); give the HDF5 file instead"
        ) from error
    if isinstance(tensor, np.ndarray) and tensor.dtype in _FLOATS:
        return tensor
    if not isinstance(tensor, torch.Tensor):
        raise SlideError(
            "bad_features", f"{path} holds {type(tensor).__name__}, not one tensor; give the HDF5 file instead"
        )
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Arrays of an .npz file, or the fields of a structured .npy file, by name.

    Raises:
        SlideError: `bad_features`: the file is damaged, or would need pickle.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {name: loaded[name] for name in loaded.dtype.names or ()} or {"": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except Exception as error:  # zip, NumPy and compression each raise their own
        raise SlideError("bad_features", f"{path} is no readable NumPy file ({error}); copy it again") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no such file.

    Raises:
        SlideError: `bad_features`: the file is damaged.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SlideError("bad_features", f"{path} is no readable JSON file ({error}); copy it again") from error
    return content if isinstance(content, dict) else {}
