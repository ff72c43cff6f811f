"""Heads by name: a file each here, and a line each in `core/heads.py`. The networks on regions share `nets.py`."""

from importlib import import_module
from typing import cast

from workflow_scripts.config import HeadSettings
from workflow_scripts.core.heads import head_entry
from workflow_scripts.mil.head import Head, Settings


def make_head(name: str, kind: str, settings: Settings) -> Head:
    """A fresh head for a kind of task; its module is imported now, and no other head's.

    Args:
        name: of the registry.
        kind: kind of the task.
        settings: its keys of `benchmark.head_settings`; those that are missing have their defaults.

    Raises:
        UserError: there is no such head, or it does not serve that kind.
    """
    entry = head_entry(name, kind)
    head = getattr(import_module(f"workflow_scripts.mil.heads.{entry.module}"), entry.name)
    return cast(Head, head(kind, HeadSettings().of(name) | dict(settings)))
