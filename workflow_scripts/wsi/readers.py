"""The readers of slides, one file `reader_{name}.py` each, tried one after the other.

A reader has a function `open_file(path, head, threads)`: of the slide's file, its first 1024 bytes, and how many tiles
may be decoded at once. It returns a `backend.Backend`, raises `NotMine` where the next reader is to be tried, or
`SlideError` where the file is its own and cannot be used.
"""

import os
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

from workflow_scripts.core.cells import first_few
from workflow_scripts.core.dicom import slides_of_folder
from workflow_scripts.core.series import split_series
from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.backend import Backend, NotMine
from workflow_scripts.wsi.file_head import TIFF, is_pipe, looks_like, read_head

# Readers in the order in which they are tried, with the suffixes by which their slides are found in a folder; which
# reader opens a file is told by its content. OpenSlide is the reader of record.
READERS = {
    "openslide": ".svs .tif .tiff .ndpi .mrxs .scn .bif .vms .vmu .svslide .czi .dcm",
    "plain_image": ".tif .tiff .png .jpg .jpeg",
}


def _file_of(path: str) -> str:
    """The file itself, or the first DICOM file of a folder: OpenSlide finds the rest of its series beside it."""
    if Path(path).is_dir():
        slides = slides_of_folder(path)
        if len(slides) > 1:
            names = first_few((file.name for file in slides.values()), 8)
            raise SlideError(
                "unreadable_file",
                f"{path} holds {len(slides)} DICOM slides; name a file of each in column path: {names}",
            )
        # of those that tell no series, by their ending
        found = [*slides.values()] or sorted(Path(path).glob("*.dcm"))
        if not found:
            raise SlideError(
                "missing_file", f"{path} is a folder without a DICOM slide; give the slide's file in column path"
            )
        return str(found[0])
    if not Path(path).is_file():
        raise SlideError("missing_file", f"{path} does not exist or is no file; check the column path of the manifest")
    return path


def _refuse_pipes(path: str, head: bytes) -> None:
    """A slide of many files that OpenSlide looks for by itself: all of its folder, of which none may be a pipe."""
    if path.lower().endswith(".mrxs"):
        folder = path[: -len(".mrxs")]
    elif head[128:132] == b"DICM":
        folder = os.path.dirname(path) or "."
    else:
        return
    with os.scandir(folder) if os.path.isdir(folder) else nullcontext(()) as entries:
        pipes = sorted(entry.path for entry in entries if is_pipe(entry))
    if pipes:
        raise SlideError(
            "unreadable_file", f"{pipes[0]}, of the slide {path}, is a pipe or device and no file; remove it"
        )


def open_backend(path: str, threads: int = 1) -> Backend:
    """Open a slide by the first reader that takes it.

    Args:
        path: the slide's file, the folder of a DICOM series, or the file with `#` and the number of one of its images.
        threads: tiles decoded at once where tiles are decoded here.

    Raises:
        SlideError: `missing_file`, `unreadable_file`, or `not_brightfield` for a plain image that is not RGB.
    """
    file, number = split_series(path)
    path = _file_of(file)
    head = read_head(path)
    if number is not None and (os.path.isdir(file) or not head.startswith(TIFF)):
        raise SlideError(
            "unreadable_file", f"{file}#{number} names an image of a file, which only TIFF has; take #{number} away"
        )
    _refuse_pipes(path, head)
    refusals = []
    # OpenSlide takes the first image, whichever is asked for
    for name in READERS if number is None else ("plain_image",):
        reader = import_module(f"workflow_scripts.wsi.reader_{name}")
        try:
            return reader.open_file(path, head, threads, *(() if number is None else (number,)))
        except NotMine as refusal:
            refusals.append(str(refusal))
    said = "; ".join(filter(None, refusals))
    raise SlideError("unreadable_file", f"{path} cannot be opened: {looks_like(head)} ({said})")
