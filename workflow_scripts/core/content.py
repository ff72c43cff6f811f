"""Digests of content: by it, and not by times, a job tells whether what it made before still holds."""

import hashlib
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from workflow_scripts.core.series import split_series


def table_digest(table: pa.Table) -> str:
    """Digest of a table's values and column names; its metadata, chunks and file do not count."""
    sink = pa.BufferOutputStream()
    table = table.replace_schema_metadata(None).combine_chunks()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return hashlib.sha256(sink.getvalue()).hexdigest()


def sampled_digest(path: Path, pieces: int = 16, piece_bytes: int = 65536) -> str:
    """Digest (16 hex digits) of a file's size and of evenly spaced pieces of it.

    Tells a slide that was fetched anew or replaced from the old one without reading gigabytes; file times do not count.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for number in range(pieces):
            file.seek(max(0, size - piece_bytes) * number // max(1, pieces - 1))
            digest.update(file.read(piece_bytes))
    return digest.hexdigest()[:16]


@lru_cache(maxsize=1 << 16)
def _seen_digest(path: Path, size: int, changed_ns: int) -> str:
    """`sampled_digest` of a file in this state: slides that share a folder share its files."""
    return sampled_digest(path)


def _slide_files(path: Path) -> list[Path]:
    """Files of the slide that is opened by `path`, which exists, by name; other files beside them do not count."""
    if path.is_dir() or path.suffix.lower() == ".dcm":
        named, folder, suffixes = [], path if path.is_dir() else path.parent, {".dcm"}
    elif path.suffix.lower() == ".mrxs":
        named, folder, suffixes = [path], path.with_suffix(""), {".dat", ".ini"}
    else:
        return [path]
    beside = sorted(folder.iterdir()) if folder.is_dir() else []
    return named + [file for file in beside if file.suffix.lower() in suffixes and file.is_file()]


def slide_digest(path: Path) -> str | None:
    """Digest (16 hex digits) of a slide's content by `sampled_digest`, None where there is no file.

    Of a slide of one file it is that file's, whichever of its images the slide is. A DICOM slide is all `*.dcm` of its
    folder, by whichever of them it is named; an MRXS its index file with the `.dat` files and `Slidedat.ini` of its
    folder.
    """
    path = Path(split_series(str(path))[0])
    files = [file for file in _slide_files(path) if file.is_file()] if path.exists() else []  # a pipe would never end
    digests = []
    for file in files:
        state = file.stat()
        digests.append((file.name, _seen_digest(file, state.st_size, state.st_mtime_ns)))
    if len(digests) < 2:
        return digests[0][1] if digests else None
    return hashlib.sha256(repr(digests).encode()).hexdigest()[:16]
