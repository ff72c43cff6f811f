"""The table of readers: its files, their order, and what is said of a file that none takes."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from workflow_scripts.config.base import names_in
from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi import readers
from workflow_scripts.wsi.backend import NotMine
from workflow_scripts.wsi.readers import READERS, open_backend


def test_the_table_names_every_reader():
    assert sorted(READERS) == names_in("wsi", "reader_")


def test_finding_slides_imports_no_decoder():
    code = "import sys, workflow_scripts.wsi.slide_files; print({'openslide', 'PIL', 'tifffile'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


class _Reader:
    """A reader that says the same of every file."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def open_file(self, path, head, threads):
        self.asked.append((path, head, threads))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def _with_readers(monkeypatch, **answers):
    made = {name: _Reader(answer) for name, answer in answers.items()}
    monkeypatch.setattr(readers, "READERS", dict.fromkeys(made, ""))
    monkeypatch.setattr(
        readers, "import_module", lambda module: made[module.removeprefix("workflow_scripts.wsi.reader_")]
    )
    return made


def test_the_first_that_takes_a_file_opens_it(monkeypatch, tmp_path):
    file = tmp_path / "s.bin"
    file.write_bytes(bytes(range(256)) * 8)
    made = _with_readers(monkeypatch, a=NotMine("no\n  map"), b=NotMine(), c="opened", d=NotMine("never asked"))
    assert open_backend(str(file), 3) == "opened"
    assert made["c"].asked == [(str(file), file.read_bytes()[:1024], 3)]
    assert not made["d"].asked


def test_what_they_say_is_put_together(monkeypatch, tmp_path):
    file = tmp_path / "s.bin"
    file.write_bytes(b"rubbish")
    _with_readers(monkeypatch, a=NotMine("no\n  map"), b=NotMine(), c=NotMine(ValueError("no tiles")))
    with pytest.raises(SlideError) as caught:
        open_backend(str(file))
    assert caught.value.detail == f"{file} cannot be opened: its content is no known slide format (no map; no tiles)"


def test_a_reader_that_knows_the_file_has_the_last_word(monkeypatch, tmp_path):
    (tmp_path / "s.bin").write_bytes(b"x")
    made = _with_readers(monkeypatch, a=SlideError("not_brightfield", "dark"), b="opened")
    with pytest.raises(SlideError, match="dark"):
        open_backend(str(tmp_path / "s.bin"))
    assert not made["b"].asked


def test_openslide_is_asked_first(data):
    for name, vendor in (("CMU-1-Small-Region.svs", "aperio"), ("OS-1-detail.ome.tif", "plain-image")):
        assert open_backend(str(data / "slides" / name)).vendor == vendor


def test_both_readers_are_heard_on_a_broken_tiff(tmp_path):
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    file = tmp_path / "b.png"
    file.write_bytes((tmp_path / "a.png").read_bytes()[:60])
    with pytest.raises(SlideError, match=r"cannot be opened: it seems truncated, .*\(.+; .+\)$") as caught:
        open_backend(str(file))
    assert caught.value.reason == "unreadable_file"
