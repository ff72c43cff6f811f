"""Several slides in one file, told apart by the manifest: `path#2` is the second image of a TIFF or OME-TIFF.

Standard library only: every cluster job reads it again.
"""

import os
import re

_NUMBERED = re.compile(r"(.+)#([1-9]\d{0,3})", re.DOTALL)


def split_series(path: str) -> tuple[str, int | None]:
    """The file that a path of the manifest names, and which of its images, from 1; None where it does not say.

    A file whose own name ends like that is itself: `stain#2` is no second image where there is such a file.
    """
    found = _NUMBERED.fullmatch(path)
    if found is None or os.path.exists(path):
        return path, None
    return found[1], int(found[2])


def slide_exists(path: str) -> bool:
    """Whether the file or folder of a slide is there."""
    return os.path.exists(split_series(path)[0])
