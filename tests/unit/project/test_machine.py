import os
import shutil

import pytest

from workflow_scripts.core.arithmetic import multiplies_bfloat16
from workflow_scripts.project.machine import free_disk, has_bfloat16, usable_cores


def test_cores_are_those_of_this_process():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert usable_cores() == len(before)


@pytest.mark.parametrize(
    ("flags", "has"), [("fpu avx512f avx512_bf16", True), ("fpu amx_tile", True), ("fpu avx512f", False), ("", False)]
)
def test_the_arithmetic_by_the_processors_flags(tmp_path, flags, has):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
    assert has_bfloat16(tmp_path / "cpuinfo") is has


def test_the_arithmetic_here_is_what_torch_says():
    assert has_bfloat16() == multiplies_bfloat16("cpu")


def test_without_a_list_of_processors_nothing_is_assumed(tmp_path):
    assert has_bfloat16(tmp_path / "none") is False


def test_the_disk_of_a_folder_that_is_not_there_yet(tmp_path):
    assert free_disk(tmp_path / "a/b") == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)
