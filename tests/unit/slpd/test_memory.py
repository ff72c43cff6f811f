"""Memory left, told by files as Linux has them."""

import os
import subprocess
import sys

import pytest

from workflow_scripts.slpd.memory import available_memory

MB = 1024**2


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine with 1000 MB available and no limits: the folders proc and cgroup, and a writer of files."""
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(text))

    write("proc/meminfo", "MemTotal: 4096000 kB\nMemAvailable: 1024000 kB\n")
    write("proc/self/cgroup", "0::/job/step\n")
    return write, lambda: available_memory(tmp_path / "proc", tmp_path / "cgroup")


def test_without_limits_the_machine_tells(system):
    write, available = system
    write("cgroup/job/memory.max", "max")
    write("cgroup/job/memory.current", 5)
    assert available() == 1000 * MB


def test_a_job_has_what_its_group_leaves_and_cached_files_give_way(system):
    write, available = system
    write("cgroup/job/memory.max", 500 * MB)
    write("cgroup/job/memory.current", 450 * MB)
    write("cgroup/job/memory.stat", f"anon 7\ninactive_file {150 * MB}\n")
    write("cgroup/job/step/memory.max", 900 * MB)
    write("cgroup/job/step/memory.current", 100 * MB)
    write("cgroup/job/step/memory.stat", "inactive_file 0\n")
    assert available() == 200 * MB


def test_groups_of_version_1_count_too(system):
    write, available = system
    write("proc/self/cgroup", "5:devices:/x\n4:cpu,memory:/job\n0::/\n")
    write("cgroup/memory/job/memory.limit_in_bytes", 300 * MB)
    write("cgroup/memory/job/memory.usage_in_bytes", 100 * MB)
    write("cgroup/memory/job/memory.stat", f"total_inactive_file {20 * MB}\n")
    assert available() == 220 * MB


def test_processes_started_together_share(system, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert system[1]() == 250 * MB


def test_elsewhere_physical_memory_counts(tmp_path, monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert available_memory(tmp_path, tmp_path) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_this_process_has_some():
    assert 0 < available_memory() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_freed_memory_is_taken_up_again():
    """Blocks of 28 MiB, written and freed in turn, cost new pages less often."""
    script = """
import resource, sys
from workflow_scripts.slpd.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    blocks = [bytearray(28 * 2**20) for _ in range(4)]
    for block in blocks:
        block[::4096] = bytes(7 * 2**10)
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = [
        int(subprocess.run([sys.executable, "-c", script, word], capture_output=True, text=True, check=True).stdout)
        for word in ("keep", "default")
    ]
    assert faults[0] < 0.75 * faults[1]
