"""Of which series a DICOM file is, told by its head; the endings of such files tell nothing. Standard library only."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_IMAGE_TYPE, _SOP_CLASS, _SERIES, _INSTANCE = (0x0008, 0x0008), (0x0008, 0x0016), (0x0020, 0x000E), (0x0020, 0x0013)
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"  # VL Whole Slide Microscopy Image Storage, PS3.6 table A-1
_BESIDE = {"LABEL", "OVERVIEW", "THUMBNAIL"}
_HEAD_BYTES = 1 << 18  # colour profiles, the only large elements but pixels, come after the series
_OPEN = 0xFFFFFFFF
# value representations whose length has four bytes, PS3.5 table 7.1-1
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")


class Series(NamedTuple):
    """The series of a DICOM file.

    Attributes:
        uid: its UID.
        whole_slide: whether it is a whole slide and no radiograph or report.
        beside: whether the file is a label, an overview or a thumbnail, by its ImageType (PS3.3 C.8.12.4.1.1).
    """

    uid: str
    whole_slide: bool
    beside: bool = False


def is_dicom_name(path: Path) -> bool:
    """Whether a file may be of DICOM by its name: .dcm, no ending, or numbers with dots (a UID)."""
    return path.suffix.lower() in (".dcm", "") or path.suffix[1:].isdigit()


def read_series(path: Path | str) -> Series | None:
    """Series of a file by its first 256 KiB; None where it is no DICOM file, or none of explicit little endian.

    Elements are read as PS3.5 7.1 of the standard lays them out, those of sequences passed over.
    """
    try:
        if not Path(path).is_file():  # a pipe would never end
            return None
        with Path(path).open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return None
    if head[128:132] != b"DICM":
        return None
    found = dict(_elements(head, 132))
    uid = found.get(_SERIES)
    if not uid:
        return None
    beside = not _BESIDE.isdisjoint(found.get(_IMAGE_TYPE, "").split("\\"))
    return Series(uid, found.get(_SOP_CLASS) == _WHOLE_SLIDE, beside)


def slides_of_folder(folder: Path | str) -> dict[str, Path]:
    """First file of each slide in a folder, by the UID of its series; names and endings tell nothing."""
    found: dict[str, Path] = {}
    for path in sorted(path for path in Path(folder).iterdir() if path.is_file()):
        series = read_series(path)
        if series is not None and series.whole_slide and not series.beside:
            found.setdefault(series.uid, path)
    return found


def _elements(data: bytes, start: int) -> Iterator[tuple[tuple[int, int], str]]:
    """Tags and text of the elements from `start` up to that of the series, as far as the data goes."""
    try:
        while True:
            tag, begin, length = _element(data, start)
            if tag > _INSTANCE:
                return
            if length == _OPEN:
                start = _after_items(data, begin)
                continue
            start = begin + length
            if tag in (_IMAGE_TYPE, _SOP_CLASS, _SERIES):
                yield tag, data[begin:start].decode("ascii", "replace").rstrip("\0 ")
    except struct.error:  # the data ends, or is laid out otherwise
        return


def _element(data: bytes, start: int) -> tuple[tuple[int, int], int, int]:
    """Tag, place of the value and its length; items and what ends them have no value representation."""
    tag = struct.unpack_from("<HH", data, start)
    kind = data[start + 4 : start + 6]
    if tag[0] == _ITEM[0]:
        return tag, start + 8, *struct.unpack_from("<I", data, start + 4)
    if kind in _LONG:
        return tag, start + 12, *struct.unpack_from("<I", data, start + 8)
    if not kind.isalpha():
        raise struct.error("no explicit value representation")
    return tag, start + 8, *struct.unpack_from("<H", data, start + 6)


def _after_items(data: bytes, start: int) -> int:
    """Place behind a sequence or item of open length that begins at `start`."""
    depth = 1  # counted, for a file may nest them as deep as it likes
    while depth:
        tag, begin, length = _element(data, start)
        depth += (length == _OPEN) - (tag in (_ITEM_END, _SEQUENCE_END))
        start = begin if length == _OPEN else begin + length
    return start
