"""What was found of slides and regions, in sentences, for the configuration's comments and for the terminal."""

import statistics
from collections import Counter

from workflow_scripts.config import Config
from workflow_scripts.project.layout import ENOUGH_SHARE, GRIDS, PUBLISHED, Layout, share_with
from workflow_scripts.project.survey import Row, Survey
from workflow_scripts.project.wording import counted, numbers, rounded

_SOURCES = {
    "manifest": "the manifest",
    "vendor": "the scanner's tags",
    "ome_xml": "OME-XML",
    "tiff_resolution": "the TIFF resolution",
}
_NO_SCALE = {"no_mpp": "record no scale", "implausible_mpp": "record a scale that cannot be true"}
_SHOWN = 8  # slides that are named
_PAPER = Config()
_PER_PROTOTYPE = PUBLISHED[0][1] / PUBLISHED[0][0]  # regions


def slides_found(survey: Survey) -> str:
    """How many slides there are, how many were opened and can be used, and how large they are."""
    opened, usable = len(survey.rows), len(survey.usable) - len(survey.lost)
    can = "all can be used" if usable == opened else f"{usable:,} can be used"
    if opened + survey.remote < survey.listed:
        can = f"{opened:,} of them, drawn by chance, were opened: {can}"
    text = f"{counted(survey.listed, 'slide')}; {can}."
    if survey.usable:
        width, height = (
            statistics.median(row[side] * row[mpp] / 1000 for row in survey.usable)
            for side, mpp in (("width", "mpp_x"), ("height", "mpp_y"))
        )
        text += f" They measure {rounded(width)} x {rounded(height)} mm (median)."
    return text


def remote_found(survey: Survey) -> str:
    """Slides that are not on this machine, or nothing."""
    if not survey.remote:
        return ""
    return (
        f"{counted(survey.remote, 'slide')} of these are addresses, which were not looked at; the run fetches them "
        "once cohort.allow_network is true."
    )


def scale_found(survey: Survey) -> str:
    """The slides' scales and where they come from."""
    if not survey.usable:
        return "No slide has a scale that can be used."
    scales = [(row["mpp_x"] * row["mpp_y"]) ** 0.5 for row in survey.usable]
    low, high = f"{min(scales):.3g}", f"{max(scales):.3g}"
    span = low if low == high else f"{low} to {high} (median {statistics.median(scales):.3g})"
    sources = Counter(_SOURCES.get(row["mpp_source"], row["mpp_source"]) for row in survey.usable)
    told = " and ".join(f"{name} ({count})" for name, count in sources.most_common())
    return f"Scale at full resolution: {span} um/px, from {told}."


def _named(rows: list[Row]) -> str:
    names = ", ".join(row["slide_id"] for row in rows[:_SHOWN])
    return names + (f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else "")


def excluded_found(survey: Survey, manifest: str) -> list[str]:
    """Slides that cannot be used: those without a scale with what to do, the others with their reason.

    Args:
        survey: what was found.
        manifest: where a scale is to be filled in.
    """
    lines = []
    for reason, matter in _NO_SCALE.items():
        rows = [row for row in survey.excluded if row["reason"] == reason]
        if rows:
            lines.append(
                f"Left out, for they {matter}: {_named(rows)}. Write the true value (um/px at full resolution, about "
                f"0.25 for 40x and 0.5 for 20x) into column mpp of {manifest}."
            )
    if survey.guessable:
        lines.append(
            f"Of {counted(survey.guessable, 'slide')} without a scale the objective's power is recorded: "
            "slides: { mpp_from_objective: true } guesses the scale from it."
        )
    others = [row for row in survey.excluded if row["reason"] not in _NO_SCALE]
    lines += [f"Left out: {row['slide_id']}, {row['reason']}: {row['detail']}." for row in others[:_SHOWN]]
    if len(others) > _SHOWN:
        reasons = Counter(row["reason"] for row in others[_SHOWN:])
        lines.append(f"Left out too: {', '.join(f'{count} more, {reason}' for reason, count in reasons.items())}.")
    return lines


def twins_found(survey: Survey, manifest: str) -> list[str]:
    """Slides that are listed twice, which the run refuses.

    Args:
        survey: what was found.
        manifest: where one of them is to be taken out.
    """
    mend = f"the run refuses them, so take one out of {manifest}"
    lines = [f"One slide twice, {how}: {one} and {two}; {mend}." for one, two, how in survey.twins[:_SHOWN]]
    return lines + ([f"So are {len(survey.twins) - _SHOWN} more pairs."] if len(survey.twins) > _SHOWN else [])


def too_many_lost(survey: Survey) -> str:
    """That the run will stop for the slides that are left out, or nothing."""
    allowed = _PAPER.cohort.max_failed_fraction
    lost = 1 - survey.expected_slides / max(1, survey.listed)
    if lost <= allowed:
        return ""
    return (
        f"{lost:.0%} of the slides are left out, and the run stops where more than {allowed:.0%} are: mend them, take "
        "them out of the list, or raise cohort.max_failed_fraction."
    )


def doubts_found(survey: Survey) -> list[str]:
    """Slides that can be used, with a doubt about their scale."""
    rows = [row for row in survey.usable if row["detail"]]
    lines = [f"Used, with a doubt: {row['slide_id']}, {row['detail']}." for row in rows[:_SHOWN]]
    return lines + ([f"So are {len(rows) - _SHOWN} more slides."] if len(rows) > _SHOWN else [])


def region_px(grid: int) -> int:
    """Side of a region at the scale at which it is read, px."""
    return grid * _PAPER.regions.patch_px


def region_table(survey: Survey) -> list[str]:
    """Regions of a slide at each size of region, and how many slides have enough, in columns; nothing if unknown."""
    if not survey.counts:
        return []
    needs = [needed for _, needed in PUBLISHED]
    heads = [f"slides with {needed} or more" for needed in needs]
    lines = [f"grid  region, px  regions a slide: least, median, most  {'  '.join(heads)}"]
    for grid in GRIDS:
        counts = survey.regions(grid)
        spread = f"{min(counts)}, {statistics.median(counts):g}, {max(counts)}"
        shares = [f"{sum(count >= needed for count in counts)} of {len(counts)}" for needed in needs]
        cells = "  ".join(f"{share:>{len(head)}}" for share, head in zip(shares, heads, strict=True))
        lines.append(f"{grid:>4}  {region_px(grid):>10}  {spread:>38}  {cells}")
    return lines


def regions_found(survey: Survey, layout: Layout) -> str:
    """Which regions are taken, and why."""
    (prototypes, needed), (_, fewer) = PUBLISHED
    if not survey.counts:
        return "The tissue of no slide is known yet, so the regions are the paper's."
    looked = "all slides" if survey.complete else counted(len(survey.counts), "slide")
    paper, here = (statistics.median(survey.regions(grid)) for grid in (GRIDS[0], layout.grid))
    first = (
        f"Regions, by the tissue of {looked}: {paper:g} a slide (median) at the paper's {region_px(GRIDS[0])} px; "
        f"{ENOUGH_SHARE:.0%} of the slides should have {needed}"
    )
    if layout.grid == GRIDS[0] and layout.prototypes == prototypes:
        return f"{first}. They have: the paper's regions and prototypes are taken."
    if layout.grid == GRIDS[0]:
        return f"{first}, and have {fewer}: 2 prototypes a slide are taken, as in the paper for TCGA-BRCA."
    taken = f"{first}. So grid {layout.grid} ({region_px(layout.grid)} px) is taken, which gives {here:g}"
    if layout.prototypes == prototypes:
        return f"{taken}."
    return f"{taken}, and {layout.prototypes} prototypes for slides of {layout.min_regions} regions or more."


def cap_found(counts: list[int], layout: Layout) -> str:
    """What a cap on the regions of a slide saves, to stand above its key.

    Args:
        counts: regions of each slide that was looked at.
        layout: whose `min_regions` is the cap.
    """
    return (
        f"Features are made sooner with this key, which keeps {layout.min_regions} regions a slide, by chance, of "
        f"{statistics.median(counts):g} (median). They are made anew once it is taken out."
    )


def limits_found(survey: Survey, layout: Layout) -> list[str]:
    """What SLPD cannot do for these slides with these regions."""
    counts = survey.regions(layout.grid)
    lines: list[str] = []
    if not counts:
        return lines
    if layout.min_regions / layout.prototypes < _PER_PROTOTYPE:
        each = statistics.median(counts) / layout.prototypes
        lines.append(
            f"The slides are small for SLPD: a prototype stands for {rounded(each)} of a slide's regions, in the "
            f"paper for {_PER_PROTOTYPE:g} and more. Every slide gets its vector, and the benchmark its figures; "
            "whether prototypes help here is told by the run dino, the same without them."
        )
    without = sum(count < layout.min_regions for count in counts)
    if without:
        lines.append(
            f"Slides with fewer than {layout.min_regions} regions: {without} of {len(counts)}. They are trained on and "
            "get their vector, without prototypes of their own."
        )
    if share_with(counts, layout.min_regions) < ENOUGH_SHARE:
        lines.append("So SLPD can hardly be more than DINO here; compare it with the run dino and the baseline mean.")
    return lines


def amount_found(survey: Survey, layout: Layout) -> str:
    """Regions and patches of the whole cohort."""
    if not survey.counts:
        return "What it costs cannot be told before the tissue of some slides is known."
    regions, patches = survey.expected(layout.grid)
    return f"In all {numbers(regions)} regions with {numbers(patches)} patches of tissue."
