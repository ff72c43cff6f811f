"""How much memory this process may still take."""

import ctypes
import os
from pathlib import Path

_LIMITS = (  # of control groups: what a scheduler grants a job; version 2, then version 1
    ("", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such group, or "max"
        return None


def _left_in_groups(groups: str, root: Path) -> list[int]:
    """What each control group in `groups` (as /proc/self/cgroup) and each group above it leaves, in bytes."""
    left = []
    for line in groups.splitlines():
        _, kinds, inner = line.split(":", 2)
        for kind, limit_name, used_name, cache_name in _LIMITS:
            if kind not in kinds.split(","):
                continue
            folder = root / kind / inner.lstrip("/")
            for place in (folder, *folder.parents):
                limit, used = _number(place / limit_name), _number(place / used_name)
                if limit is None or used is None:
                    continue
                notes = (place / "memory.stat").read_text().split()
                cache = dict(zip(notes[::2], notes[1::2], strict=True)).get(cache_name, "0")
                left.append(max(0, limit - used + int(cache)))  # cached file pages give way
    return left


def available_memory(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that this process may still take: of the machine, or of its job where that is less.

    Processes that torchrun started together on this machine share it evenly.

    Args:
        proc: where the system tells of processes; without it (not Linux) all physical memory counts.
        cgroups: where it tells of the limits of jobs.
    """
    try:
        lines = (proc / "meminfo").read_text().splitlines()
        machine = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
        groups = (proc / "self" / "cgroup").read_text()
    except (OSError, StopIteration):
        machine, groups = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), ""
    return min([machine, *_left_in_groups(groups, cgroups)]) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def keep_freed_memory() -> bool:
    """Let the allocator keep blocks up to 32 MiB that are freed, for the next step to take up again.

    By default glibc gives them back, and the kernel clears every page anew: an eighth of a training step on a CPU
    (tests/benchmarks/step.py). Call it before the work starts.

    Returns:
        Whether this platform has the settings.
    """
    trim_threshold, mmap_threshold = -1, -3  # names of mallopt(3)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False  # another libc
    return bool(mallopt(mmap_threshold, 32 * 2**20) and mallopt(trim_threshold, 2**31 - 1))
