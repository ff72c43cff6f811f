"""Pictures as data URIs."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

_SMALLEST_PX = 64


def fit(width: int, height: int, longest: int) -> tuple[int, int]:
    """Width and height in px whose longer side is at most `longest`, in the same proportions."""
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def data_uri(content: bytes, kind: str) -> str:
    """`content` as a data URI of the media type `kind`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def jpeg_bytes(pixels: np.ndarray, quality: int = 80) -> bytes:
    """RGB picture `[height, width, 3]` uint8 as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def jpeg_uri(pixels: np.ndarray, quality: int = 80) -> str:
    """RGB picture `[height, width, 3]` uint8 as a JPEG data URI."""
    return data_uri(jpeg_bytes(pixels, quality), "image/jpeg")


def fitted_jpeg(pixels: np.ndarray, most_bytes: int) -> str:
    """RGB picture `[height, width, 3]` uint8 as a JPEG data URI, made smaller until it has at most `most_bytes`.

    At 64 px a side it is taken whatever its size.
    """
    picture, longest = Image.fromarray(np.ascontiguousarray(pixels)), max(pixels.shape[:2])
    while True:
        content = jpeg_bytes(np.asarray(picture), 75)
        if len(content) <= most_bytes or longest <= _SMALLEST_PX:
            return data_uri(content, "image/jpeg")
        # The size goes with the area; a little less than that, to be done in few steps.
        longest = max(_SMALLEST_PX, int(longest * min(0.9, 0.95 * (most_bytes / len(content)) ** 0.5)))
        size = fit(pixels.shape[1], pixels.shape[0], longest)
        picture = Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.LANCZOS)


def read_picture(path: Path, longest: int) -> np.ndarray | None:
    """Picture file as RGB `[height, width, 3]` uint8 with the longer side at most `longest` px; null if unreadable."""
    try:
        with Image.open(path) as image:
            size = fit(*image.size, longest)
            return np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS))
    except (OSError, ValueError):
        return None
