"""Tables of the comparison, from its JSON files: means over seeds, and paired differences from DINO."""

import json
import math
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import t as student

from tests.benchmarks.context.measures import MEASURES
from tests.benchmarks.context.variants import DINO, SUPERVISED
from workflow_scripts.mil.intervals import LEVEL, holm

CURVES = (
    *("index", "agreement", "rank", "by_slide", "by_class", "own_right", "neighbour_right", "contrast"),
    *("entropy_intra", "divergence_intra", "entropy_inter", "divergence_inter", "teacher_entropy"),
)


class Difference(NamedTuple):
    """Mean difference over seeds, its limits and its p value; NaN where one seed alone tells of it."""

    mean: float
    low: float
    high: float
    p: float


def difference(values: np.ndarray, other: np.ndarray) -> Difference:
    """Paired difference over seeds, each with a cohort and a training of its own, by Student's t.

    Args:
        values: float64 `[seeds]` of the one.
        other: float64 `[seeds]` of the other, which is subtracted.
    """
    change = values - other
    mean, n = float(change.mean()), len(change)
    error = float(change.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    if not error > 1e-9:  # one seed, or differences that are equal but for rounding
        return Difference(mean, math.nan, math.nan, math.nan)
    width = float(student.ppf((1 + LEVEL) / 2, n - 1)) * error
    return Difference(mean, mean - width, mean + width, float(2 * student.sf(abs(mean) / error, n - 1)))


Found = dict[str, dict[int, dict[str, Any]]]
"""What a file holds, by variant and seed."""


def read(folder: Path, variants: Collection[str], seeds: Collection[int]) -> dict[str, Found]:
    """Results in a folder of these variants, in their order, and of these seeds, by size and cohort."""
    kept: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(folder.glob("*.json")):
        one = json.loads(path.read_text(encoding="utf-8"))
        if one["variant"] in variants and one["seed"] in seeds:
            kept[f"{one['size']}, {one['cohort']}"].append(one)
    found: dict[str, Found] = {}
    for name, results in kept.items():
        present = {one["variant"] for one in results}
        found[name] = {variant: {} for variant in variants if variant in present}
        for one in results:
            found[name][one["variant"]][one["seed"]] = one
    return found


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _header(names: list[str]) -> list[str]:
    return [_line(names), f"|{'---|' * len(names)}"]


def of_means(found: Found) -> list[str]:
    """Means over the seeds of every variant."""
    lines = _header(["variant", "seeds", *(label for label, _ in MEASURES.values())])
    for variant, seeds in found.items():
        rows = [one["measures"] for one in seeds.values() if one["measures"]]
        if rows:
            cells = [f"{np.mean([row[name] for row in rows]):.3f}" for name in MEASURES]
            lines.append(_line([variant, str(len(rows)), *cells]))
    chance = ["" if value is None else f"{value:.3f}" for _, value in MEASURES.values()]
    return [*lines, _line(["by chance", "", *chance])]


def of_differences(found: Found) -> list[str]:
    """Differences from DINO over the seeds that both have, with 95 % limits; `*` where Holm's p is below 0.05.

    One family: all measures of all variants that are named.
    """
    base, differences = found.get(DINO, {}), {}
    for variant, seeds in found.items():
        both = sorted(seed for seed in set(seeds) & set(base) if seeds[seed]["measures"])
        if variant == DINO or not both:
            continue
        for name in MEASURES:
            values, other = ([one[seed]["measures"][name] for seed in both] for one in (seeds, base))
            differences[variant, name] = difference(np.array(values), np.array(other))
    adjusted = holm(np.array([one.p for one in differences.values()]))
    held = dict(zip(differences, adjusted < 0.05, strict=True))
    lines = _header(["variant", *(label for label, _ in MEASURES.values())])
    for variant in dict.fromkeys(variant for variant, _ in differences):
        cells = []
        for name in MEASURES:
            one = differences[variant, name]
            limits = "" if math.isnan(one.low) else f" [{one.low:+.3f}, {one.high:+.3f}]"
            cells.append(f"{one.mean:+.3f}{limits}{'*' if held[variant, name] else ''}")
        lines.append(_line([variant, *cells]))
    return lines


def of_curves(found: Found) -> list[str]:
    """First and last round of every variant, means over seeds; without prototypes there is less to tell."""
    lines = _header(["variant", "round", *CURVES])
    for variant, seeds in found.items():
        for place in (0, -1):
            rows = [_with_divergence(one["curves"][place]) for one in seeds.values() if one["curves"]]
            if rows:
                values = [[row[name] for row in rows if row.get(name) is not None] for name in CURVES]
                cells = [f"{np.mean(value):.3f}" if value else "" for value in values]
                lines.append(_line([variant, str(rows[0]["round"]), *cells]))
    return lines


def _with_divergence(line: dict[str, Any]) -> dict[str, Any]:
    """Also how far the student is from its targets: the loss less what it cannot change of it."""
    terms = [term for term in ("intra", "inter") if line[f"loss_{term}"]]
    return line | {f"divergence_{term}": line[f"loss_{term}"] - line[f"entropy_{term}"] for term in terms}


def of_sizes(found: Found) -> list[str]:
    """Balanced accuracy of the supervised network by the regions that it learns from."""
    curves = [one["accuracy_by_regions"] for one in found.get(SUPERVISED, {}).values()]
    lines = _header(["regions", "seeds", "accuracy"])
    for number in sorted({number for curve in curves for number in curve}, key=int):
        values = [curve[number] for curve in curves if number in curve]
        spread = f"{min(values):.3f} to {max(values):.3f}"
        lines.append(_line([str(number), str(len(values)), f"{np.mean(values):.3f} ({spread})"]))
    return lines


def tables(folder: Path, variants: Collection[str], seeds: Collection[int]) -> str:
    """The tables of a folder's results of these variants and seeds, as Markdown."""
    parts = []
    for name, found in read(folder, variants, seeds).items():
        parts += [f"## {name}", "", *of_means(found), "", "From DINO, paired over seeds:", "", *of_differences(found)]
        parts += ["", *of_curves(found), "", *of_sizes(found), ""]
    return "\n".join(parts)
