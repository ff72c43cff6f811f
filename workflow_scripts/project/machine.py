"""What this machine has: cores, their arithmetic, memory, disk."""

import os
import shutil
from pathlib import Path
from typing import NamedTuple


class Machine(NamedTuple):
    """What a project can count on.

    Attributes:
        cores: that this process may use.
        bfloat16: whether they multiply matrices in bfloat16.
        memory: bytes that may still be taken.
        disk_free: bytes that may still be written beside the results.
        gpus: devices that may be used.
    """

    cores: int
    bfloat16: bool
    memory: int
    disk_free: int
    gpus: int


def usable_cores() -> int:
    """Cores that this process may use, which a scheduler or container may have made fewer than the machine's."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def free_disk(folder: Path) -> int:
    """Bytes that may still be written in a folder, or in the nearest one above it that exists."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free
