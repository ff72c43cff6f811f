"""Single rows of a tensor column, read from the Parquet file by their offset: no decoding, no other row touched.

A column written without compression keeps its values in the file as they are in memory. Files written otherwise are
read as well, a row group at a time, which is many times slower for rows picked at random.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from workflow_scripts.core.tensors import TensorNote, from_column, tensor_note

_PLAIN = {"PLAIN", "RLE", "BIT_PACKED"}  # values as they are; the others encode levels, of which there are none


def _varint(value: int) -> bytes:
    """A non-negative integer as Thrift's compact protocol writes an i32: zigzag, seven bits a byte."""
    value, out = value * 2, bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def row_offsets(path: Path | str, metadata: pq.FileMetaData, name: str) -> np.ndarray | None:
    """Offsets int64 `[n]` in the file of the rows of tensor column `name`; None where they have to be decoded.

    A row group's values stand in the file as they are if its column chunk is one uncompressed page of plain values
    that are never null. The page then ends with all n times `width` bytes of them, and its header begins with page
    type 0 (a data page) and twice that size (Thrift fields 1 to 3, see parquet.thrift). Anything else gives None.
    """
    place = metadata.schema.names.index(name)
    schema = metadata.schema.column(place)
    parts = [np.empty(0, np.int64)]
    with open(path, "rb") as file:
        for group in range(metadata.num_row_groups):
            column = metadata.row_group(group).column(place)
            plain = column.compression == "UNCOMPRESSED" and set(column.encodings) <= _PLAIN
            if not plain or schema.max_definition_level:
                return None
            values = column.num_values * schema.length
            header = b"\x15\x00\x15" + _varint(values) + b"\x15" + _varint(values)
            file.seek(column.data_page_offset)
            if file.read(len(header)) != header:
                return None
            first = column.data_page_offset + column.total_compressed_size - values
            parts.append(first + schema.length * np.arange(column.num_values, dtype=np.int64))
    return np.concatenate(parts)


@dataclass(frozen=True)
class TensorRows:
    """The rows of tensor column `name` of the file `path`.

    Attributes:
        note: dtype, shape and bytes of a row.
        groups: int64 `[G]`, rows of each row group.
        offsets: int64 `[n]`, where each row begins in the file; None where rows have to be decoded.
    """

    path: Path
    name: str
    note: TensorNote
    groups: np.ndarray
    offsets: np.ndarray | None

    @classmethod
    def of(cls, path: Path, file: pq.ParquetFile, name: str) -> "TensorRows":
        """Column `name` of an open Parquet file."""
        groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        note = tensor_note(file.schema_arrow.field(name))
        return cls(path, name, note, np.array(groups, np.int64), row_offsets(path, file.metadata, name))

    def __len__(self) -> int:
        return int(self.groups.sum())

    @cached_property
    def _map(self) -> mmap.mmap:
        with open(self.path, "rb") as file:  # the map outlives the handle
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def read_all(self, out: np.ndarray, first: int = 0) -> None:
        """Copy the rows from `first` on into `out`, uint8 `[b, width]`, straight from the file."""
        last = first + len(out)
        if self.offsets is None:
            self._decode(np.arange(first, last), out)
            return
        ends = np.cumsum(self.groups)
        with open(self.path, "rb", buffering=0) as file:
            for begin, end in zip(np.maximum(ends - self.groups, first), np.minimum(ends, last), strict=True):
                if begin >= end:
                    continue
                target = out[begin - first : end - first].data.cast("B")
                file.seek(int(self.offsets[begin]))
                while len(target):  # one call reads at most 2 GiB
                    read = file.readinto(target)
                    if not read:
                        raise OSError(f"{self.path} ends too early")
                    target = target[read:]

    def pieces(self) -> Iterator[np.ndarray]:
        """All rows in order, uint8 `[b * width]` a row group; as they are in the mapped file, where they can be."""
        first = 0
        for count in self.groups.tolist():
            if self.offsets is None:
                piece = np.empty((count, self.note.width), np.uint8)
                self._decode(np.arange(first, first + count), piece)
                yield piece.reshape(-1)
            elif count:
                start = int(self.offsets[first])
                yield np.frombuffer(self._map, np.uint8, count * self.note.width, start)
            first += count

    def expect(self, rows: np.ndarray) -> None:
        """Have the system read rows ahead that `read` is to copy soon; does not wait."""
        if self.offsets is None:
            return
        for start in self.offsets[rows].tolist():
            aligned = start - start % mmap.PAGESIZE
            self._map.madvise(mmap.MADV_WILLNEED, aligned, start + self.note.width - aligned)

    def read(self, rows: np.ndarray, out: list[np.ndarray]) -> None:
        """Copy the rows int64 `[b]` into `out`, b arrays uint8 `[width]`, from the memory-mapped file."""
        if self.offsets is None:
            decoded = np.empty((len(rows), self.note.width), np.uint8)
            self._decode(rows, decoded)
            for target, row in zip(out, decoded, strict=True):
                target[:] = row
            return
        mapped = np.frombuffer(self._map, np.uint8)
        for target, start in zip(out, self.offsets[rows].tolist(), strict=True):
            target[:] = mapped[start : start + self.note.width]

    def _decode(self, rows: np.ndarray, out: np.ndarray) -> None:
        ends = np.cumsum(self.groups)
        group_of = np.searchsorted(ends, rows, side="right")
        with pq.ParquetFile(self.path, memory_map=True) as file:
            for group in np.unique(group_of):
                values = from_column(file.read_row_group(int(group), [self.name]), self.name)
                flat = values.reshape(len(values), -1).view(np.uint8)
                here = group_of == group
                out[here] = flat[rows[here] - (ends[group] - self.groups[group])]
