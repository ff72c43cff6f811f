"""Features of other tools from their files to slides.parquet: content, exclusions, and back from our own export."""

import json

import h5py
import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.unit.interchange import layouts
from workflow_scripts import export_features, import_features, index_features, summarise_cohort
from workflow_scripts.config import Regions
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_file import FEATURE_PARQUET, feature_schema
from workflow_scripts.core.feature_store import feature_facts, load_features
from workflow_scripts.core.manifest import shard_of
from workflow_scripts.core.status import SlideStatus
from workflow_scripts.core.tables import read_status, read_table, status_meta, table_writer, write_table
from workflow_scripts.core.tensors import from_column
from workflow_scripts.wsi.regions import region_grid

GRID = 4
REGIONS = {"mpp": 0.5, "patch_px": 256, "grid": GRID, "min_tissue_fraction": 0.0}


class Cohort:
    """A cohort in import mode, and the commands that its rules call."""

    def __init__(self, folder, kind="trident", shards=2):
        self.folder, self.kind, self.shards = folder, kind, shards
        self.source, self.features = folder / "source", folder / "features/theirs"
        self.mpp: dict[str, float | None] = {}

    def add(self, name, mpp=0.25, check=None):
        """A slide whose file is not there, unless `check` says otherwise."""
        self.mpp[name] = mpp
        row = {
            "slide_id": name,
            "path": f"{name}.svs",
            "status": "excluded",
            "reason": "missing_file",
            "detail": "gone",
        }
        row |= check or {}
        status = SlideStatus(name, row["status"], row["reason"], row["detail"])
        write_table(self.folder / f"check/{name}.parquet", [row], schemas.CHECK, status_meta(status))

    def run(self, regions=None, slides=None, **source):
        source = {"kind": self.kind, "folder": str(self.source)} | source
        for name, mpp in self.mpp.items():
            arguments = {
                **{"config": json.dumps(source), "regions-config": json.dumps(regions or REGIONS)},
                **{"slides-config": json.dumps(slides or {}), "encoder": "theirs"},
                "row": json.dumps({"slide_id": name, "path": f"{name}.svs", "mpp": mpp}),
                **{"check": self.folder / f"check/{name}.parquet", "regions": self.folder / f"regions/{name}.parquet"},
                **{"features": self.features / f"slides/{name}.parquet", "log": self.folder / "log.txt"},
            }
            import_features.main([str(part) for key, value in arguments.items() for part in (f"--{key}", value)])
        lines = [f"{name},{name}.svs" for name in self.mpp]
        (self.folder / "slides.csv").write_text("\n".join(["slide_id,path", *lines]))
        common = ["--manifest", str(self.folder / "slides.csv")]
        indices = [str(self.features / f"shard_{shard}.parquet") for shard in range(self.shards)]
        index_features.main([*common, "--features", str(self.features), "--outputs", *indices])
        summarise_cohort.main(
            [
                *(*common, "--check-folder", str(self.folder / "check"), "--indices", *indices),
                *("--max-failed-fraction", "1", "--output", str(self.folder / "slides.parquet")),
            ]
        )
        return {row["slide_id"]: row for row in read_table(self.folder / "slides.parquet").to_pylist()}

    def export(self, features=None, regions=None, formats=("trident", "clam")):
        arguments = {
            **{"config": json.dumps({"formats": formats}), "regions-config": json.dumps(regions or REGIONS)},
            **{"features": features or self.features, "regions-folder": self.folder / "regions"},
            **{"slides": self.folder / "slides.parquet", "output": self.folder / "export/index.parquet"},
        }
        export_features.main([str(part) for key, value in arguments.items() for part in (f"--{key}", value)])
        return self.folder / "export"


@pytest.fixture
def cohort(tmp_path):
    return Cohort(tmp_path)


def given(cohort, name, seed=0, **options):
    coords = layouts.lattice(seed, 11, 13)
    layouts.trident(cohort.source / f"{name}.h5", coords, layouts.features(seed, len(coords), 5), **options)
    return coords


def places(cohort, name, store):
    """Tokens of a slide by their place, from the tables of regions and features alone."""
    regions = {row["region_id"]: row for row in read_table(cohort.folder / f"regions/{name}.parquet").to_pylist()}
    at = {}
    for region_id, tokens, ok in zip(store.region_ids, store.tokens, store.read_ok, strict=True):
        row = regions[region_id]
        for r, c in zip(*np.nonzero(ok), strict=True):
            x, y = (row[k] + round(n * row[s] / GRID) for k, n, s in (("x", c, "size_x"), ("y", r, "size_y")))
            assert (x, y) not in at
            at[x, y] = tokens[r, c]
    return at


def test_tokens_stand_where_the_patches_stood_and_all_else_is_masked(cohort):
    coords = given(cohort, "a")
    cohort.add("a")
    row = cohort.run()["a"]
    store = load_features(cohort.features, ["a"])
    expected = layouts.features(0, len(coords), 5).astype(np.float16)
    at = places(cohort, "a", store)
    assert set(at) == set(map(tuple, coords.tolist()))
    for place, values in zip(coords.tolist(), expected, strict=True):
        np.testing.assert_array_equal(at[tuple(place)], values)
    assert (store.tokens[~store.read_ok] == 0).all()
    np.testing.assert_array_equal(store.tissue, store.read_ok)
    assert (row["status"], row["n_regions"]) == ("ok", len(store.region_ids))
    assert row["tissue_mm2"] == pytest.approx(len(coords) * 0.128**2)
    assert (row["width"], row["height"], row["mpp_x"], row["mpp_source"]) == (9000, 8000, 0.25, "manifest")


def test_files_have_the_schemas_and_facts_of_features_computed_here(cohort):
    given(cohort, "a")
    cohort.add("a")
    cohort.run()
    table = read_table(cohort.features / "slides/a.parquet")
    assert table.schema.remove_metadata().equals(feature_schema(GRID, 5))
    assert (from_column(table, "colour") == 0).all()
    facts = feature_facts(cohort.features, "a")
    assert {"status", "grid", "patch_px", "mpp", "dim", "encoder", "preprocessing", "fingerprint"} <= set(facts)
    assert {"name", "pretrained_on", "licence", "recommended_mpp"} <= set(facts["encoder"])
    assert (facts["dim"], facts["encoder"]["name"]) == (5, "uni_v1")
    regions = read_table(cohort.folder / "regions/a.parquet")
    assert regions.schema.remove_metadata().equals(schemas.REGIONS)
    assert regions["region_id"].to_pylist() == table["region_id"].to_pylist()
    index = read_table(cohort.features / f"shard_{shard_of('a', 2)}.parquet")
    assert index.schema.remove_metadata().equals(schemas.FEATURE_INDEX)


def test_the_slides_own_scale_counts_before_the_manifest(cohort):
    given(cohort, "a")
    slide = {"status": "ok", "reason": "", "detail": "", "width": 7000, "height": 6000, "levels": 1}
    cohort.add("a", 0.25, slide | {"mpp_x": 0.265, "mpp_y": 0.265, "mpp_source": "vendor"})
    given(cohort, "good")
    cohort.add("good")
    row = cohort.run()["a"]
    assert (row["status"], row["reason"]) == ("excluded", "scale_mismatch")
    assert (row["mpp_x"], row["width"]) == (0.265, 7000)
    row = cohort.run(REGIONS | {"mpp": 0.53})["a"]
    assert (row["status"], row["mpp_source"], row["width"]) == ("ok", "vendor", 7000)


def test_features_of_a_slide_that_was_enlarged_for_them_are_refused_where_that_is_asked_for(cohort):
    for name, mpp in (("coarse", 0.25), ("fine", 0.24)):
        given(cohort, name)
        cohort.add(name, mpp)
    assert {row["status"] for row in cohort.run().values()} == {"ok"}
    rows = cohort.run(slides={"mpp_of_regions": 0.225})
    assert {name: row["reason"] for name, row in rows.items()} == {"coarse": "scale_mismatch", "fine": ""}
    assert "0.25 um/px, so its pixels are enlarged" in rows["coarse"]["detail"]
    assert len(read_table(cohort.folder / "regions/coarse.parquet")) == 0


def test_a_bad_slide_leaves_the_others(cohort):
    given(cohort, "good")
    given(cohort, "far", patch_size_level0=1024)
    given(cohort, "unscaled")
    layouts.trident(cohort.source / "broken.h5", np.array([[0, 0]]), np.full((1, 5), np.nan, np.float32))
    layouts.trident(cohort.source / "askew.h5", np.array([[0, 0], [600, 7], [1300, 90]]), np.ones((3, 5), np.float32))
    for name in ("good", "far", "unscaled", "broken", "askew", "lost"):
        cohort.add(name, None if name == "unscaled" else 0.25)
    rows = cohort.run()
    assert {name: row["reason"] for name, row in rows.items()} == {
        **{"good": "", "far": "scale_mismatch", "unscaled": "no_mpp", "broken": "bad_features"},
        **{"askew": "irregular_grid", "lost": "no_features"},
    }
    assert str(cohort.source / "lost.h5") in rows["lost"]["detail"]
    for name, row in rows.items():
        table = read_table(cohort.features / f"slides/{name}.parquet")
        assert (len(table) > 0) == (row["status"] == "ok") == (name == "good")
        assert read_status(cohort.folder / f"regions/{name}.parquet").reason == row["reason"]
        assert row["status"] == "ok" or (row["detail"] and row["n_regions"] == 0)


def test_a_magnification_is_a_scale_only_where_the_config_says_so(cohort):
    for name, mpp in (("a", None), ("good", 0.25)):
        given(cohort, name)
        cohort.add(name, mpp)
    assert cohort.run()["a"]["reason"] == "no_mpp"
    row = cohort.run(slides={"mpp_from_objective": True})["a"]
    assert (row["status"], row["mpp_x"], row["mpp_source"]) == ("ok", 0.25, "objective_guess")
    row = cohort.run(mpp=0.5, patch_px=256)["a"]
    assert (row["status"], row["mpp_x"], row["mpp_source"]) == ("ok", 0.25, "config")


def test_slides_that_differ_from_most_in_width_or_encoder_are_left_out(cohort):
    for seed, name in enumerate("abc"):
        given(cohort, name, seed)
        cohort.add(name)
    coords = layouts.lattice(7)
    layouts.trident(cohort.source / "wide.h5", coords, layouts.features(7, len(coords), 9))
    path = layouts.trident(cohort.source / "other.h5", coords, layouts.features(7, len(coords), 5))
    with h5py.File(path, "r+") as file:
        file["features"].attrs["encoder"] = "conch_v1"
    for name in ("wide", "other"):
        cohort.add(name)
    rows = cohort.run()
    assert {name for name, row in rows.items() if row["status"] == "ok"} == set("abc")
    assert rows["wide"]["reason"] == rows["other"]["reason"] == "bad_features"
    assert "9 wide" in rows["wide"]["detail"] and "3 of 5" in rows["wide"]["detail"]
    assert "conch_v1" in rows["other"]["detail"] and "uni_v1" in rows["other"]["detail"]
    assert rows["wide"]["n_regions"] == 0


@pytest.mark.parametrize("kind", ["clam", "slide2vec", "stamp"])
def test_every_tool_gives_the_same_cohort(tmp_path, kind):
    cohort = Cohort(tmp_path, kind)
    coords = layouts.lattice(0, 11, 13)
    values = layouts.features(0, len(coords), 5)
    if kind == "clam":
        layouts.clam(cohort.source, "a", coords, values)
    elif kind == "slide2vec":
        layouts.slide2vec(cohort.source, "a", coords, values)
    else:
        layouts.stamp(cohort.source / "a.h5", (coords / 4).astype(np.float32), values, tile_um=128.0)
    cohort.add("a")
    row = cohort.run()["a"]
    assert (row["status"], row["mpp_source"]) == ("ok", "manifest")
    at = places(cohort, "a", load_features(cohort.features, ["a"]))
    assert set(at) == set(map(tuple, coords.tolist()))
    for place, expected in zip(coords.tolist(), values.astype(np.float16), strict=True):
        np.testing.assert_array_equal(at[tuple(place)], expected)


def test_stamp_without_any_slide_scale_keeps_its_um(tmp_path):
    cohort = Cohort(tmp_path, "stamp")
    coords = layouts.lattice(0, 11, 13)
    layouts.stamp(cohort.source / "a.h5", coords / 4, layouts.features(0, len(coords), 5), tile_um=128.0)
    cohort.add("a", None)
    row = cohort.run()["a"]
    assert (row["status"], row["mpp_x"], row["mpp_source"]) == ("ok", None, "none")
    assert row["tissue_mm2"] == pytest.approx(len(coords) * 0.128**2)
    at = places(cohort, "a", load_features(cohort.features, ["a"]))
    assert set(at) == set(map(tuple, (coords // 2).tolist()))  # px of regions.mpp


def test_two_runs_write_the_same_bits(cohort):
    given(cohort, "a")
    cohort.add("a")
    files = [cohort.features / "slides/a.parquet", cohort.folder / "regions/a.parquet"]
    cohort.run()
    first = [file.read_bytes() for file in files]
    cohort.run()
    assert [file.read_bytes() for file in files] == first


def own_features(cohort, name, seed, mpp):
    """A slide as tile_regions and extract_features leave it; tokens by place of those with tissue that were read."""
    rng = np.random.default_rng(seed)
    size = rng.integers(12_000, 16_000, 2)
    regions = Regions(**REGIONS)
    rows, at = [], {}
    schema = feature_schema(GRID, 5)
    tokens, ok, tissue = [], [], []
    for place in region_grid(*size.tolist(), mpp, mpp, regions):
        name_of = f"{name}_r{place.grid_row:03d}_c{place.grid_col:03d}"
        rows.append({"slide_id": name, "region_id": name_of, **place._asdict(), "tissue_fraction": 1.0})
        tokens.append(rng.normal(size=(GRID, GRID, 5)).astype(np.float16))
        ok.append(rng.random((GRID, GRID)) < 0.9)
        tissue.append(np.where(rng.random((GRID, GRID)) < 0.8, rng.random((GRID, GRID)), 0).astype(np.float32))
        for r, c in zip(*np.nonzero(ok[-1] & (tissue[-1] > 0)), strict=True):
            x, y = place.x + round(c * place.size_x / GRID), place.y + round(r * place.size_y / GRID)
            at[x, y] = tokens[-1][r, c]
    write_table(cohort.folder / f"regions/{name}.parquet", rows, schemas.REGIONS)
    columns = {"slide_id": [name] * len(rows), "region_id": [row["region_id"] for row in rows]}
    columns |= {"features": [t.tobytes() for t in tokens], "read_ok": [t.tobytes() for t in ok]}
    columns |= {"tissue": [t.tobytes() for t in tissue], "colour": [bytes(GRID * GRID * 24)] * len(rows)}
    folder = cohort.folder / "features/ours"
    with table_writer(folder / f"slides/{name}.parquet", schema, **FEATURE_PARQUET) as writer:
        writer.write(pa.table(columns, schema=schema))
        writer.meta = {"grid": GRID, "patch_px": 256, "mpp": 0.5, "dim": 5, "encoder": {"name": "ours"}}
    row = {"slide_id": name, "patient_id": name, "status": "ok", "width": int(size[0]), "height": int(size[1])}
    write_table(cohort.folder / "slides.parquet", [row | {"mpp_x": mpp, "mpp_y": mpp}], schemas.SLIDES)
    return at, {row["region_id"] for row in rows}


@pytest.mark.parametrize(("mpp", "size_px"), [(0.25, 512), (0.265, 483)])
def test_export_as_the_tools_see_it(cohort, mpp, size_px):
    at, _ = own_features(cohort, "a", 3, mpp)
    folder = cohort.export(cohort.folder / "features/ours")
    with h5py.File(folder / "trident/features_ours/a.h5") as file:
        features, coords, told = file["features"][:], file["coords"][:], dict(file["coords"].attrs)
        assert file["features"].attrs["encoder"] == "ours"
    assert features.dtype == np.float32 and features.shape == (len(at), 5) and coords.shape == (len(at), 2)
    assert {tuple(place): values.tobytes() for place, values in zip(coords.tolist(), features, strict=True)} == {
        place: values.astype(np.float32).tobytes() for place, values in at.items()
    }
    assert (told["patch_size"], told["patch_size_level0"], told["overlap"]) == (256, size_px, 0)
    assert (told["target_magnification"], told["level0_mpp"], told["target_mpp"]) == (20, mpp, 0.5)
    with h5py.File(folder / "trident/patches/a_patches.h5") as file:
        np.testing.assert_array_equal(file["coords"][:], coords)
        assert dict(file["coords"].attrs) == told
    with h5py.File(folder / "clam/h5_files/a.h5") as file:
        np.testing.assert_array_equal(file["features"][:], features)
        np.testing.assert_array_equal(file["coords"][:], coords)
        assert file["coords"].dtype == np.int32
    tensor = torch.load(folder / "clam/pt_files/a.pt", weights_only=True)
    np.testing.assert_array_equal(tensor.numpy(), features)
    with h5py.File(folder / "clam/patches/a.h5") as file:
        assert (file["coords"].attrs["patch_size"], file["coords"].attrs["patch_level"]) == (size_px, 0)
    index = read_table(folder / "index.parquet").to_pylist()
    assert [(row["format"], row["n_patches"]) for row in index] == [("trident", len(at)), ("clam", len(at))]
    assert all((folder / file).is_file() for row in index for file in row["files"])


@pytest.mark.parametrize("kind", ["trident", "clam"])
@pytest.mark.parametrize("mpp", [0.25, 0.265, 0.4991])
def test_export_and_import_again_gives_the_same_tokens_in_the_same_regions(tmp_path, kind, mpp):
    cohort = Cohort(tmp_path, kind)
    at, region_ids = own_features(cohort, "a", 5, mpp)
    folder = cohort.export(cohort.folder / "features/ours", formats=[kind])
    cohort.source = folder / ("trident/features_ours" if kind == "trident" else "clam")
    cohort.add("a", mpp)
    assert cohort.run()["a"]["status"] == "ok"
    store = load_features(cohort.features, ["a"])
    assert set(store.region_ids) == region_ids
    again = places(cohort, "a", store)
    assert len(again) == len(at)
    for (x, y), values in again.items():  # corners of cells may differ by a px of rounding
        near = [(x + dx, y + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if (x + dx, y + dy) in at]
        assert len(near) == 1
        np.testing.assert_array_equal(at[near[0]], values)


def test_overlapping_regions_are_not_exported(cohort):
    own_features(cohort, "a", 3, 0.25)
    with pytest.raises(UserError, match="stride_fraction"):
        cohort.export(cohort.folder / "features/ours", REGIONS | {"stride_fraction": 0.5})


def test_an_index_of_slides_that_were_not_imported(cohort):
    given(cohort, "a")
    cohort.add("a")
    cohort.run()
    (cohort.features / "slides/a.parquet").unlink()
    with pytest.raises(UserError, match="import_features for a"):
        index_features.main(
            [
                *("--manifest", str(cohort.folder / "slides.csv"), "--features", str(cohort.features)),
                *("--outputs", str(cohort.features / "shard_0.parquet")),
            ]
        )


def test_an_export_holds_the_slides_of_its_index_and_nothing_stale(cohort):
    for seed, name in enumerate(("a", "b", "a_patches")):
        given(cohort, name, seed)
        cohort.add(name)
    cohort.run()
    folder = cohort.export()
    before = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert "clam/pt_files/b.pt" in before and len(before) == 3 * 5 + 1
    users = ["trident/patches/notes.txt", "trident/patches/b.csv", "trident/features_other/b.h5", "b.h5"]
    for name in users:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    del cohort.mpp["b"]
    cohort.run()
    cohort.export(formats=("trident",))
    clam_only = {str(file.relative_to(folder)) for file in (folder / "clam").rglob("*.*") if file.is_file()}
    assert "clam/pt_files/b.pt" in clam_only
    cohort.export()
    listed = {file for row in read_table(folder / "index.parquet").to_pylist() for file in row["files"]}
    after = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert after == listed | {"index.parquet", *users}
    assert before - after == {
        *("trident/features_theirs/b.h5", "trident/patches/b_patches.h5"),
        *("clam/h5_files/b.h5", "clam/pt_files/b.pt", "clam/patches/b.h5"),
    }
