"""What a file is by its kind and its first bytes."""

import os
import stat

from workflow_scripts.core.status import SlideError

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PLAIN_IMAGES = (*TIFF, b"\x89PNG", b"\xff\xd8\xff")


def is_pipe(path: str | os.PathLike[str]) -> bool:
    """Whether it is a pipe, a socket or a device, of which reading may never end; a folder or a broken link is none."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def read_head(path: str) -> bytes:
    """The first 1024 bytes of a file.

    Raises:
        SlideError: `unreadable_file`.
    """
    try:
        with open(path, "rb") as file:
            return file.read(1024)
    except OSError as error:
        raise SlideError(
            "unreadable_file",
            f"{path} cannot be read ({error.strerror}); see to its permissions, `touch` it and run again",
        ) from error


def looks_like(head: bytes) -> str:
    """What a file that no reader takes seems to be, as the end of a sentence."""
    if not head:
        return "the file is empty; fetch it again"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the slide itself; run git lfs pull"
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page, probably an error message saved in place of the slide; fetch it again"
    if b"Aperio" in head or head.startswith(PLAIN_IMAGES):
        return "it seems truncated, damaged or of an unsupported kind of image; fetch it again"
    return "its content is no known slide format"
