import pytest

from workflow_scripts.core.errors import UserError
from workflow_scripts.tissue.mask_files import find_masks, orphan_warning


def test_masks_are_found_by_slide_and_others_are_named(tmp_path):
    for name in ("a.geojson", "a.PNG", "b.c.tif", "d.tiff", ".a.png", "e.geojson.gz", "e.xml", "e.npy", "e.json"):
        (tmp_path / name).write_text("")
    (tmp_path / "old").mkdir()
    masks, orphans = find_masks(str(tmp_path), ["a", "b.c", "e"])
    assert masks == {"a": [f"{tmp_path}/a.PNG", f"{tmp_path}/a.geojson"], "b.c": [f"{tmp_path}/b.c.tif"]}
    assert orphans == [f"{tmp_path}/{name}" for name in ("d.tiff", "e.geojson.gz", "e.json", "e.npy", "e.xml")]
    unnamed, unreadable = orphan_warning(orphans).split(". And ")
    assert f"slide_id of {tmp_path}/d.tiff;" in unnamed and "e.npy" not in unnamed
    assert all(name in unreadable for name in ("e.geojson.gz", "e.json", "e.npy", "e.xml", "save them as .geojson"))


def test_a_warning_is_short_and_says_only_what_there_is():
    assert "and 2 more" in orphan_warning([f"{letter}.png" for letter in "abcdefg"])
    assert "cannot be read" not in orphan_warning(["a.png"]) and "slide_id of" not in orphan_warning(["a.npy"])


def test_no_folder_and_a_missing_folder(tmp_path):
    assert find_masks(None, ["a"]) == ({}, [])
    with pytest.raises(UserError, match=r"tissue\.masks: there is no folder"):
        find_masks(str(tmp_path / "gone"), ["a"])
