"""Pen marks on a slide, by the colour of marker ink.

At 8 um/px and a saturation above 0.1, the hues of haematoxylin and eosin lie between 245 and 345 degrees in the real
slides of the tests; only CMU-1 has paler bluish pixels, and DAB adds browns near 30. Green and blue ink lie below, red
ink is far more saturated than eosin, and black ink has no colour. Ranges for each colour of ink are the classical way
(Dusenberry and Hu's filters of red, green and blue pen, https://github.com/CODAIT/deep-histopath; HistoQC, Janowczyk
et al. 2019, doi 10.1200/CCI.18.00157); these are chosen anew, in hue, saturation and value.

Tissue has such colours, too: a whole slide by its stain (haematoxylin alone, Giemsa, trichrome, alcian blue), a part
of one by carbon, pigment or blood. `is_stain` and `ink_to_remove` tell these from ink by shape and surroundings.
"""

import numpy as np
from scipy import ndimage

from workflow_scripts.tissue.shapes import drop_small, grow, open_mask

STROKE_UM = 80.0  # narrower marks are folds, pigment or dust; the finest markers draw 300 um
MIN_AREA_UM2 = 20_000.0
_RIM_UM = 24.0  # the faded rim of a stroke
_BROAD_UM = 600.0  # twice the width of a fine marker's stroke
_DEEP_SATURATION = 0.65  # green and blue ink is deeper, stains at 8 um/px are paler
_LENGTH = 2.5  # a stroke is at least so many times as long as it is wide; a disc comes to 0.8, a square to 1


def hue_saturation_value(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hue in degrees 0..360, saturation and value 0..1 of uint8 `[h, w, 3]`, float32 `[h, w]` each."""
    r, g, b = (rgb[..., channel].astype(np.float32) for channel in range(3))
    high = np.maximum(np.maximum(r, g), b)
    chroma = high - np.minimum(np.minimum(r, g), b)
    scale = np.maximum(chroma, 1)
    sector = np.where(high == r, (g - b) / scale, np.where(high == g, (b - r) / scale + 2, (r - g) / scale + 4))
    return sector * 60 % 360, chroma / np.maximum(high, 1), high / 255


def green_blue_colours(rgb: np.ndarray) -> np.ndarray:
    """Pixels of the colour of green or blue ink, bool `[h, w]`."""
    hue, saturation, _ = hue_saturation_value(rgb)
    return (hue >= 75) & (hue <= 240) & (saturation >= 0.4)


def ink_colours(rgb: np.ndarray) -> np.ndarray:
    """Pixels of the colour of green, blue, red or black ink, bool `[h, w]`."""
    hue, saturation, value = hue_saturation_value(rgb)
    red = ((hue >= 348) | (hue <= 12)) & (saturation >= 0.7) & (value >= 0.5)
    black = (value >= 0.1) & (value <= 0.35) & (saturation <= 0.35)  # below 0.1: the padding of a scanner
    return green_blue_colours(rgb) | red | black


def find_ink(rgb: np.ndarray, um_per_px: float) -> np.ndarray:
    """Pen strokes, at least 80 um wide and 0.02 mm2 large, bool `[h, w]`, of uint8 `[h, w, 3]` at `um_per_px`."""
    ink = open_mask(ink_colours(rgb), STROKE_UM / 2 / um_per_px)
    ink = drop_small(ink, MIN_AREA_UM2 / um_per_px**2)
    return grow(ink, _RIM_UM / um_per_px)


def is_stain(rgb: np.ndarray, ink: np.ndarray, tissue: np.ndarray, um_per_px: float) -> bool:
    """Whether ink's colours are those of the tissue itself.

    They are where they cover more than the rest of the tissue and do not look like strokes: most of them is wider than
    0.6 mm, or most is green or blue of a median saturation below 0.65.

    Args:
        rgb: uint8 `[h, w, 3]` at `um_per_px`.
        ink: bool `[h, w]`, of `find_ink`.
        tissue: bool `[h, w]`, what is tissue beside it.
        um_per_px: scale of the three.
    """
    if ink.sum() <= (tissue & ~ink).sum():
        return False
    broad = open_mask(ink, _BROAD_UM / 2 / um_per_px)
    if 2 * broad.sum() > ink.sum():
        return True
    coloured = ink & ink_colours(rgb)
    cool = ink & green_blue_colours(rgb)
    pale = np.median(hue_saturation_value(rgb)[1][cool]) < _DEEP_SATURATION if cool.any() else False
    return bool(2 * cool.sum() > coloured.sum() and pale)


def ink_to_remove(rgb: np.ndarray, ink: np.ndarray, tissue: np.ndarray, um_per_px: float) -> np.ndarray:
    """The pieces of `ink` that are surely no tissue, bool `[h, w]`.

    Green and blue pieces are. Carbon and pigment are black and blood is red, so black and red pieces are only where
    they are strokes, at least 2.5 times as long as wide, or border on glass with most of their rim. The arguments are
    those of `is_stain`.
    """
    pieces, count = ndimage.label(ink, np.ones((3, 3)))
    coloured, cool = ink & ink_colours(rgb), ink & green_blue_colours(rgb)
    keep = np.zeros(count + 1, bool)
    for piece, (rows, columns) in enumerate(ndimage.find_objects(pieces), 1):
        # With the rim that is looked at, and no further; the border of the slide is no border of a piece.
        margin = int(np.ceil(_RIM_UM / um_per_px)) + 1
        window = np.s_[
            max(0, rows.start - margin) : rows.stop + margin, max(0, columns.start - margin) : columns.stop + margin
        ]
        mine = pieces[window] == piece
        is_cool = 2 * (mine & cool[window]).sum() >= (mine & coloured[window]).sum()
        keep[piece] = not (
            is_cool or _is_stroke(mine) or _is_apart(mine, ink[window], tissue[window], _RIM_UM / um_per_px)
        )
    return ink & ~keep[pieces]


def _is_stroke(piece: np.ndarray) -> bool:
    """Length over width, as area over squared width: the width is that of the largest disc inside."""
    width = 2 * ndimage.distance_transform_edt(piece).max()
    return bool(piece.sum() >= _LENGTH * width**2)


def _is_apart(piece: np.ndarray, ink: np.ndarray, tissue: np.ndarray, rim_px: float) -> bool:
    rim = grow(piece, rim_px) & ~ink
    return bool(2 * (rim & tissue).sum() < rim.sum())
