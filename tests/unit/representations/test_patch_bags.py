"""Bags of patches from the feature files."""

import re

import numpy as np
import pytest

from tests.unit.representations.features import DIM, PRETRAINED_ON, write_features
from workflow_scripts import embed_patches
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_meta, read_table
from workflow_scripts.representations.patch_bags import PatchBags, require_room, tissue_patches


def wanted(arrays):
    return [
        arrays["features"][place].astype(np.float32)
        for place in np.ndindex(arrays["read_ok"].shape)
        if arrays["read_ok"][place] and arrays["tissue"][place] > 0
    ]


def test_a_bag_holds_the_readable_patches_with_tissue(tmp_path):
    made = write_features(tmp_path / "features", {"a": 4, "b": 2, "c": 3})
    bags = PatchBags(tmp_path / "features", ["c", "a"])
    assert len(bags) == 2 and [len(bag) for bag in bags] == [len(wanted(made["c"])), len(wanted(made["a"]))]
    np.testing.assert_array_equal(bags[1], wanted(made["a"]))
    assert bags[0].dtype == np.float16  # as stored
    np.testing.assert_array_equal(bags[1:][0], bags[1])
    assert bags.lengths().tolist() == [len(bag) for bag in bags]
    assert bags.size() == sum(bag.nbytes for bag in bags)


def test_a_bag_is_never_empty(tmp_path, monkeypatch):
    import tests.unit.representations.features as module

    def without(*gone):
        def to_column(values, field):
            return original(np.zeros_like(values) if field.name in gone else values, field)

        monkeypatch.setattr(module, "to_column", to_column)
        return write_features(tmp_path / "features", {"a": 4})["a"]

    original = module.to_column
    arrays = without("tissue")
    np.testing.assert_array_equal(
        tissue_patches(tmp_path / "features", "a"), arrays["features"][arrays["read_ok"]].astype(np.float32)
    )
    without("read_ok")
    bag = tissue_patches(tmp_path / "features", "a")
    assert bag.shape == (1, DIM) and not bag.any()
    assert PatchBags(tmp_path / "features", ["a"]).lengths().tolist() == [1]


def test_patches_that_exceed_the_memory_are_refused_in_one_sentence():
    size = 1000 * 15000 * 1024 * 2
    words = "the patches of 1000 slides take 30.7 GB in memory and the job has 8.0 GB; give it more "
    with pytest.raises(UserError, match=re.escape(f"{words}(--set-resources fit_head:mem_mb=34720), lay fewer")):
        require_room(1000, size, 8000)
    require_room(1000, size, 34720)
    require_room(1000, size, None)


def test_the_command_leaves_the_features_where_they_are(tmp_path):
    made = write_features(tmp_path / "features" / "some", {"a": 4, "b": 2})
    folder = tmp_path / "embeddings" / "patches"
    slides = tmp_path / "features" / "slides.parquet"
    files = ["--features", f"{tmp_path}/features/some", "--slides", f"{slides}"]
    outputs = ["--regions-output", f"{folder}/regions.parquet", "--slides-output", f"{folder}/slides.parquet"]
    embed_patches.main([*files, *outputs])
    assert len(read_table(folder / "regions.parquet")) == 0
    meta = read_meta(folder / "regions.parquet")
    assert (meta["pretrained_on"], meta["saw"], meta["dim"]) == (PRETRAINED_ON, "none", DIM)
    bags = PatchBags(folder / meta["features"], ["a", "b"])
    for row, bag, name in zip(read_table(folder / "slides.parquet").to_pylist(), bags, "ab", strict=True):
        assert row["slide_id"] == name
        np.testing.assert_allclose(row["vector"], np.mean(wanted(made[name]), axis=0), rtol=1e-5, atol=1e-6)
        assert len(bag) == len(wanted(made[name]))
