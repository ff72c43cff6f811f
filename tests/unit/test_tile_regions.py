import pytest
import shapely

from workflow_scripts.core import schemas
from workflow_scripts.core.status import SlideStatus, excluded
from workflow_scripts.core.tables import read_meta, read_status, read_table, status_meta, write_table
from workflow_scripts.tile_regions import main
from workflow_scripts.tissue.polygons import TISSUE_SCHEMA, tissue_rows


def _inputs(folder, status, polygons):
    row = {"slide_id": "s", "width": 8000, "height": 4000, "mpp_x": 0.5, "mpp_y": 0.5, "status": status.status}
    write_table(folder / "c.parquet", [row], schemas.CHECK, status_meta(status))
    facts = {"tissue_mm2": 1.5, "raster": [250, 500]}
    write_table(folder / "t.parquet", tissue_rows("s", polygons, 0.5, 0.5), TISSUE_SCHEMA, status_meta(status) | facts)
    return ["--check", str(folder / "c.parquet"), "--tissue", str(folder / "t.parquet")]


def test_fractions_are_those_of_the_polygons(tmp_path):
    tissue = shapely.box(0, 0, 3200, 2400)
    args = _inputs(tmp_path, SlideStatus("s"), [tissue])
    main(["--config", '{"grid": 8, "patch_px": 250}', *args, "--output", str(tmp_path / "r.parquet")])
    rows = read_table(tmp_path / "r.parquet").to_pylist()
    assert len(rows) == 4  # (0, 0) 1, (0, 1) 0.6, (1, 0) 0.2 and (1, 1) 0.12
    for row in rows:
        region = shapely.box(row["x"], row["y"], row["x"] + 2000, row["y"] + 2000)
        assert row["tissue_fraction"] == pytest.approx(tissue.intersection(region).area / 2000**2)
        for index, fraction in enumerate(row["patch_tissue"]):
            x, y = row["x"] + index % 8 * 250, row["y"] + index // 8 * 250
            patch = shapely.box(x, y, x + 250, y + 250)
            assert fraction == pytest.approx(tissue.intersection(patch).area / 250**2, abs=1e-6)
    assert read_meta(tmp_path / "r.parquet")["tissue_mm2"] == 1.5


def test_no_tissue_in_any_region(tmp_path):
    args = _inputs(tmp_path, SlideStatus("s"), [])
    main(["--config", "{}", *args, "--output", str(tmp_path / "r.parquet")])
    assert read_status(tmp_path / "r.parquet").reason == "no_regions"


def test_an_exclusion_is_carried_on(tmp_path):
    status = excluded("s", "no_mpp", "mend it")
    main(["--config", "{}", *_inputs(tmp_path, status, []), "--output", str(tmp_path / "r.parquet")])
    assert read_status(tmp_path / "r.parquet") == status and len(read_table(tmp_path / "r.parquet")) == 0


def test_a_coarse_slide_is_used_and_told(tmp_path):
    args = _inputs(tmp_path, SlideStatus("s", detail="an earlier doubt"), [shapely.box(0, 0, 8000, 4000)])
    main(["--config", '{"mpp": 0.25}', *args, "--output", str(tmp_path / "r.parquet")])
    status = read_status(tmp_path / "r.parquet")
    assert status.ok and status.detail.startswith("an earlier doubt; the slide has 0.5 um/px")
