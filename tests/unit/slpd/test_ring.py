"""The ring of host blocks on the way to a device, against numpy; on a GPU where there is one."""

import threading
import time

import numpy as np
import pytest
import torch

from workflow_scripts.slpd.ring import Ring

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
]


def send(rows, block, blocks, device, read):
    target = torch.full((rows, 2, 3), -1, dtype=torch.int32, device=device)
    ring = Ring(block, target, pin=device == "cuda", blocks=blocks)
    ring.send(target, read)
    return ring, target.cpu().numpy()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize(("rows", "block"), [(1, 1), (7, 1), (7, 2), (8, 4), (9, 4), (5, 9)])
def test_all_rows_arrive_in_their_places(rows, block, blocks, device):
    source = np.arange(rows * 6, dtype=np.int32).reshape(rows, 2, 3)
    calls = []

    def read(into, start):
        time.sleep(0.001 * (start % 3))  # later blocks may be full before earlier ones
        calls.append((start, len(into)))
        into[:] = source[start : start + len(into)]

    ring, found = send(rows, block, blocks, device, read)
    np.testing.assert_array_equal(found, source)
    assert sorted(calls) == [(start, min(block, rows - start)) for start in range(0, rows, block)]
    assert [len(one) for one in ring.blocks] == [block] * blocks


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_blocks_are_read_ahead_as_far_as_the_ring_goes(blocks):
    """Nobody reads a row until as many threads as there are blocks have come for one."""
    together = threading.Barrier(blocks, timeout=20)

    def read(into, start):
        if start < blocks:
            together.wait()
        into[:] = start

    _, found = send(8, 1, blocks, "cpu", read)
    assert found[:, 0, 0].tolist() == list(range(8))


def test_an_error_while_reading_ends_it():
    def read(into, start):
        if start == 4:
            raise OSError("the file ends too early")
        into[:] = 0

    with pytest.raises(OSError, match="ends too early"):
        send(12, 2, 2, "cpu", read)
