"""Several threads at one slide: what each reads, how many times the slide is opened, and what an error becomes."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from PIL import Image

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi import region_reader as module
from workflow_scripts.wsi.region_reader import region_reader
from workflow_scripts.wsi.slide import open_slide


@pytest.fixture
def slide(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "s.png")
    return str(tmp_path / "s.png"), pixels


def test_every_thread_opens_the_slide_for_itself_and_all_are_closed(slide, monkeypatch):
    path, pixels = slide
    opened, closed = [], []

    def open_counted(name):
        found = open_slide(name)
        close = found._backend.close
        opened.append(found)
        monkeypatch.setattr(found._backend, "close", lambda: (closed.append(found), close()))
        return found

    monkeypatch.setattr(module, "open_slide", open_counted)
    both = Barrier(2)

    def read(left):
        both.wait()  # so that no thread does the other's work
        return reader(left, 0, 64, 64)

    with region_reader("s", path, 2, 32) as reader, ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            for left, found in zip((0, 64), pool.map(read, (0, 64)), strict=True):
                np.testing.assert_array_equal(found.rgb, pixels[:, left : left + 64])
                assert found.read_ok.tolist() == [[True, True], [True, True]]
        assert len(opened) == 2 and not closed
    assert len(closed) == 2


def test_what_a_decoder_does_excludes_the_slide(slide, tmp_path, monkeypatch):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with region_reader("s", str(tmp_path / "bad.png"), 2, 32) as reader, pytest.raises(SlideError) as caught:
        reader(0, 0, 64, 64)
    assert caught.value.reason == "read_error" and "no known slide format" in caught.value.detail
    monkeypatch.setattr(module, "read_region", lambda *_: 1 / 0)
    with region_reader("s", slide[0], 2, 32) as reader, pytest.raises(SlideError) as caught:
        reader(0, 0, 64, 64)
    assert caught.value.reason == "read_error"
    assert caught.value.detail == f"{slide[0]} cannot be read (ZeroDivisionError: division by zero)"


def test_what_ends_the_run_is_no_fault_of_the_slide(slide, monkeypatch):
    def gone(path):
        raise UserError("fetched before, and cannot be had")

    monkeypatch.setattr(module, "local_slide", gone)
    with region_reader("s", slide[0], 2, 32) as reader, pytest.raises(UserError, match="cannot be had"):
        reader(0, 0, 64, 64)
