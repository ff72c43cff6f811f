"""The slides of a shard one after the other: features into one file a slide, and a row of the index for each."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from workflow_scripts.config import Features, Regions
from workflow_scripts.core.entry import log
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_file import FEATURE_PARQUET, feature_schema
from workflow_scripts.core.status import SlideError, SlideStatus, excluded
from workflow_scripts.core.tables import read_meta, status_meta, table_writer
from workflow_scripts.encoders.device import choose_batch_size, compiled, out_of_memory_told
from workflow_scripts.encoders.encode import exact_arithmetic, white_token
from workflow_scripts.encoders.plan import SlideJob
from workflow_scripts.encoders.read_ahead import NoAnswer, ReadAhead, Source
from workflow_scripts.encoders.region import Region
from workflow_scripts.encoders.registry import Encoder
from workflow_scripts.encoders.slide_features import Counts, ReadPixels, ReadRegion, SlideExtraction, read_patches
from workflow_scripts.encoders.speed import read_speed, write_speed


def _regions_of(job: SlideJob, grid: int) -> Iterator[Region]:
    names = ("slide_id", "region_id", "x", "y", "size_x", "size_y")
    columns = [job.regions[name].to_pylist() for name in names]
    for slide_id, region_id, x, y, size_x, size_y, tissue in zip(*columns, job.tissue(), strict=True):
        if tissue.size != grid * grid:
            raise UserError(
                f"the regions of slide {job.status.slide_id} have {tissue.size} patches instead of {grid} x {grid}; "
                "run tile_regions for it again"
            )
        yield Region(slide_id, region_id, x, y, size_x, size_y, tissue.reshape(grid, grid))


def _judge(status: SlideStatus, counts: Counts, limit: float) -> None:
    """Raise `SlideError` where too much of the slide is unreadable."""
    fraction = counts.unreadable_fraction
    if counts.regions and fraction <= limit:
        return
    detail = (
        f"{counts.unreadable} of {counts.inside} patches ({fraction:.1%}) cannot be read; fetch the slide again, "
        f"or raise features.max_unreadable_fraction ({limit:g})"
    )
    if not counts.inside:
        detail = "no patch lies at least half inside the slide, which is smaller than a patch; leave it out"
    raise SlideError("unreadable_fraction", detail)


@dataclass(frozen=True)
class ShardRun:
    """How a shard is computed.

    Attributes:
        features, regions: the configuration.
        make_encoder: builds the encoder on its device; called only if a slide has to be written.
        open_pixels: a slide's row of its check table -> context manager that gives a function from a region's place to
            its pixels and readable flags; the function is called from several threads and raises `SlideError`.
        batch_size: patches encoded at once; None chooses, see `device.choose_batch_size`.
        threads: regions read at once at most.
        give_up_s: seconds after which a slide is given up of which a region does not come; None waits for ever.
    """

    features: Features
    regions: Regions
    make_encoder: Callable[[], Encoder]
    open_pixels: Callable[[dict[str, Any]], AbstractContextManager[ReadPixels]]
    batch_size: int | None
    threads: int
    give_up_s: float | None = None

    @cached_property
    def _ready(self) -> tuple[Encoder, int]:
        """The encoder as it is to run, and patches a batch."""
        encoder = self.make_encoder()
        batch_size = self.batch_size or choose_batch_size(encoder, self.regions.patch_px)
        if self.features.compile:
            encoder = compiled(encoder, batch_size, self.regions.patch_px)
        return encoder, batch_size

    def _readers(self) -> int:
        """Threads that read: all beside a GPU; two where the encoder needs the cores itself."""
        return self.threads if self._encoder.device.type == "cuda" else min(self.threads, 2)

    @property
    def _encoder(self) -> Encoder:
        return self._ready[0]

    @cached_property
    def _glass(self) -> np.ndarray:
        return white_token(self._encoder, self.regions.patch_px)

    @cached_property
    def _schema(self) -> pa.Schema:
        return feature_schema(self.regions.grid, self._encoder.dim)

    def _meta(self, job: SlideJob, status: SlideStatus, counts: Counts) -> dict[str, Any]:
        scale = {"grid": self.regions.grid, "patch_px": self.regions.patch_px, "mpp": self.regions.mpp}
        return {
            **status_meta(status),
            **scale,
            "dim": self._encoder.dim,
            "encoder": self._encoder.facts,
            "preprocessing": self._encoder.preprocessing,
            "batch_size": self._ready[1],
            "fingerprint": job.fingerprint,
            "n_patches": counts.encoded,
            "n_regions": counts.regions,
            "unreadable_fraction": counts.unreadable_fraction if counts.inside else None,
        }

    def _source(self, job: SlideJob) -> Source[Region, ReadRegion]:
        """A slide's regions, as the encoder wants them."""

        @contextmanager
        def opened() -> Iterator[Callable[[Region], ReadRegion]]:
            with self.open_pixels(job.check) as read:
                yield lambda region: read_patches(region, read, self.features.encode_glass)

        return Source(opened, _regions_of(job, self.regions.grid))

    def _write_features(self, job: SlideJob, reading: ReadAhead, counts: Counts) -> None:
        begun, waited = time.monotonic(), reading.waited_s
        extraction = SlideExtraction(
            self._encoder,
            self._schema,
            (job.check["width"], job.check["height"]),
            self._ready[1],
            self._glass,
            counts,
        )
        with (
            closing(reading.results()) as regions,
            table_writer(job.file, self._schema, **FEATURE_PARQUET) as writer,
        ):
            for piece in extraction.pieces(regions):
                writer.write(piece)
            _judge(job.status, counts, self.features.max_unreadable_fraction)
            writer.meta = self._meta(job, job.status, counts)
        if counts.encoded:
            spent, waited = time.monotonic() - begun, reading.waited_s - waited
            write_speed(job.file, {"patches_per_s": counts.encoded / spent, "wait_share": waited / spent})

    def _write(self, job: SlideJob, reading: ReadAhead) -> Counts:
        """Write a slide's file, an empty one where the slide is excluded."""
        status, counts = job.status, Counts()
        if status.ok:
            try:
                self._write_features(job, reading, counts)
                return counts
            except SlideError as failure:
                status = excluded(status.slide_id, failure.reason, failure.detail)
                # what was counted up to a read error is but a part of the slide
                counts = Counts() if failure.reason in ("read_error", "changed_file") else replace(counts, regions=0)
        with table_writer(job.file, self._schema, **FEATURE_PARQUET) as writer:
            writer.meta = self._meta(job, status, counts)
        return counts

    def _index_row(self, job: SlideJob) -> dict[str, Any]:
        meta: dict[str, Any]
        if job.kept:  # excluded for now; found up to date when the slide is back
            meta = {"status": asdict(job.status), "n_regions": 0, "n_patches": 0, "unreadable_fraction": None}
        else:
            meta = read_meta(job.file)
        return {
            **meta["status"],
            "file": f"slides/{job.file.name}",
            **{key: meta[key] for key in ("n_regions", "n_patches", "unreadable_fraction")},
            "tissue_mm2": job.tissue_mm2,
            **read_speed(job.file),
        }

    def _announce(self, jobs: list[SlideJob], stale: dict[str, int]) -> None:
        todo = [job for job in jobs if job.status.slide_id in stale]
        usable = [job for job in todo if job.status.ok]
        log.info(
            "%d slides: %d up to date, %d excluded by earlier stages; to do: %d slides, %d regions, %d patches",
            *(len(jobs), len(jobs) - len(todo), sum(not job.status.ok for job in jobs)),
            *(len(usable), sum(len(job.regions) for job in usable), sum(stale.values())),
        )

    def run(self, jobs: list[SlideJob]) -> list[dict[str, Any]]:
        """Compute what is not up to date; rows of `core.schemas.FEATURE_INDEX`, one a job, in their order.

        Raises:
            UserError: the encoder cannot be built or used, or regions have another grid; slides did not answer, and the
                others are done.
        """
        glass = self.features.encode_glass
        stale = {job.status.slide_id: job.patches_to_encode(glass) for job in jobs if not (job.up_to_date or job.kept)}
        self._announce(jobs, stale)
        todo = [job for job in jobs if job.status.slide_id in stale]
        lost = []
        with exact_arithmetic(), out_of_memory_told():
            if todo:
                _ = self._glass  # builds the encoder, which is no part of the first slide's time
            # a bar on a terminal, none in a log (disable=None)
            with tqdm(total=sum(stale.values()), unit="patch", disable=None, leave=False) as bar:
                progress = _Progress(stale, bar)
                while todo:
                    done = self._write_until_lost(todo, progress)
                    lost += [job.status.slide_id for job in todo[done : done + 1]]
                    todo = todo[done + 1 :]
        if lost:
            raise UserError(
                f"{len(lost)} of {len(jobs)} slides of this shard have not answered for {self.give_up_s:g} s "
                f"(slides.give_up_s), the others are done: {', '.join(lost)}; see that their files can be read, or "
                "take their rows out, and run the same again"
            )
        return [self._index_row(job) for job in jobs]

    def _write_until_lost(self, todo: list[SlideJob], progress: "_Progress") -> int:
        """Write slides, up to one that does not answer; how many were written."""
        sources = (self._source(job) for job in todo if job.status.ok)
        with ReadAhead(sources, self._readers(), give_up_s=self.give_up_s) as reading:
            for number, job in enumerate(todo):
                try:
                    counts = self._write(job, reading)
                except NoAnswer:
                    log.error("slide %s has not answered for %g s", job.status.slide_id, self.give_up_s)
                    return number
                progress.tell(job, counts)
        return len(todo)


class _Progress:
    """A bar, and a line a slide with the time that is left."""

    def __init__(self, patches: dict[str, int], bar: tqdm) -> None:
        self.patches, self.bar, self.begun = patches, bar, time.monotonic()
        self.total, self.done, self.slides = sum(patches.values()), 0, 0

    def tell(self, job: SlideJob, counts: Counts) -> None:
        patches = self.patches[job.status.slide_id]
        self.bar.update(patches)
        self.done, self.slides = self.done + patches, self.slides + 1
        left_s = (self.total - self.done) * (time.monotonic() - self.begun) / max(self.done, 1)
        speed, work = read_speed(job.file), "nothing to encode"
        if counts.encoded and speed["patches_per_s"]:
            rate, waits = speed["patches_per_s"], speed["wait_share"]
            work = f"{counts.encoded} patches, {rate:.0f} patches/s, {waits:.0%} of the time spent waiting for pixels"
        log.info(
            "slide %d/%d %s: %d regions, %s, ETA %s",
            *(self.slides, len(self.patches), job.status.slide_id, counts.regions, work),
            timedelta(seconds=round(left_s)),
        )
