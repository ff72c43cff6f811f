"""The one way in which a slide fails: as data, with a machine-readable reason."""

from workflow_scripts.core.status import Reason


class SlideError(Exception):
    """A slide, or a part of it, that cannot be used.

    Attributes:
        reason: one of `core.status.Reason`.
        detail: one sentence for a person: what is wrong and how to mend it.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail
