"""One slide from regions to pieces of its feature table."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from workflow_scripts.core.tensors import to_column
from workflow_scripts.encoders.encode import encode_groups
from workflow_scripts.encoders.grids import (
    assemble_tokens,
    colour_statistics,
    encoded_one_by_one,
    inside_slide,
    split_patches,
)
from workflow_scripts.encoders.region import Region
from workflow_scripts.encoders.registry import Encoder

REGIONS_A_PIECE = 32

# From x, y, size_x and size_y of a region, level-0 px, to its pixels, uint8 `[g*p, g*p, 3]`, and which of its patches
# could be read, bool `[g, g]`.
ReadPixels = Callable[[int, int, int, int], tuple[np.ndarray, np.ndarray]]


class ReadRegion(NamedTuple):
    """A region as it was read: the patches to encode uint8 `[n, p, p, 3]`, and flags and colours of all."""

    region: Region
    read_ok: np.ndarray
    encoded: np.ndarray
    colour: np.ndarray
    patches: np.ndarray


@dataclass
class Counts:
    """What a slide's pieces hold, counted while they are made: regions kept, and patches of all regions."""

    regions: int = 0
    inside: int = 0
    unreadable: int = 0
    encoded: int = 0

    @property
    def unreadable_fraction(self) -> float:
        """Among the patches inside the slide; 0 where there is none."""
        return self.unreadable / self.inside if self.inside else 0.0


def read_patches(region: Region, read: ReadPixels, encode_glass: bool) -> ReadRegion:
    """What the encoder needs of a region; called in the reading threads."""
    rgb, read_ok = read(region.x, region.y, region.size_x, region.size_y)
    grid = len(read_ok)
    encoded = encoded_one_by_one(read_ok, region.tissue, encode_glass)
    colour = np.where(read_ok[..., None], colour_statistics(rgb, grid), np.float32(0))
    return ReadRegion(region, read_ok, encoded, colour, split_patches(rgb, grid)[encoded])


@dataclass
class SlideExtraction:
    """Features of one slide, piece by piece.

    Attributes:
        encoder: on the device that is to be used.
        schema: from `core.feature_store.feature_schema`.
        size: width and height of the slide, px at level 0.
        batch_size: patches encoded at once.
        glass: float16 `[D]`, the token of bare glass.
        counts: filled in while `pieces` runs.
    """

    encoder: Encoder
    schema: pa.Schema
    size: tuple[int, int]
    batch_size: int
    glass: np.ndarray
    counts: Counts = field(default_factory=Counts)

    def _count(self, read: ReadRegion) -> None:
        region = read.region
        inside = inside_slide(region.x, region.y, region.size_x, region.size_y, len(read.read_ok), *self.size)
        self.counts.inside += int(inside.sum())
        self.counts.unreadable += int((inside & ~read.read_ok).sum())
        self.counts.encoded += int(read.encoded.sum())

    def _encoded(self, regions: Iterable[ReadRegion]) -> Iterator[dict[str, Any]]:
        under_way: deque[ReadRegion] = deque()

        def patches() -> Iterator[np.ndarray]:
            for read in regions:
                self._count(read)
                if not read.read_ok.any():  # nothing but padding or damage: later stages could only average nothing
                    continue
                self.counts.regions += 1
                under_way.append(read._replace(patches=np.empty(0, np.uint8)))
                yield read.patches

        for features in encode_groups(patches(), self.encoder, self.batch_size):
            read = under_way.popleft()
            yield {
                "slide_id": read.region.slide_id,
                "region_id": read.region.region_id,
                "features": assemble_tokens(features, read.encoded, read.read_ok, self.glass),
                "read_ok": read.read_ok,
                "tissue": read.region.tissue,
                "colour": read.colour,
            }

    def _piece(self, rows: list[dict[str, Any]]) -> pa.Table:
        columns = {}
        for part in self.schema:
            values = [row[part.name] for row in rows]
            columns[part.name] = to_column(np.stack(values), part) if part.metadata else pa.array(values, part.type)
        return pa.table(columns, schema=self.schema)

    def pieces(self, regions: Iterable[ReadRegion]) -> Iterator[pa.Table]:
        """Tables of up to 32 regions each, in the order of `regions`; regions without a readable patch are left out."""
        rows = self._encoded(regions)
        while piece := list(islice(rows, REGIONS_A_PIECE)):
            yield self._piece(piece)
