"""The cohort: counts, the order of its slides, and which of very many are shown."""

from collections import Counter
from statistics import mean, median
from typing import Any

from workflow_scripts.core.spread import spread

REASONS = {
    "missing_file": "the file is not there",
    "fetch_failed": "the file could not be fetched",
    "unreadable_file": "the file cannot be opened",
    "changed_file": "the file changed or went while it was worked on",
    "not_brightfield": "not a brightfield slide",
    "no_mpp": "no scale (µm/px) is recorded",
    "implausible_mpp": "the recorded scale is implausible",
    "bad_mask": "the given tissue mask cannot be used",
    "no_tissue": "no tissue found",
    "no_regions": "no region has enough tissue",
    "read_error": "pixels could not be read",
    "unreadable_fraction": "too much of it cannot be read",
    "no_features": "the other tool has no features of it",
    "bad_features": "the other tool's features cannot be used",
    "irregular_grid": "the other tool's patches lie on no grid",
    "scale_mismatch": "the other tool's patches have another size",
}


def excluded_first(slides: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Slides ordered by: excluded or not, reason, slide_id."""
    return sorted(slides, key=lambda s: (s["status"] == "ok", s["reason"] or "", s["slide_id"]))


def cohort_summary(slides: list[dict[str, Any]], minimum: int | None) -> dict[str, Any]:
    """Counts over the cohort.

    Args:
        slides: rows of slides.parquet.
        minimum: regions a slide needs to have prototypes, null where no run uses them.
    """
    used = [s for s in slides if s["status"] == "ok"]
    regions = sorted(s["n_regions"] or 0 for s in used)
    reasons = Counter(s["reason"] or "no reason recorded" for s in slides if s["status"] != "ok")
    return {
        "slides": len(slides),
        "used": len(used),
        "excluded": len(slides) - len(used),
        "patients": len({s["patient_id"] for s in used}),
        "patients_lost": len({s["patient_id"] for s in slides} - {s["patient_id"] for s in used}),
        "regions": sum(regions),
        "tissue_mm2": sum(s["tissue_mm2"] or 0 for s in used),
        "regions_range": (regions[0], regions[len(regions) // 2], regions[-1]) if regions else None,
        "few_regions": sum(n < minimum for n in regions) if minimum else None,
        "minimum": minimum,
        "reasons": [(code, REASONS.get(code, ""), count) for code, count in sorted(reasons.items())],
        "sources": sorted(Counter(s["mpp_source"] or "none" for s in used).items()),
    }


def encoding_speed(rows: list[dict[str, Any]]) -> dict[str, float] | None:
    """How fast slides were encoded, from the rows of the feature indices; None where nothing is known of it.

    Returns:
        slides that were measured, their patches, the median of patches per second, and the mean share of the time that
        the encoder waited for pixels.
    """
    known = [row for row in rows if row.get("patches_per_s")]
    if not known:
        return None
    return {
        "slides": len(known),
        "patches": sum(row["n_patches"] for row in known),
        "rate": median(row["patches_per_s"] for row in known),
        "wait_share": mean(row["wait_share"] for row in known),
    }


def choose_slides(slides: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """At most so many slides: the excluded ones, at most half of all, and a spread of the others."""
    ordered = excluded_first(slides)
    excluded = [s for s in ordered if s["status"] != "ok"]
    others = [s for s in ordered if s["status"] == "ok"]
    if len(ordered) <= most:
        return ordered
    shown = spread(excluded, max(most // 2, most - len(others)))
    return shown + spread(others, most - len(shown))
