"""The feature stage from slide files to feature files: content, reuse, exclusions."""

import csv
import io
import json
import os
import sys
import threading

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
import torch
from PIL import Image

from tests.servers import Site, serving
from workflow_scripts import extract_features
from workflow_scripts.config import Features
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_store import feature_facts, load_features
from workflow_scripts.core.fetched import Fetched, fetched_path, record_file, write_record
from workflow_scripts.core.manifest import shard_of
from workflow_scripts.core.status import SlideStatus, excluded
from workflow_scripts.core.tables import read_meta, read_status, read_table, status_meta, write_table
from workflow_scripts.core.tensors import from_column
from workflow_scripts.encoders.registry import build_encoder
from workflow_scripts.wsi import region_reader
from workflow_scripts.wsi.fetch import fetch

GRID, PX = 2, 32
SIDE = GRID * PX
MODEL = "test_vit:random"


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


class Cohort:
    """A cohort of small slides in a folder, with the tables of the stages before."""

    def __init__(self, folder):
        self.folder = folder
        self.rows: dict[str, str] = {}

    def add(self, slide_id, pixels, regions, tissue, name=None, status=None):
        """`regions`: corners in px; `tissue`: `[n, g, g]`."""
        path = self.folder / (name or f"{slide_id}.png")
        if name is None:
            Image.fromarray(pixels).save(path)
        self.rows[slide_id] = str(path)
        status = status or SlideStatus(slide_id)
        row = {"slide_id": slide_id, "path": str(path), "status": status.status, "reason": "", "detail": ""}
        row |= {"width": pixels.shape[1], "height": pixels.shape[0]}
        write_table(self.folder / f"check/{slide_id}.parquet", [row], schemas.CHECK, status_meta(status))
        table = [
            {"slide_id": slide_id, "region_id": f"{slide_id}_{i}", "x": x, "y": y, "size_x": SIDE, "size_y": SIDE}
            | {"patch_tissue": np.asarray(fractions, np.float32).ravel()}
            for i, ((x, y), fractions) in enumerate(zip(regions, tissue, strict=True))
        ]
        meta = status_meta(status) | {"tissue_mm2": 1.5}
        write_table(self.folder / f"regions/{slide_id}.parquet", table, schemas.REGIONS, meta)

    def run(self, shard=0, code="c0", more=(), **settings):
        with (self.folder / "slides.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("slide_id", "path"), *self.rows.items()])
        settings = {"encoder": "tiny", "model": MODEL, "shards": 1, "precision": "float32"} | settings
        output = self.folder / f"features/tiny/shard_{shard}.parquet"
        scale = {"mpp": 0.5, "patch_px": PX, "grid": GRID}
        extract_features.main(
            [
                *("--config", json.dumps(settings), "--regions-config", json.dumps(scale)),
                *("--manifest", str(self.folder / "slides.csv"), "--shard", str(shard), "--code", code),
                *("--check-folder", str(self.folder / "check"), "--regions-folder", str(self.folder / "regions")),
                *("--output", str(output), "--batch-size", "3", "--gpu", "0", "--log", str(self.folder / "log.txt")),
                *more,
            ]
        )
        return read_table(output).to_pylist()

    def add_fetched(self, cohort, slide_id, pixels, site):
        """A slide of a server, fetched as cohort `cohort` does; the working directory is the folder."""
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        site.files[f"/{slide_id}.png"] = buffer.getvalue()
        url = f"{site.url}/{slide_id}.png"
        path = fetched_path(cohort, slide_id, url)
        write_record(record_file(path), fetch(url, path))
        self.add(slide_id, pixels, [(0, 0)], [np.ones((2, 2))], name=path)
        self.rows[slide_id] = url
        return self.folder / path

    @property
    def features(self):
        return self.folder / "features/tiny"

    def file(self, slide_id):
        return self.features / f"slides/{slide_id}.parquet"

    def times(self):
        return self.times_of(*self.rows)

    def times_of(self, *slide_ids):
        return {slide_id: self.file(slide_id).stat().st_mtime_ns for slide_id in slide_ids}


def _pixels(seed, width=SIDE * 2, height=SIDE):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def cohort(tmp_path):
    cohort = Cohort(tmp_path)
    cohort.add("a", _pixels(0), [(0, 0), (SIDE, 0)], [[[1, 0.5], [0, 1]], np.ones((2, 2))])
    cohort.add("b", _pixels(1), [(20, 0)], [np.ones((2, 2))])
    return cohort


def _token(patch):
    """Feature of one patch, encoded alone."""
    encoder = build_encoder(Features(model=MODEL), PX)
    pixels = (patch / 255 - np.array(encoder.mean)) / np.array(encoder.std)
    with torch.inference_mode():
        return encoder.module(torch.tensor(pixels.transpose(2, 0, 1)[None], dtype=torch.float32)).numpy()[0]


def _patch(pixels, x, y):
    return pixels[y : y + PX, x : x + PX]


def test_tokens_are_the_patches_of_their_regions(cohort):
    index = cohort.run()
    assert [(row["slide_id"], row["status"]) for row in index] == [("a", "ok"), ("b", "ok")]
    assert [(row["n_regions"], row["n_patches"], row["unreadable_fraction"]) for row in index] == [(2, 7, 0), (1, 4, 0)]
    assert all(row["patches_per_s"] > 0 and row["tissue_mm2"] == 1.5 for row in index)
    assert all(0 <= row["wait_share"] <= 1 for row in index)
    store = load_features(cohort.features, ["a", "b"])
    assert store.region_ids == ["a_0", "a_1", "b_0"]
    assert store.tokens.dtype == np.float16
    assert store.read_ok.all()
    for tokens, seed, left in ((store.tokens[0], 0, 0), (store.tokens[1], 0, SIDE), (store.tokens[2], 1, 20)):
        for row, col in ((0, 0), (0, 1), (1, 1)):
            expected = _token(_patch(_pixels(seed), left + col * PX, row * PX))
            np.testing.assert_allclose(tokens[row, col], expected, atol=4e-3, rtol=4e-3)


def test_glass_shares_the_token_of_white(cohort):
    cohort.run()
    shared = load_features(cohort.features, ["a"]).tokens[0, 1, 0]
    np.testing.assert_allclose(shared, _token(np.full((PX, PX, 3), 255)), atol=4e-3, rtol=4e-3)
    assert cohort.run(encode_glass=True)[0]["n_patches"] == 8
    own = load_features(cohort.features, ["a"]).tokens[0, 1, 0]
    np.testing.assert_allclose(own, _token(_patch(_pixels(0), 0, PX)), atol=4e-3, rtol=4e-3)
    assert not np.allclose(own, shared, atol=1e-2)


def test_colour_tissue_and_facts(cohort):
    cohort.run()
    table = read_table(cohort.file("a"))
    colour, tissue = from_column(table, "colour"), from_column(table, "tissue")
    patch = _patch(_pixels(0), PX, PX).reshape(-1, 3) / 255
    np.testing.assert_allclose(colour[0, 1, 1], [*patch.mean(0), *patch.std(0)], rtol=1e-5)
    np.testing.assert_array_equal(tissue[0], np.array([[1, 0.5], [0, 1]], np.float32))
    facts = feature_facts(cohort.features, "a")
    assert (facts["grid"], facts["patch_px"], facts["mpp"], facts["dim"]) == (GRID, PX, 0.5, 64)
    assert facts["encoder"]["name"] == MODEL
    assert facts["preprocessing"]["input_px"] == PX


def test_a_second_run_computes_nothing_and_a_new_slide_costs_itself(cohort):
    first = cohort.run()
    times, content = cohort.times(), cohort.file("a").read_bytes()
    second = cohort.run()
    assert cohort.times() == times
    assert [row["patches_per_s"] for row in second] == [row["patches_per_s"] for row in first]
    keys = ("slide_id", "status", "n_regions", "n_patches", "unreadable_fraction", "tissue_mm2", "file")
    assert [[row[key] for key in keys] for row in second] == [[row[key] for key in keys] for row in first]
    cohort.add("c", _pixels(2), [(0, 0)], [np.ones((2, 2))])
    cohort.run()
    assert {name: cohort.times()[name] for name in times} == times
    cohort.file("a").unlink()
    cohort.run()
    assert cohort.file("a").read_bytes() == content


def test_what_changes_a_result_computes_it_again(cohort):
    cohort.run()
    seen = [cohort.times()]

    def made_again():
        seen.append(cohort.times())
        return {name for name in seen[-2] if seen[-1][name] != seen[-2][name]}

    cohort.run(code="c1")
    assert made_again() == {"a", "b"}
    cohort.run(code="c1", mean=[0.4, 0.5, 0.6])
    assert made_again() == {"a", "b"}
    cohort.run(code="c1", mean=[0.4, 0.5, 0.6], batch_size=7, encoder="renamed")
    assert made_again() == set()
    cohort.add("a", _pixels(0), [(0, 0)], [np.ones((2, 2))])
    cohort.run(code="c1", mean=[0.4, 0.5, 0.6])
    assert made_again() == {"a"}
    Image.fromarray(_pixels(9) // 16).save(cohort.rows["b"])  # another file size
    cohort.run(code="c1", mean=[0.4, 0.5, 0.6])
    assert made_again() == {"b"}
    cohort.file("b").write_bytes(cohort.file("b").read_bytes()[:-20])  # cut off
    cohort.run(code="c1", mean=[0.4, 0.5, 0.6])
    assert made_again() == {"b"}


def test_slides_that_left_are_removed_from_their_shard_alone(cohort):
    names = [f"s{number}" for number in range(6)]
    for name in names:
        cohort.add(name, _pixels(3), [(0, 0)], [np.ones((2, 2))])
    for shard in (0, 1):
        cohort.run(shard, shards=2)
    gone = [next(name for name in names if shard_of(name, 2) == shard) for shard in (0, 1)]
    leftover = cohort.features / "slides" / f".{names[-1]}.parquet.123.partial"
    leftover.touch()
    for name in gone:
        del cohort.rows[name]
    index = cohort.run(0, shards=2)
    assert not cohort.file(gone[0]).exists()
    assert cohort.file(gone[1]).exists()
    assert {row["slide_id"] for row in index} == {name for name in cohort.rows if shard_of(name, 2) == 0}
    cohort.run(1, shards=2)
    assert not cohort.file(gone[1]).exists()
    assert not leftover.exists()
    assert all(cohort.file(name).exists() for name in cohort.rows)


def test_the_slides_of_another_manifest_keep_their_features(cohort):
    for name in ("a", "b"):
        cohort.add(name, _pixels(3), [(0, 0)], [np.ones((2, 2))])
    cohort.run()
    others = cohort.folder / "theirs.csv"
    others.write_text(f"slide_id,path\na,{cohort.rows.pop('a')}\n")
    cohort.run(more=["--other-manifest", str(others)])
    assert cohort.file("a").exists() and cohort.file("b").exists()
    cohort.run(more=["--other-manifest"])  # as the rule writes it where there is none
    assert not cohort.file("a").exists()


def test_excluded_slides_have_empty_files(cohort):
    cohort.add("x", _pixels(4), [], [], status=excluded("x", "no_tissue", "only glass"))
    cohort.add("y", _pixels(4), [(0, 0)], [np.ones((2, 2))])
    (cohort.folder / "y.png").write_bytes(b"no picture")
    rows = {row["slide_id"]: row for row in cohort.run()}
    assert (rows["x"]["status"], rows["x"]["reason"], rows["x"]["detail"]) == ("excluded", "no_tissue", "only glass")
    assert (rows["y"]["status"], rows["y"]["reason"]) == ("excluded", "read_error")
    assert rows["y"]["detail"]
    assert rows["a"]["status"] == "ok"
    for name in "xy":
        table = read_table(cohort.file(name))
        assert len(table) == 0
        assert from_column(table, "features").shape == (0, GRID, GRID, 64)
        assert table.schema.equals(pq.read_schema(cohort.file("a")))
        assert read_status(cohort.file(name)).reason == rows[name]["reason"]


def test_a_slide_that_was_once_unreadable_is_tried_again(cohort, monkeypatch):
    cohort.add("x", _pixels(4), [], [], status=excluded("x", "no_tissue", "only glass"))

    def no_answer(path):
        raise OSError(f"the server of {path} does not answer")

    with monkeypatch.context() as broken:
        broken.setattr(region_reader, "open_slide", no_answer)
        rows = cohort.run()
    assert [row["reason"] for row in rows] == ["read_error", "read_error", "no_tissue"]
    assert "does not answer" in rows[0]["detail"]
    fingerprint, times = read_meta(cohort.file("a"))["fingerprint"], cohort.times()
    assert [row["status"] for row in cohort.run()] == ["ok", "ok", "excluded"]
    assert read_meta(cohort.file("a"))["fingerprint"] == fingerprint  # nothing else told that it is to be done
    np.testing.assert_allclose(
        load_features(cohort.features, ["b"]).tokens[0, 0, 0], _token(_patch(_pixels(1), 20, 0)), atol=4e-3, rtol=4e-3
    )
    assert cohort.times()["x"] == times["x"]  # excluded before: there is nothing to try


def test_a_slide_that_does_not_answer_is_named_and_the_others_are_done(cohort, monkeypatch):
    cohort.add("dead", _pixels(4), [(0, 0), (SIDE, 0)], np.ones((2, 2, 2)))
    cohort.add("z", _pixels(2), [(0, 0)], [np.ones((2, 2))])
    cohort.rows = {slide_id: cohort.rows[slide_id] for slide_id in ("a", "dead", "b", "z")}
    answer, opened = threading.Event(), region_reader.open_slide

    def on_a_share(path):
        if "dead" in str(path):
            answer.wait()
        return opened(path)

    with monkeypatch.context() as broken, pytest.raises(UserError) as told:
        broken.setattr(region_reader, "open_slide", on_a_share)
        cohort.run(more=["--give-up-s", "2"])
    answer.set()
    assert (
        "1 of 4 slides of this shard have not answered for 2 s (slides.give_up_s), the others are done: dead; "
        in str(told.value)
    )
    times = cohort.times_of("a", "b", "z")
    assert not cohort.file("dead").exists()
    assert [row["status"] for row in cohort.run()] == ["ok"] * 4
    assert cohort.times_of("a", "b", "z") == times, "what was done is kept"


def _damaged_slide(cohort, slide_id):
    """A tiled slide of 4 x 2 patches, two regions, with one broken tile: one patch of eight."""
    pixels, path = _pixels(5), cohort.folder / f"{slide_id}.tiff"
    tifffile.imwrite(path, pixels, tile=(PX, PX), compression="zlib", photometric="rgb")
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].dataoffsets[1]  # row 0, column 1
    with path.open("rb+") as file:
        file.seek(offset)
        file.write(b"\xff" * 64)
    cohort.add(slide_id, pixels, [(0, 0), (SIDE, 0)], np.ones((2, 2, 2)), name=path.name)
    return pixels


def test_unreadable_patches_are_zeros_or_exclude_the_slide(cohort):
    pixels = _damaged_slide(cohort, "d")
    row = cohort.run(max_unreadable_fraction=0.2)[-1]
    assert (row["status"], row["n_regions"], row["n_patches"], row["unreadable_fraction"]) == ("ok", 2, 7, 1 / 8)
    store = load_features(cohort.features, ["d"])
    assert not store.read_ok[0, 0, 1]
    assert store.read_ok.sum() == 7
    assert (store.tokens[0, 0, 1] == 0).all()
    np.testing.assert_allclose(store.tokens[0, 1, 1], _token(_patch(pixels, PX, PX)), atol=4e-3, rtol=4e-3)
    assert (from_column(read_table(cohort.file("d")), "colour")[0, 0, 1] == 0).all()
    row = cohort.run(max_unreadable_fraction=0.1)[-1]
    assert (row["status"], row["reason"], row["n_regions"]) == ("excluded", "unreadable_fraction", 0)
    assert row["unreadable_fraction"] == 1 / 8
    assert "1 of 8" in row["detail"]
    assert len(read_table(cohort.file("d"))) == 0


def test_padding_is_not_damage(cohort):
    cohort.add("p", _pixels(6, width=PX + 20, height=PX + 12), [(-6, 0), (SIDE, 0)], np.ones((2, 2, 2)))
    row = cohort.run()[-1]
    assert (row["status"], row["unreadable_fraction"]) == ("ok", 0)
    store = load_features(cohort.features, ["p"])
    assert store.region_ids == ["p_0"]  # the second lies outside and has no token to give
    np.testing.assert_array_equal(store.read_ok[0], [[True, True], [False, False]])
    cohort.add("q", _pixels(6, width=20, height=20), [(-22, -22)], [np.ones((2, 2))])
    row = cohort.run()[-1]
    assert (row["reason"], row["unreadable_fraction"]) == ("unreadable_fraction", None)
    assert "smaller than" in row["detail"]


def test_long_slides_are_written_in_pieces_in_order(cohort):
    corners = [(x, 0) for x in range(SIDE)]
    cohort.add("long", _pixels(7), corners, np.ones((SIDE, 2, 2)))
    cohort.run()
    file = pq.ParquetFile(cohort.file("long"))
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [32, 32]
    store = load_features(cohort.features, ["long"])
    assert store.region_ids == [f"long_{number}" for number in range(SIDE)]
    np.testing.assert_allclose(store.tokens[63, 0, 1], _token(_patch(_pixels(7), 95, 0)), atol=4e-3, rtol=4e-3)


def test_an_empty_shard_has_an_empty_index(cohort):
    empty = next(shard for shard in range(9) if all(shard_of(name, 9) != shard for name in cohort.rows))
    assert cohort.run(empty, shards=9) == []
    assert read_meta(cohort.features / f"shard_{empty}.parquet")["code"] == "c0"


def test_what_the_user_can_mend_is_said(cohort):
    os.remove(cohort.folder / "regions/b.parquet")
    with pytest.raises(UserError, match="slide b"):
        cohort.run()
    cohort.add("b", _pixels(1), [(0, 0)], [np.ones((3, 3))])
    with pytest.raises(UserError, match="9 patches instead of 2 x 2"):
        cohort.run()
    assert not (cohort.features / "shard_0.parquet").exists()
    with pytest.raises(UserError, match=r"features\.allow_network"):
        cohort.run(model="resnet18")
    with pytest.raises(UserError, match="do not exist"):
        cohort.run(model="resnet18", weights="missing.pth")


def test_patches_that_the_encoder_was_not_trained_for_are_refused_first(cohort):
    with pytest.raises(UserError, match=r"features\.model uni was trained at 0\.5 um/px"):
        cohort.run(model="uni")
    assert not cohort.features.exists() or not list(cohort.features.rglob("*.parquet"))


PLUG_IN = """
import torch

class Mean(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor({scale}))

    def forward(self, pixels):
        return self.scale * pixels.mean((2, 3))

def make_encoder():
    return Mean(), {{"input_px": 16, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "mpp": {mpp}}}
"""


def test_plug_in_encodes_and_its_source_decides_what_is_computed_again(cohort, monkeypatch):
    monkeypatch.chdir(cohort.folder)
    model, file = "plug_in_of_a_cohort:make_encoder", cohort.folder / "plug_in_of_a_cohort.py"

    def run(scale=1.0, mpp=0.5):
        file.write_text(PLUG_IN.format(scale=scale, mpp=mpp))
        sys.modules.pop("plug_in_of_a_cohort", None)
        return cohort.run(model=model, allow_mismatch=mpp == 0.5)

    run()
    tokens, times = load_features(cohort.features, ["b"]).tokens, cohort.times()
    expected = _patch(_pixels(1), 20, 0).reshape(-1, 3).mean(0) / 255
    np.testing.assert_allclose(tokens[0, 0, 0], expected, atol=1e-3)
    run()
    assert cohort.times() == times
    run(scale=2.0)
    np.testing.assert_allclose(load_features(cohort.features, ["b"]).tokens, 2 * tokens, atol=2e-3)
    with pytest.raises(UserError, match="was trained at 2 um/px"):
        run(mpp=2.0)


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLPD_NETWORK", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(Site({})) as site:
        yield site


def test_a_slide_that_cannot_be_fetched_again_leaves_no_features(cohort, site):
    file = cohort.add_fetched("c", "s", _pixels(3), site)
    file.unlink()
    content = site.files.pop("/s.png")
    with pytest.raises(UserError, match="cannot be had"):
        cohort.run()
    assert not cohort.file("s").exists() and not (cohort.features / "shard_0.parquet").exists()
    site.files["/s.png"] = content
    assert {row["status"] for row in cohort.run()} == {"ok"}


def test_only_the_slides_that_this_cohort_fetched_are_removed(cohort, site):
    mine = cohort.add_fetched("c", "mine", _pixels(3), site)
    other = cohort.add_fetched("other", "theirs", _pixels(4), site)
    cohort.rows["theirs"] = str(other.relative_to(cohort.folder))  # a local path in this cohort's manifest
    own = cohort.folder / "fetched" / "own" / "own.png"  # a user's folder that looks like ours
    own.parent.mkdir(parents=True)
    Image.fromarray(_pixels(5)).save(own)
    cohort.add("own", _pixels(5), [(0, 0)], [np.ones((2, 2))], name="fetched/own/own.png")
    write_record(record_file(own), Fetched("https://h/own.png", size_bytes=1, sha256="0" * 64))
    with pytest.raises(UserError, match="give --cohort"):
        cohort.run(more=("--keep-fetched", "0"))
    assert {row["status"] for row in cohort.run(more=("--keep-fetched", "0", "--cohort", "c"))} == {"ok"}
    assert not mine.exists() and other.is_file() and own.is_file()
    assert all((cohort.folder / f"{slide_id}.png").is_file() for slide_id in "ab")


@pytest.mark.parametrize("named", ["series", "series/level_0.dcm"])
def test_a_dicom_slide_is_known_by_all_its_files(cohort, named):
    pytest.importorskip("pydicom", reason="pydicom writes the slide")
    from tests.unit.wsi.dicoms import write_dicom_slide

    for folder in ("series", "other"):
        (cohort.folder / folder).mkdir()
        write_dicom_slide(cohort.folder / folder, _pixels(3), 0.5, tile=64)
    cohort.add("d", _pixels(3), [(0, 0)], [np.ones((2, 2))], name=named)
    assert cohort.run()[-1]["status"] == "ok"
    first = cohort.times()
    cohort.run()
    assert cohort.times() == first
    (cohort.folder / "other" / "level_1.dcm").replace(cohort.folder / "series" / "level_1.dcm")
    cohort.run()
    assert {name for name, time in cohort.times().items() if time != first[name]} == {"d"}
