"""Heads by name. A new head is one file here and one line in `HEADS`."""

from workflow_scripts.core.errors import UserError
from workflow_scripts.mil.head import Head
from workflow_scripts.mil.heads.abmil import AbmilHead
from workflow_scripts.mil.heads.cox import CoxHead
from workflow_scripts.mil.heads.knn import KnnHead
from workflow_scripts.mil.heads.logistic import LogisticHead

HEADS: dict[str, type[Head]] = {
    "knn": KnnHead,
    "logistic": LogisticHead,
    "abmil": AbmilHead,
    "cox": CoxHead,
}


def make_head(name: str, kind: str, seed: int) -> Head:
    """A fresh head for a kind of task.

    Raises:
        UserError: there is no such head, or it does not serve that kind.
    """
    serving = [known for known, head in HEADS.items() if kind in head.kinds]
    if name not in serving:
        problem = "is not made for" if name in HEADS else "is unknown, and cannot serve"
        raise UserError(f"benchmark.heads: head {name} {problem} {kind} tasks; use one of {', '.join(serving)}")
    return HEADS[name](seed)
