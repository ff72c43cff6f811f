"""Folders that answer, that are missing, and that never come back."""

import os
import threading

import pytest

from workflow_scripts.core import shares
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.shares import require_answers


def test_folders_that_answer_or_are_missing_are_passed(tmp_path):
    require_answers([str(tmp_path / "a.svs"), "b.svs", "nowhere/c.svs", "no\0name/d.svs", "s3://bucket/e.svs"], "m.csv")
    require_answers([], "m.csv")


def test_a_folder_that_never_answers_is_told_with_its_slides(tmp_path, monkeypatch):
    answer, stat, asked = threading.Event(), os.stat, []

    def on_a_share(path, **options):
        asked.append(path)
        if path == "/dead":
            answer.wait()
        return stat(path, **options)

    paths = [str(tmp_path / "a.svs"), "/dead/b.svs", "/dead/c.svs", "/other/d.svs", str(tmp_path / "e.svs")]
    with monkeypatch.context() as patched, pytest.raises(UserError) as told:
        patched.setattr(shares.os, "stat", on_a_share)
        require_answers(paths, "m.csv", 0.3)
    answer.set()
    assert str(told.value).startswith("/dead, where 2 of the 5 slides of m.csv lie, has not answered for 0.3 s; see to")
    assert asked.count(str(tmp_path)) == 1, "a folder is asked for once"
