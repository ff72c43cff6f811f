"""Tissue score of CLAM's recipe: HSV saturation, then a median filter.

The recipe (Lu et al. 2021, doi 10.1038/s41551-020-00682-w; `segmentTissue` and presets/*.csv of its repository) goes on
with a threshold, a closing, and filters of the pieces' areas and of the holes' number and areas, in that order, as
`tissue.segment` does. What differs: one physical scale (`tissue.mpp`) for every slide where CLAM takes the level
nearest to a downsample of 64; widths and areas in um and um2 (`config.slides.clam_preset`); a closing by the disc as
wide as CLAM's square; areas of pixels where CLAM takes those of contours.
"""

import numpy as np

from workflow_scripts.tissue.method_saturation import saturation

FULL_SCALE = 1.0


def score(rgb: np.ndarray, width_px: float) -> np.ndarray:
    """Saturation of uint8 `[h, w, 3]` after a median over the odd number of px next to `width_px`, uint8 `[h, w]`."""
    import pyvips  # its median slides a histogram; others take time by the window's area

    size = 2 * int(width_px / 2) + 1
    sharp = saturation(rgb)
    return pyvips.Image.new_from_array(sharp).median(size).numpy() if size > 1 else sharp
