"""Slides by OpenSlide, the pixels of JPEG tiles decoded straight from the file where that is safe."""

import openslide

from workflow_scripts.wsi.backend import Backend, NotMine
from workflow_scripts.wsi.direct import DirectBackend, find_levels
from workflow_scripts.wsi.openslide_backend import OpenSlideBackend


def open_file(path: str, head: bytes, threads: int = 1) -> Backend:
    """Open a slide by OpenSlide, which looks at more than its head.

    Raises:
        NotMine: with what OpenSlide says.
    """
    try:
        reference = OpenSlideBackend(path)
        levels = find_levels(reference)
        return DirectBackend(reference, levels, threads) if levels else reference
    except openslide.OpenSlideError as error:
        raise NotMine(error) from error
