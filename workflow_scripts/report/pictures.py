"""Pictures as data URIs."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image


def fit(width: int, height: int, longest: int) -> tuple[int, int]:
    """Width and height in px whose longer side is at most `longest`, in the same proportions."""
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def data_uri(content: bytes, kind: str) -> str:
    """`content` as a data URI of the media type `kind`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def jpeg_uri(pixels: np.ndarray, quality: int = 80) -> str:
    """RGB picture `[height, width, 3]` uint8 as a JPEG data URI."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=quality, optimize=True)
    return data_uri(buffer.getvalue(), "image/jpeg")


def read_picture(path: Path, longest: int) -> np.ndarray | None:
    """Picture file as RGB `[height, width, 3]` uint8 with the longer side at most `longest` px; null if unreadable."""
    try:
        with Image.open(path) as image:
            size = fit(*image.size, longest)
            return np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS))
    except (OSError, ValueError):
        return None
