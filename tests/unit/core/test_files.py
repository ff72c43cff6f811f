import errno
import os
from pathlib import Path

import pytest

from workflow_scripts.core.files import whole_file, write_text


def test_success_replaces_the_old_file_and_makes_the_folder(tmp_path):
    path = tmp_path / "a/b/t.txt"
    for text in ("old", "new µm"):
        write_text(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert os.listdir(path.parent) == ["t.txt"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "t.txt"
    path.write_text("old")
    with pytest.raises(type(error)), whole_file(path) as partial:
        partial.write_text("half")
        assert path.read_text() == "old"
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["t.txt"]


def test_failure_without_an_old_file_leaves_none(tmp_path):
    with pytest.raises(ValueError, match="x"), whole_file(tmp_path / "t.txt") as partial:
        partial.write_text("half")
        raise ValueError("x")
    assert os.listdir(tmp_path) == []


def test_full_disk_names_the_output_not_the_temporary_file(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="No space") as caught, whole_file(path):
        Path("/dev/full").write_text("x")  # refuses every write with ENOSPC
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"


def test_body_that_wrote_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, whole_file(tmp_path / "t.txt"):
        pass
    assert caught.value.filename == str(tmp_path / "t.txt")
