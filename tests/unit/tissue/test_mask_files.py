import pytest

from workflow_scripts.core.errors import UserError
from workflow_scripts.tissue.mask_files import find_masks, orphan_warning


def test_masks_are_found_by_slide_and_others_are_named(tmp_path):
    for name in ("a.geojson", "a.PNG", "b.c.tif", "d.tiff", "notes.txt", ".a.png", "a.json"):
        (tmp_path / name).write_text("")
    masks, orphans = find_masks(str(tmp_path), ["a", "b.c", "e"])
    assert masks == {"a": [f"{tmp_path}/a.PNG", f"{tmp_path}/a.geojson"], "b.c": [f"{tmp_path}/b.c.tif"]}
    assert orphans == [f"{tmp_path}/d.tiff"] and f"{tmp_path}/d.tiff" in orphan_warning(orphans)
    assert "and 2 more" in orphan_warning(list("abcdefg"))


def test_no_folder_and_a_missing_folder(tmp_path):
    assert find_masks(None, ["a"]) == ({}, [])
    with pytest.raises(UserError, match=r"tissue\.masks: there is no folder"):
        find_masks(str(tmp_path / "gone"), ["a"])
