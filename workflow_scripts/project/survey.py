"""Looking at the slides of a cohort, all or a sample, and what that tells of the whole."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeVar

from workflow_scripts.core.duplicates import same_slides
from workflow_scripts.core.entry import log
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.fetched import is_remote
from workflow_scripts.core.manifest import SlideRow
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.core.status import ended_by

Row = dict[str, Any]  # of core.schemas.CHECK; `guessable` is True where the objective would give a scale
_Item = TypeVar("_Item")
_SEGMENTED = 12  # slides whose tissue is looked for: seconds each, minutes without a pyramid
_TOLD_EVERY = 25  # slides


class Range(NamedTuple):
    """A figure that is known to lie between two values only."""

    low: float
    high: float


class RegionCount(NamedTuple):
    """What a slide gives at one size of region: regions with enough tissue, and patches of them with any."""

    regions: int
    patches: int


Counts = dict[int, RegionCount]  # of a slide, by grid


@dataclass(frozen=True)
class Survey:
    """Slides that were looked at.

    Attributes:
        listed: slides of the manifest.
        rows: rows of `core.schemas.CHECK`, one for each slide that was opened.
        counts: regions by grid, one for each slide whose tissue was found.
        lost: rows of slides that were opened and whose tissue could not be found, with the reason.
        remote: slides that are addresses, and were not looked at.
        twins: ids of two rows that are one slide, and how that was found.
    """

    listed: int
    rows: list[Row]
    counts: list[Counts]
    lost: list[Row]
    remote: int = 0
    twins: tuple[tuple[str, str, str], ...] = ()

    @property
    def usable(self) -> list[Row]:
        """Rows of the slides that can be opened and have a scale."""
        return [row for row in self.rows if row["status"] == "ok"]

    @property
    def excluded(self) -> list[Row]:
        """Rows of the slides that cannot be used, for whatever reason."""
        return [row for row in self.rows if row["status"] != "ok"] + self.lost

    @property
    def guessable(self) -> int:
        """Slides without a scale that `slides.mpp_from_objective` would give one."""
        return sum(bool(row.get("guessable")) for row in self.rows)

    @property
    def complete(self) -> bool:
        """Whether every slide was opened and the tissue of all that can be used was looked for."""
        return len(self.rows) == self.listed and len(self.counts) + len(self.lost) == len(self.usable)

    @property
    def expected_slides(self) -> float:
        """Slides of the cohort that will be used, by the shares of those looked at."""
        opened = len(self.usable) / max(1, len(self.rows))
        segmented = len(self.counts) / max(1, len(self.counts) + len(self.lost))
        return self.listed * opened * segmented

    @property
    def mean_px(self) -> float:
        """Px of a slide as if it had 0.25 um/px, on average over those that can be used."""
        areas = [row["width"] * row["height"] * row["mpp_x"] * row["mpp_y"] / 0.25**2 for row in self.usable]
        return statistics.fmean(areas) if areas else 0.0

    def regions(self, grid: int) -> list[int]:
        """Regions of each slide whose tissue was found."""
        return [counts[grid].regions for counts in self.counts]

    def expected(self, grid: int) -> tuple[Range, Range]:
        """Regions of the whole cohort, and patches with tissue in them."""
        patches = [counts[grid].patches for counts in self.counts]
        slides = self.expected_slides
        return expected_total(self.regions(grid), slides), expected_total(patches, slides)


def take_sample(items: Sequence[_Item], count: int, seed: int = 0) -> list[_Item]:
    """`count` items by chance, in their order; all where there are no more. The same seed takes the same ones."""
    if len(items) <= count:
        return list(items)
    chosen = sorted(range(len(items)), key=lambda place: derive_seed(seed, "project sample", place))[:count]
    return [items[place] for place in sorted(chosen)]


def expected_total(values: Sequence[int], population: float) -> Range:
    """Sum over a population of which `values` is a random sample: its mean with two standard errors either way.

    The standard error has the correction for a finite population (Cochran, Sampling Techniques, 1977, 2.5), so that a
    sample of all gives their sum. Of a single value nothing is known but that one: half to twice as much.
    """
    count = len(values)
    if not count:
        return Range(0.0, 0.0)
    total = statistics.fmean(values) * population
    if count >= population:
        return Range(total, total)
    if count == 1:
        return Range(max(total / 2, values[0]), 2 * total)
    error = statistics.stdev(values) / math.sqrt(count) * math.sqrt(1 - count / population) * population
    return Range(max(total - 2 * error, sum(values)), total + 2 * error)


def look_at_slides(
    slides: Sequence[SlideRow], sample: int, check: Callable[[SlideRow], Row], count: Callable[[Row], Counts]
) -> Survey:
    """Open the slides, and find the tissue of a few of them.

    Args:
        slides: of the manifest; those that are addresses are passed over.
        sample: slides to open at most, drawn by chance.
        check: opens one slide; a row of `schemas.CHECK`, also of one that cannot be used.
        count: regions of a slide by grid, by its tissue; may raise what a decoder raises.

    Raises:
        UserError: slides were opened and none of them can be read.
    """
    here = [slide for slide in slides if not is_remote(slide.path)]
    rows = []
    for slide in take_sample(here, sample):
        rows.append(check(slide))
        if len(rows) % _TOLD_EVERY == 0 or len(rows) == min(sample, len(here)):
            log.info("opened %d of %d slides", len(rows), min(sample, len(here)))
    _refuse_unreadable(rows)
    counts: list[Counts] = []
    lost: list[Row] = []
    chosen = take_sample([row for row in rows if row["status"] == "ok"], _SEGMENTED)
    for number, row in enumerate(chosen, 1):
        log.info("looking for tissue, slide %d of %d: %s", number, len(chosen), row["slide_id"])
        try:
            counts.append(count(row))
        except Exception as error:  # whatever a decoder does with one file, the other slides go on
            status = ended_by(error, row["slide_id"], "read_error", f"{row['path']} cannot be segmented")
            lost.append(row | asdict(status))
    twins = dict.fromkeys((one.slide_id, two.slide_id, how) for one, two, how in same_slides(slides))
    return Survey(len(slides), rows, counts, lost, len(slides) - len(here), tuple(twins))


def _refuse_unreadable(rows: list[Row]) -> None:
    """A slide without a scale can be mended in the manifest; one that cannot be read cannot."""
    if rows and not any(row["status"] == "ok" or row["reason"] in ("no_mpp", "implausible_mpp") for row in rows):
        first = rows[0]
        raise UserError(
            f"none of the {len(rows)} slides that were opened can be read, the first is {first['path']} "
            f"({first['reason']}: {first['detail']}); give another folder"
        )
