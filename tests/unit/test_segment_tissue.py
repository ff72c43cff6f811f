import json

import pyarrow.parquet as pq
import pytest
from PIL import Image

from workflow_scripts import check_slide, segment_tissue, tile_regions
from workflow_scripts.core import schemas
from workflow_scripts.core.tables import read_meta, read_status, read_table


@pytest.fixture
def walk(tmp_path):
    """Runs check, tissue and regions on one slide, as the rules do; returns the folder with their files."""

    def run(path, mpp=None, tissue="{}", regions="{}"):
        files = {name: str(tmp_path / name) for name in ("c.parquet", "t.parquet", "t.geojson", "t.png", "r.parquet")}
        row = json.dumps({"slide_id": "s", "path": str(path), "mpp": mpp})
        check_slide.main(["--config", "{}", "--row", row, "--output", files["c.parquet"]])
        shared = ["--check", files["c.parquet"], "--tissue", files["t.parquet"]]
        outputs = ["--geojson", files["t.geojson"], "--overlay", files["t.png"]]
        segment_tissue.main(["--config", tissue, *shared, *outputs])
        tile_regions.main(["--config", regions, *shared, "--output", files["r.parquet"]])
        return tmp_path

    return run


def test_a_slide_smaller_than_a_region(data, walk):
    out = walk(data / "slides" / "CMU-1-Small-Region.svs")
    tissue, meta = read_table(out / "t.parquet"), read_meta(out / "t.parquet")
    assert sum(tissue["area_um2"].to_pylist()) / 1e6 == pytest.approx(meta["tissue_mm2"])
    assert b"geo" in pq.read_schema(out / "t.parquet").metadata
    features = json.loads((out / "t.geojson").read_text())["features"]
    assert len(features) == len(tissue) > 0
    with Image.open(out / "t.png") as picture:
        assert picture.size == (1000, 1336)
        assert (0, 160, 80) in [colour for _, colour in picture.getcolors(2**24)]
    (row,) = read_table(out / "r.parquet").to_pylist()
    assert (row["region_id"], row["size_x"], len(row["patch_tissue"])) == ("s_r000_c000", 4104, 256)
    assert (row["x"], row["y"]) == (-942, -568)
    assert row["tissue_fraction"] * (4104 * 0.499) ** 2 / 1e6 == pytest.approx(meta["tissue_mm2"], rel=1e-5)
    assert read_status(out / "r.parquet").ok and read_meta(out / "r.parquet")["tissue_mm2"] == meta["tissue_mm2"]


def test_many_regions_of_a_composed_slide(data, walk):
    out = walk(data / "composed" / "ln_c16_cc0" / "ln_01.svs", regions='{"grid": 4, "patch_px": 64}')
    rows = read_table(out / "r.parquet")
    assert rows.schema.names == schemas.REGIONS.names and len(rows) > 20
    assert set(rows["size_x"].to_pylist()) == {round(256 * 0.5 / 0.243)}
    assert min(rows["tissue_fraction"].to_pylist()) >= 0.1
    assert read_meta(out / "t.parquet")["tissue_mm2"] == pytest.approx(87 * (256 * 0.243e-3) ** 2, rel=0.03)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mpp_zero.svs", "implausible_mpp"),
        ("empty.svs", "unreadable_file"),
        ("blank_glass_no_tissue.tiff", "no_tissue"),
    ],
)
def test_an_excluded_slide_gives_empty_files_and_its_reason(bad, walk, name, reason):
    out = walk(bad / name)
    for table in ("t.parquet", "r.parquet"):
        assert len(read_table(out / table)) == 0
        assert read_status(out / table).reason == reason and read_meta(out / table)["tissue_mm2"] == 0
    assert json.loads((out / "t.geojson").read_text())["features"] == []
    with Image.open(out / "t.png") as picture:
        assert picture.size == (480, 160)


def test_fluorescence_is_excluded_and_says_so(data, walk):
    out = walk(data / "slides" / "test3-TRITC-2-560.ndpi")
    assert read_status(out / "r.parquet").reason == "not_brightfield"


def test_a_corrupt_tile_inside_the_tissue_leaves_the_slide_usable(bad, walk):
    out = walk(bad / "corrupt_one_tile.svs")
    assert read_status(out / "r.parquet").ok and 0 < read_meta(out / "t.parquet")["unreadable_fraction"] < 0.05


def test_twice_the_same_bytes(data, walk):
    path = data / "slides" / "tcga-cr-7395-01a-01-ts1.svs"
    names = ("t.parquet", "t.geojson", "t.png", "r.parquet")
    first = {name: (walk(path, mpp=0.25) / name).read_bytes() for name in names}
    assert first == {name: (walk(path, mpp=0.25) / name).read_bytes() for name in names}
