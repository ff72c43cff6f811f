"""Whether a slide is usable, and if not, why: the machine-readable reasons."""

from dataclasses import dataclass
from typing import Literal

Reason = Literal[
    "",
    "missing_file",
    "fetch_failed",
    "unreadable_file",
    "not_brightfield",
    "no_mpp",
    "implausible_mpp",
    "bad_mask",
    "no_tissue",
    "no_regions",
    "read_error",
    "unreadable_fraction",
    "no_features",
    "bad_features",
    "irregular_grid",
    "scale_mismatch",
]


@dataclass(frozen=True)
class SlideStatus:
    """State of one slide after a stage.

    Attributes:
        slide_id: the manifest's slide_id.
        status: `ok` or `excluded`.
        reason: machine-readable reason of an exclusion, empty when ok.
        detail: one sentence for a person: what is wrong and how to mend it.
    """

    slide_id: str
    status: Literal["ok", "excluded"] = "ok"
    reason: Reason = ""
    detail: str = ""

    @property
    def ok(self) -> bool:
        return self.status == "ok"


def excluded(slide_id: str, reason: Reason, detail: str) -> SlideStatus:
    """Status of a slide that leaves the cohort here."""
    return SlideStatus(slide_id, "excluded", reason, detail)
