"""The readers of slides, one file `reader_{name}.py` each, tried one after the other.

A reader has a function `open_file(path, head, threads)`: of the slide's file, its first 1024 bytes, and how many tiles
may be decoded at once. It returns a `backend.Backend`, raises `NotMine` where the next reader is to be tried, or
`SlideError` where the file is its own and cannot be used.
"""

from importlib import import_module
from pathlib import Path

from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.backend import Backend, NotMine
from workflow_scripts.wsi.file_head import looks_like, read_head

# Readers in the order in which they are tried, with the suffixes by which their slides are found in a folder; which
# reader opens a file is told by its content. OpenSlide is the reader of record.
READERS = {
    "openslide": ".svs .tif .tiff .ndpi .mrxs .scn .bif .vms .vmu .svslide .czi .dcm",
    "plain_image": ".tif .tiff .png .jpg .jpeg",
}


def _file_of(path: str) -> str:
    """The file itself, or the first DICOM file of a folder: OpenSlide finds the rest of its series beside it."""
    if Path(path).is_dir():
        found = sorted(Path(path).glob("*.dcm"))
        if not found:
            raise SlideError("missing_file", f"{path} is a folder without *.dcm; give the slide's file in column path")
        return str(found[0])
    if not Path(path).is_file():
        raise SlideError("missing_file", f"{path} does not exist or is no file; check the column path of the manifest")
    return path


def open_backend(path: str, threads: int = 1) -> Backend:
    """Open a slide by the first reader that takes it.

    Args:
        path: the slide's file, or the folder of a DICOM series.
        threads: tiles decoded at once where tiles are decoded here.

    Raises:
        SlideError: `missing_file`, `unreadable_file`, or `not_brightfield` for a plain image that is not RGB.
    """
    path = _file_of(path)
    head = read_head(path)
    refusals = []
    for name in READERS:
        reader = import_module(f"workflow_scripts.wsi.reader_{name}")
        try:
            return reader.open_file(path, head, threads)
        except NotMine as refusal:
            refusals.append(str(refusal))
    said = "; ".join(filter(None, refusals))
    raise SlideError("unreadable_file", f"{path} cannot be opened: {looks_like(head)} ({said})")
