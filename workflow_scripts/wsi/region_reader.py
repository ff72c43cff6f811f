"""The regions of one slide for several threads that read at once."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import local

from workflow_scripts.core.status import Reason, SlideError, ended_by
from workflow_scripts.wsi.fetch import local_slide
from workflow_scripts.wsi.pixels import RegionPixels, read_region
from workflow_scripts.wsi.slide import open_slide
from workflow_scripts.wsi.unchanged import unchanged


@contextmanager
def region_reader(
    slide_id: str, path: str, grid: int, patch_px: int, checked: int | None = None
) -> Iterator[Callable[[int, int, int, int], RegionPixels]]:
    """Reader of a slide's regions, each by its corner x, y and its size in x and y, all in level-0 px.

    Every thread that calls it opens the slide for itself; all are closed at the end of the `with` block.

    Args:
        slide_id: the slide.
        path: its file; one that was fetched and removed is fetched again.
        grid: patches along each side of a region.
        patch_px: width of a patch as it is read, px.
        checked: bytes of the file when it was checked, see `unchanged`.

    Raises:
        SlideError: from the reader: `changed_file`; `read_error` where the slide cannot be opened, or a decoder fails
            otherwise than by an unreadable tile.
        UserError: from the reader: a fetched slide cannot be had again.
    """
    thread = local()
    with ExitStack() as opened:

        def read(x: int, y: int, size_x: int, size_y: int) -> RegionPixels:
            try:
                file = path if hasattr(thread, "slide") else local_slide(path)
                with unchanged(file, checked):
                    if not hasattr(thread, "slide"):
                        thread.slide = opened.enter_context(open_slide(file))
                    return read_region(thread.slide, x, y, size_x, size_y, grid, patch_px)
            except Exception as error:  # whatever a decoder does with one slide, the others go on
                found = ended_by(error, slide_id, "read_error", f"{path} cannot be read")
                reason: Reason = "changed_file" if found.reason == "changed_file" else "read_error"
                raise SlideError(reason, found.detail) from error

        yield read
