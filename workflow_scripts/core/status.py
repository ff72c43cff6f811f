"""Whether a slide is usable, and if not, why: the machine-readable reasons, and the one error that carries them."""

from dataclasses import dataclass
from typing import Literal

from workflow_scripts.core.entry import log
from workflow_scripts.core.errors import UserError

Reason = Literal[
    "",
    "missing_file",
    "fetch_failed",
    "unreadable_file",
    "changed_file",
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


class SlideError(Exception):
    """A slide, or a part of it, that cannot be used.

    Attributes:
        reason: one of `Reason`.
        detail: one sentence for a person: what is wrong and how to mend it.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail


def ended_by(error: Exception, slide_id: str, otherwise: Reason, sentence: str) -> SlideStatus:
    """Status of a slide whose work has ended in an error, so that a bad slide costs that slide only.

    Args:
        error: a `SlideError` keeps its reason and detail; any other is whatever a decoder does with one file.
        slide_id: the slide.
        otherwise: reason where the error is no `SlideError`; its traceback then goes to the log.
        sentence: what could not be done, for the detail: "{path} cannot be opened".

    Raises:
        UserError: `error` itself, for it is about the run and not about the slide.
    """
    if isinstance(error, UserError):
        raise error
    if isinstance(error, SlideError):
        return excluded(slide_id, error.reason, error.detail)
    log.error("slide %s", slide_id, exc_info=error)
    return excluded(slide_id, otherwise, f"{sentence} ({type(error).__name__}: {error})")
