"""Colours of a TIFF page as it stores them, to 8-bit RGB on white: one rule for colour space, alpha and bit depth.

The table is in docs/slides.md. Where OpenSlide reads a page, libtiff converts it; the formulas here are those.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from workflow_scripts.core.status import SlideError

if TYPE_CHECKING:
    from tifffile import TiffPage

GREY = (0, 1)  # TIFF's PhotometricInterpretation, here and below
RGB, PALETTE, CMYK, YCBCR, CIELAB, ICCLAB = 2, 3, 5, 6, 8, 9
_NAMES = {0: "grey", 1: "grey", 2: "RGB", 3: "a palette", 5: "CMYK", 6: "YCbCr", 8: "CIELab", 9: "ICCLab", 10: "ITULab"}
_JPEG_KINDS = (6, 7, 33007, 34892)  # TIFF compressions whose decoder gives RGB of YCbCr
_UNSPECIFIED, _ASSOCIATED, _UNASSOCIATED = 0, 1, 2  # TIFF's ExtraSamples
_D50 = (0.9642, 1.0, 0.8249)
# XYZ under D50 to linear sRGB, Bradford-adapted (http://www.brucelindbloom.com/index.html?Eqn_RGB_XYZ_Matrix.html).
_XYZ_TO_RGB = np.array(
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
)
ToRgb = Callable[[np.ndarray], np.ndarray]


def _samples(page: "TiffPage") -> int:
    """Colours of a pixel, whether side by side or each in a plane of its own; 0 for anything else."""
    return {"YX": 1, "YXS": page.shape[-1], "SYX": page.shape[0]}.get(page.axes, 0)


def is_grey(page: "TiffPage") -> bool:
    """Whether a page holds one brightness a pixel; three or more samples called grey are RGB (Bio-Formats)."""
    return page.photometric in GREY and (_samples(page) < 3 or page.axes == "SYX")


def has_filler(page: "TiffPage") -> bool:
    """Whether samples beyond the colours have no meaning that the page tells; they are no alpha."""
    return _samples(page) > 3 and page.photometric in (*GREY, RGB, YCBCR) and _alpha(page) == _UNSPECIFIED


def _alpha(page: "TiffPage") -> int:
    """Meaning of the fourth sample."""
    return int(page.extrasamples[0]) if page.extrasamples else _UNSPECIFIED


def require_colours(path: str, page: "TiffPage") -> None:
    """Refuse what cannot be brought to RGB, by its colour space.

    Raises:
        SlideError: `not_brightfield` for grey, `unreadable_file` for other colours.
    """
    if is_grey(page):
        raise _grey(f"{page.dtype} with the axes {page.axes} {page.shape}")
    samples, space = _samples(page), page.photometric
    eight = page.dtype == np.uint8 and page.bitspersample == 8
    sixteen = page.dtype == np.uint16 and page.bitspersample == 16
    known = {
        **dict.fromkeys((*GREY, RGB), samples in (3, 4) and (eight or sixteen)),
        PALETTE: samples == 1 and eight and page.colormap is not None,
        CMYK: samples == 4 and eight and page.compression not in _JPEG_KINDS,
        YCBCR: samples in (3, 4) and eight and (page.compression in _JPEG_KINDS or _is_whole(page)),
        **dict.fromkeys((CIELAB, ICCLAB), samples == 3 and eight),
    }
    planes = page.axes == "SYX" and space != RGB
    if planes or not known.get(space, False):
        colours = _NAMES.get(space, f"TIFF's photometric {int(space)}")
        raise _other_colours(
            path, f"{colours} ({page.dtype}, {samples} samples of {page.bitspersample} bits{' in planes' * planes})"
        )


def require_mode(path: str, mode: str) -> None:
    """Refuse a PNG or JPEG of other colours than RGB, by the mode that Pillow gives it.

    Raises:
        SlideError: as `require_colours`.
    """
    if mode in ("1", "L", "LA", "I", "I;16", "F"):
        raise _grey(f"of mode {mode}")
    if mode not in ("RGB", "RGBA", "P"):
        raise _other_colours(path, mode)


def _grey(what: str) -> SlideError:
    detail = f"the image is grey, {what}, not RGB; only brightfield slides in colour are used"
    return SlideError("not_brightfield", detail)


def _other_colours(path: str, what: str) -> SlideError:
    return SlideError(
        "unreadable_file",
        f"{path} keeps its colours as {what}, which is not read; convert it to 8-bit RGB, e.g. with "
        "`vips colourspace IN TEMP.v srgb` and `vips tiffsave TEMP.v OUT.tif --tile --pyramid --compression jpeg`",
    )


def _is_whole(page: "TiffPage") -> bool:
    """Whether colour differences have a value a pixel; what tags do not say, the size of uncompressed data does."""
    if page.subsampling is not None:
        return bool(page.subsampling == (1, 1))
    return bool(page.compression != 1 or sum(page.databytecounts) >= 3 * page.imagewidth * page.imagelength)


def rgb_converter(page: "TiffPage") -> ToRgb | None:
    """From decoded samples of a page, `[h, w, n]`, to uint8 `[h, w, 3]` on white; null where they are that already."""
    space = page.photometric
    if space == PALETTE:
        return _palette(np.asarray(page.colormap))
    if space == CMYK:
        return _from_cmyk
    if space in (CIELAB, ICCLAB):
        return lambda pixels: _from_lab(pixels, signed=space == CIELAB)
    if space == YCBCR and page.compression not in _JPEG_KINDS:
        return _from_ycbcr
    if _samples(page) == 3 and page.dtype == np.uint8:
        return None
    alpha = _alpha(page)
    return lambda pixels: _on_white(eight_bits(pixels), alpha)


def eight_bits(pixels: np.ndarray) -> np.ndarray:
    """uint16 as uint8, 65535 as 255, rounded; uint8 as it is."""
    return pixels if pixels.dtype == np.uint8 else ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _on_white(pixels: np.ndarray, alpha: int) -> np.ndarray:
    """Colours of uint8 `[h, w, 3 or 4]`, laid on white where the fourth sample is an alpha."""
    colours = pixels[..., :3]
    if pixels.shape[2] == 3 or alpha not in (_ASSOCIATED, _UNASSOCIATED) or (pixels[..., 3] == 255).all():
        return np.ascontiguousarray(colours)
    cover = pixels[..., 3:].astype(np.uint16)
    if alpha == _ASSOCIATED:  # colours are multiplied by it already
        return np.minimum(colours + (255 - cover), 255).astype(np.uint8)
    return ((colours * cover + 255 * (255 - cover) + 127) // 255).astype(np.uint8)


def _palette(colormap: np.ndarray) -> ToRgb:
    """A look-up of a map uint16 `[3, 256]`; some writers fill it with 8-bit values."""
    colours = colormap.T.astype(np.uint32)
    table = (colours if colours.max() < 256 else colours * 255 // 65535).astype(np.uint8)
    return lambda pixels: table[pixels[..., 0]]


def _from_cmyk(pixels: np.ndarray) -> np.ndarray:
    """Ink laid over ink, without a profile: (255 - K) * (255 - C) / 255."""
    light = 255 - pixels.astype(np.uint16)
    return (light[..., :3] * light[..., 3:] // 255).astype(np.uint8)


def _from_ycbcr(pixels: np.ndarray) -> np.ndarray:
    """Full-range BT.601, as JFIF and TIFF's defaults have it."""
    y, cb, cr = (pixels[..., i].astype(np.float32) for i in range(3))
    cb, cr = cb - 128, cr - 128
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=2)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def _from_lab(pixels: np.ndarray, signed: bool) -> np.ndarray:
    """CIE 1976 L*a*b* under D50 to sRGB; a* and b* are signed bytes, or (ICC) have 128 added."""
    light = pixels[..., 0].astype(np.float32) * (100 / 255)
    a, b = (
        pixels[..., i].view(np.int8).astype(np.float32) if signed else pixels[..., i].astype(np.float32) - 128
        for i in (1, 2)
    )
    fy = (light + 16) / 116
    f = np.stack([fy + a / 500, fy, fy - b / 200], axis=2)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * np.array(_D50, np.float32)
    linear = np.clip(xyz @ _XYZ_TO_RGB.T, 0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(srgb * 255).astype(np.uint8)
