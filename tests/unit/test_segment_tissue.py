import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from PIL import Image

from tests.servers import Site, serving
from tests.unit.wsi.tiffs import write_scn
from workflow_scripts import check_slide, segment_tissue, tile_regions
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.fetched import fetched_path, record_file, write_record
from workflow_scripts.core.tables import read_meta, read_status, read_table
from workflow_scripts.wsi.fetch import fetch

OUTPUTS = (("tissue", "t.parquet"), ("geojson", "t.geojson"), ("overlay", "t.png"))


@pytest.fixture
def walk(tmp_path):
    """Runs check, tissue and regions on one slide, as the rules do; returns the folder with their files."""

    def run(path, mpp=None, tissue="{}", regions="{}", mask=None):
        files = {name: str(tmp_path / name) for name in ("c.parquet", "t.parquet", "t.geojson", "t.png", "r.parquet")}
        row = json.dumps({"slide_id": "s", "path": str(path), "mpp": mpp})
        check_slide.main(["--config", "{}", "--row", row, "--output", files["c.parquet"]])
        shared = ["--check", files["c.parquet"], "--tissue", files["t.parquet"]]
        outputs = ["--geojson", files["t.geojson"], "--overlay", files["t.png"]]
        masks = ["--mask", *([str(mask)] if mask else [])]
        segment_tissue.main(["--config", tissue, *masks, *shared, *outputs])
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


def test_a_slide_that_cannot_be_fetched_again_leaves_no_table(data, walk, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLPD_NETWORK", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    content = (data / "slides" / "CMU-1-Small-Region.svs").read_bytes()
    with serving(Site({"/a.svs": content})) as site:
        url = f"{site.url}/a.svs"
        path = fetched_path("c", "s", url)
        write_record(record_file(path), fetch(url, path))
        walk(path)
        Path(path).unlink()
        (tmp_path / "t.parquet").unlink()
        site.files.clear()
        files = [f"--{name}={tmp_path / file}" for name, file in OUTPUTS]
        again = ["--config", "{}", "--check", str(tmp_path / "c.parquet"), *files]
        with pytest.raises(UserError, match="cannot be had"):
            segment_tissue.main(again)
        assert not (tmp_path / "t.parquet").exists()  # so that Snakemake runs the job again
        site.files["/a.svs"] = content
        segment_tissue.main(again)
    assert read_status(tmp_path / "t.parquet").ok


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


def test_a_mask_of_the_users_replaces_segmentation(data, walk, tmp_path):
    path = data / "slides" / "CMU-1-Small-Region.svs"
    found = read_meta(walk(path) / "t.parquet")
    drawn = {"type": "Polygon", "coordinates": [[[100, 200], [1100, 200], [1100, 1200], [100, 1200], [100, 200]]]}
    mask = tmp_path / "s.geojson"
    mask.write_text(json.dumps([{"type": "Feature", "geometry": drawn, "properties": {}}]))
    out = walk(path, mask=mask)
    meta = read_meta(out / "t.parquet")
    assert meta["tissue_mm2"] == pytest.approx((1000 * 0.499e-3) ** 2) and meta["tissue_mm2"] < found["tissue_mm2"]
    assert (meta["mask"], meta["threshold"]) == (str(mask), None) and found["mask"] is None
    (row,) = read_table(out / "r.parquet").to_pylist()
    assert row["tissue_fraction"] * (4104 * 0.499) ** 2 / 1e6 == pytest.approx(meta["tissue_mm2"], rel=0.02)
    # What is written for QuPath is a mask again, and the same one.
    again = tmp_path / "again" / "s.geojson"
    again.parent.mkdir()
    again.write_bytes((out / "t.geojson").read_bytes())
    before = read_table(out / "t.parquet")
    assert read_table(walk(path, mask=again) / "t.parquet").equals(before)


def test_a_broken_mask_excludes_the_slide_and_names_the_file(data, walk, tmp_path):
    mask = tmp_path / "s.geojson"
    mask.write_text("{}")
    status = read_status(walk(data / "slides" / "CMU-1-Small-Region.svs", mask=mask) / "r.parquet")
    assert status.reason == "bad_mask" and str(mask) in status.detail


def test_the_table_is_geoparquet_1_1(data, walk):
    out = walk(data / "composed" / "ln_c16_cc0" / "ln_01.svs")
    file = pq.ParquetFile(out / "t.parquet")
    geo = json.loads(file.schema_arrow.metadata[b"geo"])
    column = geo["columns"][geo["primary_column"]]
    # The required keys and values of https://geoparquet.org/releases/v1.1.0/.
    assert geo["version"] == "1.1.0" and geo["primary_column"] == "geometry"
    assert column["encoding"] == "WKB" and column["crs"] is None and column["edges"] == "planar"
    shapes = shapely.from_wkb(file.read()["geometry"].to_pylist())
    assert {shape.geom_type for shape in shapes} == set(column["geometry_types"]) and shapely.is_valid(shapes).all()
    areas = [shape.area * 0.243**2 for shape in shapes]
    assert file.read()["area_um2"].to_pylist() == pytest.approx(areas, rel=0.001)


def test_pen_and_blur_are_told(data, walk, tmp_path):
    import pyvips
    from scipy import ndimage

    with Image.open(data / "slides" / "CMU-1-Small-Region.svs") as source:
        pixels = np.array(source.convert("RGB"))
    half = pixels.shape[0] // 2
    for channel in range(3):
        pixels[half:, :, channel] = ndimage.gaussian_filter(pixels[half:, :, channel].astype(float), 8)
    pixels[100:700, 300:2000] = (40, 70, 190)
    pyvips.Image.new_from_array(pixels).tiffsave(str(tmp_path / "s.tif"), tile=True, compression="deflate")
    out = walk(tmp_path / "s.tif", mpp=0.499)
    meta, status = read_meta(out / "t.parquet"), read_status(out / "r.parquet")
    assert 0.2 < meta["pen_fraction"] < 0.8 and 0.3 <= meta["blurred_fraction"] <= 0.9
    assert status.ok and "pen ink, left out" in status.detail and "out of focus" in status.detail
    with Image.open(out / "t.png") as picture:
        colours = {colour for _, colour in picture.getcolors(2**24)}
    assert {(230, 0, 200), (255, 140, 0), (0, 160, 80)} <= colours


def _zeroed(source, path, tiles):
    """A copy of CMU-1-Small-Region, one level of 13 x 10 tiles, with bytes of 0 in the `tiles` (row, column)."""
    import tifffile

    with tifffile.TiffFile(source) as file:
        page = file.pages[0]
        spans = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    pixels = bytearray(source.read_bytes())
    for row, column in tiles:
        start, length = spans[row * 10 + column]
        pixels[start : start + length] = bytes(length)
    path.write_bytes(pixels)
    return path


def test_a_slide_that_is_mostly_unreadable_is_excluded_and_says_so(data, walk, tmp_path):
    good = data / "slides" / "CMU-1-Small-Region.svs"
    damaged = _zeroed(good, tmp_path / "s.svs", [(row, column) for row in range(5, 13) for column in range(10)])
    status = read_status(walk(damaged) / "r.parquet")
    assert status.reason == "unreadable_fraction" and "61." in status.detail and "fetch" in status.detail
    out = walk(damaged, tissue='{"max_unreadable_fraction": 0.7}')
    assert read_status(out / "t.parquet").ok and "61." in read_status(out / "t.parquet").detail
    assert read_meta(out / "t.parquet")["unreadable_fraction"] == pytest.approx(0.61, abs=0.01)


def test_damaged_tissue_is_not_taken_for_glass(data, walk, tmp_path):
    from workflow_scripts.wsi.slide import open_slide

    good = data / "slides" / "CMU-1-Small-Region.svs"
    whole = read_meta(walk(good) / "t.parquet")
    damaged = _zeroed(good, tmp_path / "s.svs", [(row, column) for row in (6, 7, 8) for column in (3, 4, 5)])
    out = walk(damaged, regions='{"grid": 4, "patch_px": 96}')
    meta, status = read_meta(out / "t.parquet"), read_status(out / "t.parquet")
    assert status.ok and "9.0% of the slide cannot be read" in status.detail
    assert meta["tissue_mm2"] == pytest.approx(whole["tissue_mm2"], rel=0.06)
    assert meta["threshold"] == pytest.approx(whole["threshold"], rel=0.1)
    # The patches there are tissue that cannot be read, so the features' own fraction counts them.
    inside = [r for r in read_table(out / "r.parquet").to_pylist() if 720 < r["x"] < 1000 and 1440 < r["y"] < 1760]
    assert inside and all(row["tissue_fraction"] > 0.4 for row in inside)
    with Image.open(out / "t.png") as picture, open_slide(damaged) as slide:
        middle = 4.5 * 240 / slide.width * picture.width, 7.5 * 240 / slide.height * picture.height
        assert picture.convert("RGB").getpixel(tuple(map(int, middle))) == (150, 150, 150)


def test_a_mask_of_the_users_serves_on_a_damaged_slide(data, walk, tmp_path):
    good = data / "slides" / "CMU-1-Small-Region.svs"
    damaged = _zeroed(good, tmp_path / "s.svs", [(row, column) for row in range(5, 13) for column in range(10)])
    mask = tmp_path / "s.geojson"
    mask.write_text(
        '{"type": "Feature", "properties": {}, "geometry": {"type": "Polygon",'
        ' "coordinates": [[[100, 200], [1100, 200], [1100, 1200], [100, 1200], [100, 200]]]}}'
    )
    status = read_status(walk(damaged, mask=mask) / "r.parquet")
    assert status.ok and "cannot be read" in status.detail


def test_a_slide_with_bounds_speaks_qupaths_coordinates(data, walk, tmp_path):
    # An area scanned at (1300, 700) of the slide, on glass: the tissue in it is CMU-1's.
    path, corner = tmp_path / "s.scn", (1300, 700)
    with Image.open(data / "slides" / "CMU-1-Small-Region.svs") as source:
        write_scn(path, np.array(source.convert("RGB")), (4096, 4096), corner, 0.5)
    out = walk(path)
    assert read_meta(out / "t.parquet")["origin"] == list(corner)
    tissue = shapely.union_all(shapely.from_wkb(read_table(out / "t.parquet")["geometry"].to_pylist()))
    assert shapely.box(1300, 700, 1300 + 2220, 700 + 2967).buffer(20).contains(tissue) and tissue.area > 1e6
    shown = json.loads((out / "t.geojson").read_text())["features"]
    shown = shapely.union_all([shapely.geometry.shape(feature["geometry"]) for feature in shown])
    assert shapely.transform(shown, lambda points: points + corner).equals(tissue)
    # Drawn in QuPath around the same tissue, and what it exports of ours.
    mask = tmp_path / "qupath.geojson"
    square = [[100, 200], [1100, 200], [1100, 1200], [100, 1200], [100, 200]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [square]}}
    mask.write_text(json.dumps([feature | {"properties": {"objectType": "annotation"}}]))
    again = tmp_path / "again.geojson"
    again.write_bytes((out / "t.geojson").read_bytes())
    table = read_table(walk(path, mask=mask) / "t.parquet")
    (polygon,) = shapely.from_wkb(table["geometry"].to_pylist())
    assert polygon.bounds == (1400, 900, 2400, 1900)
    assert "(1300, 700)" in read_status(tmp_path / "t.parquet").detail
    table = read_table(walk(path, mask=again) / "t.parquet")
    assert shapely.union_all(shapely.from_wkb(table["geometry"].to_pylist())).equals(tissue)
