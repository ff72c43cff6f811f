"""Heads by name: a file each here, and a line each in `core/heads.py`."""

from importlib import import_module

from workflow_scripts.core.heads import head_entry
from workflow_scripts.mil.head import Head


def make_head(name: str, kind: str, seed: int) -> Head:
    """A fresh head for a kind of task; its module is imported now, and no other head's.

    Raises:
        UserError: there is no such head, or it does not serve that kind.
    """
    entry = head_entry(name, kind)
    return getattr(import_module(f"workflow_scripts.mil.heads.{entry.module}"), entry.name)(seed)
