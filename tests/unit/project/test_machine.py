import os
import shutil

import pytest

from workflow_scripts.project.machine import free_disk, usable_cores


def test_cores_are_those_of_this_process():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert usable_cores() == len(before)


def test_the_disk_of_a_folder_that_is_not_there_yet(tmp_path):
    assert free_disk(tmp_path / "a/b") == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)
