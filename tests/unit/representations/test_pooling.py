"""Pooled patches of regions and slides, against pooling them one by one."""

import numpy as np
import pytest

from tests.unit.representations.features import DIM, PRETRAINED_ON, write_features
from workflow_scripts import embed_baseline
from workflow_scripts.config.embed import BASELINES
from workflow_scripts.core.digest import value_digest
from workflow_scripts.core.tables import read_meta, read_table
from workflow_scripts.representations.pooling import POOLS

PLAIN = {"mean": np.mean, "max": np.max, "std": np.std}


def some(dtype=np.float16, scale=1.0, shift=0.0):
    random = np.random.default_rng(0)
    values = (random.normal(size=(6, 4, 4, 3)) * scale + shift).astype(dtype)
    read_ok = random.random((6, 4, 4)) < 0.6
    read_ok[2] = False
    return values, read_ok


@pytest.mark.parametrize("name", PLAIN)
def test_regions_are_pooled_over_their_readable_patches(name):
    values, read_ok = some()
    regions = POOLS[name](values, read_ok).regions
    assert regions.dtype == np.float32 and regions.shape == (6, 3)
    for found, region, ok in zip(regions, values, read_ok, strict=True):
        expected = PLAIN[name](region[ok].astype(np.float64), axis=0) if ok.any() else np.zeros(3)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["max", "std"])
@pytest.mark.parametrize("shift", [0.0, -5.0, 300.0])
def test_a_slide_is_pooled_over_all_its_readable_patches(name, shift):
    values, read_ok = some(np.float32, 0.1, shift)
    expected = PLAIN[name](values[read_ok].astype(np.float64), axis=0)
    np.testing.assert_allclose(POOLS[name](values, read_ok).slide, expected, rtol=1e-6)


def test_the_mean_of_a_slide_is_that_of_its_regions():
    values, read_ok = some()
    pooled = POOLS["mean"](values, read_ok)
    np.testing.assert_allclose(pooled.slide, pooled.regions.mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("name", PLAIN)
def test_without_a_readable_patch_all_is_zero(name):
    values, read_ok = some()
    pooled = POOLS[name](values - 9, np.zeros_like(read_ok))
    assert not pooled.regions.any() and not pooled.slide.any()


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_command_writes_regions_and_slides(tmp_path, baseline):
    made = write_features(tmp_path / "features", {"a": 4, "b": 2})
    regions, slides = tmp_path / "regions.parquet", tmp_path / "embedded.parquet"
    files = ["--features", f"{tmp_path}/features", "--slides", f"{tmp_path}/slides.parquet"]
    outputs = ["--regions-output", str(regions), "--slides-output", str(slides)]
    embed_baseline.main(["--baseline", baseline, *files, *outputs])
    column = "colour" if baseline == "colour" else "features"
    rows = read_table(regions).to_pylist()
    assert [(row["slide_id"], row["region_id"]) for row in rows] == [
        *(("a", f"{i}_0") for i in range(4)), ("b", "0_0"), ("b", "1_0")
    ]  # fmt: skip
    for slide, row in zip("ab", read_table(slides).to_pylist(), strict=True):
        pooled = POOLS[baseline](made[slide][column], made[slide]["read_ok"])
        np.testing.assert_allclose(row["vector"], pooled.slide, rtol=1e-6)
        np.testing.assert_allclose([r["vector"] for r in rows if r["slide_id"] == slide], pooled.regions, rtol=1e-6)
    stated = "nothing" if baseline == "colour" else PRETRAINED_ON
    assert read_meta(slides) | {"schema_version": ""} == {
        "pretrained_on": stated, "dim": 6 if baseline == "colour" else DIM, "schema_version": "",
        "saw": "none", "n_saw": 0, "saw_digest": value_digest([])
    }  # fmt: skip
