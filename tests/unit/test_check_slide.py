import json
import shutil

import pytest

from workflow_scripts.check_slide import main
from workflow_scripts.core.tables import read_status, read_table


def _check(path, tmp_path, mpp=None, config="{}"):
    row = json.dumps({"slide_id": "s", "path": str(path), "mpp": mpp})
    main(["--config", config, "--row", row, "--output", str(tmp_path / "c.parquet")])
    (found,) = read_table(tmp_path / "c.parquet").to_pylist()
    status = read_status(tmp_path / "c.parquet")
    assert (status.status, status.reason, status.detail) == (found["status"], found["reason"], found["detail"])
    return found


def test_a_slide_that_a_model_would_see_enlarged_is_refused_here(data, tmp_path):
    path = data / "slides" / "CMU-1-Small-Region.svs"
    row = _check(path, tmp_path, config='{"mpp_of_regions": 0.25}')
    assert (row["status"], row["reason"], row["mpp_x"]) == ("excluded", "scale_mismatch", 0.499)
    assert "0.499 um/px, so its pixels are enlarged 2 times for regions.mpp 0.25" in row["detail"]
    assert _check(path, tmp_path, config='{"mpp_of_regions": 0.5}')["status"] == "ok"
    assert _check(path, tmp_path, 0.25, '{"mpp_of_regions": 0.25}')["status"] == "ok"  # the manifest knows better


def test_a_good_slide(data, tmp_path):
    row = _check(data / "slides" / "CMU-1-Small-Region.svs", tmp_path)
    assert (row["status"], row["reason"], row["detail"]) == ("ok", "", "")
    assert (row["vendor"], row["width"], row["height"], row["levels"]) == ("aperio", 2220, 2967, 1)
    assert (row["mpp_x"], row["mpp_source"]) == (0.499, "vendor")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("appmag40_contradicts_mpp0.499.svs", ""),
        ("blank_glass_no_tissue.tiff", ""),
        ("corrupt_all_tiles.svs", "read_error"),
        ("corrupt_one_tile.svs", ""),
        ("empty.svs", "unreadable_file"),
        ("html_404.svs", "unreadable_file"),
        ("lfs_pointer.svs", "unreadable_file"),
        ("missing_mpp_and_appmag.svs", "no_mpp"),
        ("missing_mpp_has_appmag.svs", "no_mpp"),
        ("mpp_decimal_comma.svs", ""),
        ("mpp_zero.svs", "implausible_mpp"),
        ("truncated_50pct.svs", "unreadable_file"),
        ("truncated_97pct.svs", "unreadable_file"),
        ("wrong_ext_png_named.svs", "no_mpp"),
        ("wrong_ext_svs_named.jpg", ""),
        ("wrong_ext_svs_named.tiff", ""),
        ("nowhere.svs", "missing_file"),
    ],
)
def test_derived_bad_slides(bad, tmp_path, name, reason):
    row = _check(bad / name, tmp_path)
    assert row["reason"] == reason and row["status"] == ("excluded" if reason else "ok")
    assert bool(row["detail"]) == (bool(reason) or "contradicts" in name or "comma" in name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("histolab_broken.svs", "unreadable_file"),
        ("osp_boxes_no_mpp.tiff", "implausible_mpp"),
        ("osp_unopenable.tiff", "unreadable_file"),
        ("osp_unreadable.svs", "read_error"),
        ("osp_😐.svs", ""),
    ],
)
def test_bad_slides_of_others(data, tmp_path, name, reason):
    assert _check(data / "bad" / name, tmp_path)["reason"] == reason


@pytest.mark.parametrize("where", ["", "./"])
def test_a_slide_of_the_working_directory(data, tmp_path, monkeypatch, where):
    shutil.copy(data / "slides" / "CMU-1-Small-Region.svs", tmp_path / "a.svs")
    monkeypatch.chdir(tmp_path)
    assert _check(f"{where}a.svs", tmp_path)["status"] == "ok"


def test_a_folder_is_no_slide(tmp_path):
    assert _check(tmp_path, tmp_path)["reason"] == "missing_file"


def test_the_manifest_mends_a_missing_scale(data, tmp_path):
    path = data / "slides" / "tcga-cr-7395-01a-01-ts1.svs"
    bare = _check(path, tmp_path)
    assert bare["reason"] == "no_mpp" and bare["width"] == 4443
    row = _check(path, tmp_path, mpp=0.25)
    assert (row["status"], row["mpp_x"], row["mpp_source"]) == ("ok", 0.25, "manifest")


def test_a_guess_from_the_objective_where_allowed(bad, tmp_path):
    row = _check(bad / "missing_mpp_has_appmag.svs", tmp_path, config='{"mpp_from_objective": true}')
    assert (row["status"], row["mpp_x"], row["mpp_source"]) == ("ok", 0.5, "objective_guess")
