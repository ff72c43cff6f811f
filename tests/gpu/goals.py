"""What a GPU is to reach (one H100, bfloat16, the paper's setting), and how measured figures stand to it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

NSCLC_REGIONS = 62_853


class Goal(NamedTuple):
    """A bound for one figure of a part.

    Attributes:
        text: what is to be reached, in words.
        part: name of the part that measures it.
        figure: name of its figure.
        limit: the bound.
        kind: `at most`, `at least` or `below`.
        speed: it is of a GPU at full size, and figures of a CPU or of small sizes say nothing about it.
        cohort: it is of the published cohort's number of regions.
    """

    text: str
    part: str
    figure: str
    limit: float
    kind: str = "at most"
    speed: bool = True
    cohort: bool = False


GOALS = (
    Goal("unit tests on the device that fail", "unit", "failed", 0, speed=False),
    Goal("losses against the plain engine, float32, relative", "parity", "float32", 1e-5, speed=False),
    Goal("losses against the plain engine, bfloat16, relative", "parity", "bfloat16", 1e-2, speed=False),
    Goal("a step of 512 regions as in rounds (recorded), ms", "step", "ms_512", 45),
    Goal("regions/s in such steps of 512", "step", "regions_per_s_512", 11_000, "at least"),
    Goal("a step of 128 regions as in rounds (recorded), ms", "step", "ms_128", 15),
    Goal("peak memory beyond the features, steps of 512, GiB", "step", "peak_gib_512", 12),
    Goal("the host's share of a step of 512", "step", "host_share_512", 0.5, "below"),
    Goal("the host's share of a step of 128", "step", "host_share_128", 0.5, "below"),
    Goal("features of the cohort onto the GPU, s", "loading", "seconds", 4, cohort=True),
    Goal("from there to the first step, s", "loading", "first_step_s", 3),
    Goal("a round beyond its steps, s", "round", "beyond_s", 12, cohort=True),
    Goal("the whole pretraining as compile: auto has it, min", "round", "whole_min", 12, cohort=True),
    Goal("the feature stage's share of a ViT-L alone", "encoding", "stage_share_vit_large", 0.85, "at least"),
)


class Verdict(NamedTuple):
    """How a figure stands to its goal: `met`, `missed` or `not measured`; the figure is None where there is none."""

    goal: Goal
    found: float | None
    verdict: str


def judge(goal: Goal, found: Any, full: bool, regions: int) -> Verdict:
    """The verdict on one figure.

    Args:
        goal: what is to be reached.
        found: the figure; None, and anything that is no finite number, was not measured.
        full: it is of a GPU at full size.
        regions: of the cohort that was used.
    """
    number = found if isinstance(found, int | float) and abs(found) < float("inf") else None  # NaN is not below either
    if number is None or (goal.speed and not full) or (goal.cohort and regions < NSCLC_REGIONS):
        return Verdict(goal, number, "not measured")
    reached = {
        "at most": number <= goal.limit,
        "at least": number >= goal.limit,
        "below": number < goal.limit,
    }[goal.kind]
    return Verdict(goal, number, "met" if reached else "missed")


def judge_all(figures: Mapping[str, Mapping[str, Any]], full: bool, regions: int) -> list[Verdict]:
    """Verdicts on all goals, by the figures of each part that was measured."""
    return [judge(goal, figures.get(goal.part, {}).get(goal.figure), full, regions) for goal in GOALS]


def verdict_table(verdicts: list[Verdict]) -> list[str]:
    """Lines of a table of goals, figures and verdicts."""
    lines = ["| goal | limit | found | verdict |", "|---|---|---|---|"]
    for goal, found, verdict in verdicts:
        number = "" if found is None else f"{found:.4g}"
        lines.append(f"| {goal.text} | {goal.kind} {goal.limit:g} | {number} | {verdict} |")
    return lines
