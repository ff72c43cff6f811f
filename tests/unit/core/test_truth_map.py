"""Maps of true classes as users have them: those of any whole numbers are read, all others refused in a sentence."""

import numpy as np
import pytest

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.truth_map import majority_classes, read_truth_map

GRID = np.array([[0, 1, 2], [3, 3, 700]])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float32", "uint16"])
def test_classes_of_any_type_of_number_are_read(tmp_path, dtype):
    grid = GRID % 200
    np.savez(tmp_path / "a.npz", map=grid.astype(dtype), um_per_px=np.array([8]), names=np.array(["stroma", "tumour"]))
    found = read_truth_map(tmp_path / "a.npz")
    assert (
        found.um_per_px == 8
        and found.classes.dtype == ("uint8" if dtype == "uint8" else "uint16")
        and np.array_equal(found.classes, grid)
    )


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"map": GRID}, "lacks um_per_px"),
        ({"classes": GRID, "mpp": 8.0}, "lacks map and um_per_px"),
        ({"map": GRID[None], "um_per_px": 8.0}, "map is int64 of shape [1, 2, 3], no grid of numbers"),
        ({"map": np.array([["a"]]), "um_per_px": 8.0}, "no grid of numbers"),
        ({"map": np.array([[{}]], object), "um_per_px": 8.0}, "is no map of classes (Object arrays cannot be loaded"),
        ({"map": GRID - 1, "um_per_px": 8.0}, "no whole numbers from 0 to 65535"),
        ({"map": GRID * 1000, "um_per_px": 8.0}, "no whole numbers from 0 to 65535"),
        ({"map": GRID / 2, "um_per_px": 8.0}, "no whole numbers from 0 to 65535"),
        ({"map": np.where(GRID, np.nan, 1), "um_per_px": 8.0}, "no whole numbers from 0 to 65535"),
        ({"map": GRID, "um_per_px": 0.0}, "um_per_px is no number above 0"),
        ({"map": GRID, "um_per_px": [8.0, 8.0]}, "um_per_px is no number above 0"),
        ({"map": GRID, "um_per_px": "8"}, "um_per_px is no number above 0"),
    ],
)
def test_what_is_no_map_is_refused_in_a_sentence(tmp_path, arrays, says):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(UserError) as caught:
        read_truth_map(path)
    assert says in str(caught.value) and str(caught.value).endswith(
        "; save it anew as docs/tables.md says, or take it out of the folder"
    )


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_refused_in_a_sentence(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.npz is no map of classes \("):
        read_truth_map(tmp_path / "a.npz")


@pytest.mark.parametrize("damage", ["content", "method", "encrypted"])
def test_a_damaged_compressed_file_is_refused_in_a_sentence(tmp_path, damage):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, map=np.random.default_rng(0).integers(0, 9, (99, 99)), um_per_px=8.0)
    data = bytearray(path.read_bytes())
    local, listed = data.index(b"PK\x03\x04"), data.index(b"PK\x01\x02")
    if damage == "content":
        data[300:340] = bytes(255 - byte for byte in data[300:340])
    elif damage == "method":  # one that is in no table of ZIP files
        data[local + 8] = data[listed + 10] = 77
    else:
        data[local + 6] |= 1
        data[listed + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"a\.npz is no map of classes \("):
        read_truth_map(path)


def test_majority_scales_boxes_and_ignores_glass():
    class_map = np.zeros((20, 40), np.uint8)  # 8 um/px
    class_map[0:10, 0:10] = 1
    class_map[0:4, 10:20] = 2  # in the second box tissue is the smaller part
    class_map[10:20, 0:4] = 3
    class_map[10:20, 4:10] = 1
    boxes = [[0, 0, 160, 160], [160, 0, 160, 160], [0, 160, 160, 160], [320, 160, 160, 160]]
    assert majority_classes(class_map, np.array(boxes), (0.5, 0.5), 8.0).tolist() == [1, 2, 1, 0]


def test_boxes_over_the_edge_are_clipped():
    class_map = np.array([[1, 2], [2, 2]], np.uint8)
    boxes = np.array([[-50, -50, 60, 60], [-50, -50, 200, 200], [500, 500, 10, 10]])
    assert majority_classes(class_map, boxes, (1.0, 1.0), 10.0).tolist() == [1, 2, 0]


def test_scale_may_differ_between_axes():
    class_map = np.array([[1, 2, 3, 4]], np.uint8)
    boxes = np.array([[20, 0, 20, 5]])
    assert majority_classes(class_map, boxes, (0.5, 2.0), 10.0).tolist() == [2]
    assert majority_classes(class_map, boxes, (1.0, 2.0), 10.0).tolist() == [3]  # px 2 to 4, a tie: the lower class
