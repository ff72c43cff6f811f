"""The benchmark's heads: a line each, read by the configuration and the rules without importing any of them."""

from dataclasses import dataclass

from workflow_scripts.core.errors import UserError

_CLASSES = ("classification", "ordinal")


@dataclass(frozen=True)
class HeadEntry:
    """What has to be known of a head before it is imported.

    Attributes:
        module: file of `mil/heads/` that defines it.
        name: of its class, which follows `mil.head.Head`.
        kinds: kinds of task that it serves, names of `core.tasks.KINDS`.
        wants_gpu: whether its jobs ask for a GPU.
    """

    module: str
    name: str
    kinds: tuple[str, ...]
    wants_gpu: bool = False


HEADS: dict[str, HeadEntry] = {
    "knn": HeadEntry("knn", "KnnHead", _CLASSES),
    "logistic": HeadEntry("logistic", "LogisticHead", _CLASSES),
    "abmil": HeadEntry("abmil", "AbmilHead", _CLASSES, wants_gpu=True),
    "cox": HeadEntry("cox", "CoxHead", ("survival",)),
}


def heads_for(kind: str) -> list[str]:
    """Heads that serve a kind of task, in the order of the table."""
    return [name for name, head in HEADS.items() if kind in head.kinds]


def head_entry(name: str, kind: str) -> HeadEntry:
    """Entry of a head that serves a kind of task.

    Raises:
        UserError: there is no such head, or it does not serve that kind.
    """
    if name not in heads_for(kind):
        problem = "is not made for" if name in HEADS else "is unknown, and cannot serve"
        raise UserError(f"head {name} {problem} {kind} tasks; use one of {', '.join(heads_for(kind))}")
    return HEADS[name]
