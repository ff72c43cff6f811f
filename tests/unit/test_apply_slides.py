"""Features of new slides to tables and pages, on a small model; a slide that cannot be used costs itself alone."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.unit.slpd.test_slide_view import COUNTS, DIM, GRID, NAMES, cohort, settings, write_model
from workflow_scripts import apply_slides
from workflow_scripts.config import Regions
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_file import feature_schema
from workflow_scripts.core.model_facts import model_digest
from workflow_scripts.core.patients import hide_patients
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.core.tensors import to_column
from workflow_scripts.mil.fitted import save_fitted
from workflow_scripts.mil.head import Affine
from workflow_scripts.slpd.slide_index import SlideIndex
from workflow_scripts.slpd.slide_view import SlideEncoder

META = {"dim": DIM, "grid": GRID, "mpp": 0.5, "patch_px": 64, "encoder": {"name": "enc", "weights_sha256": "0a" * 32}}
EXTRA = {"coarse": ("scale_mismatch", "2 um/px"), "broken": ("no_mpp", "no scale")}


def write_slides(folder: Path, meta: dict) -> None:
    """Check, regions and features of the slides of `cohort`, and of two that earlier stages have excluded."""
    schema, rows = feature_schema(GRID, DIM), []
    starts = [*(np.cumsum(COUNTS) - COUNTS), 0, 0]
    for name, start, n in zip([*NAMES, *EXTRA], starts, [*COUNTS, 0, 0], strict=True):
        tokens, read_ok, tissue = (values[start : start + n] for values in cohort())
        check = {field.name: None for field in schemas.CHECK} | {"slide_id": name, "path": f"{name}.svs"}
        check |= {"width": 900, "height": 700, "mpp_x": 0.5, "mpp_y": 0.5, "status": "ok"}
        check |= {"detail": "the objective power 40 suggests 0.25 um/px" if name == "b" else ""}
        write_table(folder / f"check/{name}.parquet", [check], schemas.CHECK)
        ids = [f"{name}_{i}" for i in range(n)]
        places = [
            {"slide_id": name, "region_id": region, "x": 256 * i, "y": -5, "size_x": 256, "size_y": 256}
            for i, region in reversed(list(enumerate(ids)))
        ]
        write_table(folder / f"regions/{name}.parquet", places, schemas.REGIONS)
        arrays = {"features": tokens, "read_ok": read_ok, "tissue": tissue}
        arrays |= {"colour": np.zeros((n, GRID, GRID, 6), np.float32)}
        columns = {"slide_id": [name] * n, "region_id": ids}
        columns |= {key: to_column(value, schema.field(key)) for key, value in arrays.items()}
        write_table(folder / f"features/slides/{name}.parquet", columns, schema, meta)
        reason, detail = EXTRA.get(name, ("", ""))
        rows.append({"slide_id": name, "status": "excluded" if reason else "ok", "reason": reason, "detail": detail})
    write_table(folder / "features/shard_0.parquet", rows, schemas.FEATURE_INDEX)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    write_model(tmp_path / "run/model", settings())
    path = tmp_path / "run/model/config.json"
    stages = {"regions": Regions(mpp=0.5, grid=GRID, patch_px=64).model_dump(mode="json")}
    facts = json.loads(path.read_text())
    facts |= {"features": META, "pretrained_on": "others", "cohort": {"name": "old", "stages": stages}}
    path.write_text(json.dumps(facts))
    write_slides(tmp_path, META)
    return tmp_path


def apply(
    folder: Path, slides: Sequence[str] = (*NAMES, *EXTRA), more: Sequence[str] = (), patients: Mapping[str, str] = {}
) -> list[dict]:
    lines = ["slide_id,path,patient_id", *(f"{name},{name}.svs,{patients.get(name, '')}" for name in slides)]
    (folder / "new.csv").write_text("\n".join([*lines, ""]))
    argv = ["--model", f"{folder}/run/model", "--neighbours", "2", "--features", f"{folder}/features"]
    argv += ["--index", f"{folder}/features/shard_0.parquet", "--check-folder", f"{folder}/check"]
    argv += ["--regions-folder", f"{folder}/regions", "--output", f"{folder}/applied/slides.parquet"]
    argv += ["--manifest", f"{folder}/new.csv", *more]
    apply_slides.main(argv)
    return read_table(folder / "applied/slides.parquet").to_pylist()


def test_every_usable_slide_has_its_tables_and_its_page(folder):
    rows = {row["slide_id"]: row for row in apply(folder)}
    assert {name: (row["status"], row["n_regions"]) for name, row in rows.items()} == {
        **{name: ("ok", n) for name, n in zip(NAMES, COUNTS, strict=True)},
        **dict.fromkeys(EXTRA, ("excluded", None)),
    }
    encoder, index = SlideEncoder.load(folder / "run/model"), SlideIndex.load(folder / "run/model")
    view, ids = encoder.view_features(folder / "features", "b")
    assert rows["b"]["vector"] == view.vector.tolist()
    slides = folder / "applied/slides"
    regions = read_table(slides / "b/regions.parquet").to_pylist()
    assert [row["region_id"] for row in regions] == ids
    assert [row["x"] for row in regions] == [256 * i for i in range(12)]  # by id, whatever the order of the places
    assert [row["prototype"] for row in regions] == view.assignment.tolist()
    assert np.array_equal([row["vector"] for row in regions], view.embeddings)
    nearest = index.nearest_prototypes(view.clustered)
    assert [row["cohort_slide_id"] for row in regions] == [index.slide_ids[i] for i in nearest.slide]
    assert [row["cohort_prototype"] for row in regions] == nearest.prototype.tolist()
    matches = index.nearest(view.prototypes, 2)
    found = read_table(slides / "b/neighbours.parquet").to_pylist()
    assert [(row["rank"], row["neighbour_id"], row["matching"]) for row in found] == [
        (rank, match.slide_id, match.matching.tolist()) for rank, match in enumerate(matches, 1)
    ]
    assert (rows["b"]["nearest_id"], found[0]["neighbour_id"]) == ("b", "b")  # it is a slide of the cohort itself
    stored = read_table(slides / "b/prototypes.parquet").to_pylist()
    assert np.array_equal([row["vector"] for row in stored], view.prototypes)
    assert sum(row["n_regions"] for row in stored) == 12


def test_a_slide_with_few_regions_has_neither_prototypes_nor_neighbours(folder):
    row = apply(folder)[2]
    assert (row["slide_id"], row["nearest_id"], len(row["vector"])) == ("small", None, 8)
    slides = folder / "applied/slides/small"
    assert len(read_table(slides / "prototypes.parquet")) == len(read_table(slides / "neighbours.parquet")) == 0
    regions = read_table(slides / "regions.parquet").to_pylist()
    assert [row["prototype"] for row in regions] == [None, None] and regions[0]["cohort_slide_id"] in ("a", "b")
    assert "fewer than 6 regions, too few for prototypes" in (slides / "page.html").read_text()


def test_a_slide_that_cannot_be_used_says_why_and_leaves_no_files_of_before(folder):
    (folder / "applied/slides/coarse").mkdir(parents=True)
    rows = {row["slide_id"]: row for row in apply(folder)}
    assert {name: (rows[name]["reason"], rows[name]["detail"]) for name in EXTRA} == EXTRA
    assert sorted(path.name for path in (folder / "applied/slides").iterdir()) == sorted(NAMES)


def test_the_page_needs_nothing_else_and_names_what_it_shows(folder):
    apply(folder)
    html = (folder / "applied/slides/b/page.html").read_text()
    assert "the objective power 40 suggests 0.25 um/px" in html
    assert "To be looked at" not in (folder / "applied/slides/a/page.html").read_text()
    assert html.count("<rect ") == 12 and "could not be read" in html and "cohort old" in html
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", html)
    assert f"{4 * 3 / 4:.4f}" in html  # of the slide and itself: three cosines of 1


def test_heads_in_the_models_folder_predict_and_say_where_they_were_trained(folder):
    apply(folder)
    assert len(read_table(folder / "applied/slides/b/predictions.parquet")) == 0
    assert "Predictions" not in (folder / "applied/slides/b/page.html").read_text()
    measured = {"metric": "auc", "headline": True, "value": 0.75, "ci_low": None, "ci_high": None, "splits": "5 folds"}
    facts = {"task": "grade", "kind": "classification", "head": "logistic", "classes": ["high", "low"]}
    facts |= {
        "model_sha256": model_digest(folder / "run/model"),
        "trained_on": ["b"],
        "n_patients": 1,
        "class_shares": [0.5, 0.5],
        "results": [measured | {"n_patients": 9}],
    }
    fitted = Affine(np.array([np.zeros(8), np.arange(8.0)]), np.array([0.0, 0.5]))
    save_fitted(folder / "run/model/heads/grade.safetensors", fitted, facts)
    rows = {row["slide_id"]: row for row in apply(folder)}
    for name, seen in (("a", None), ("b", True)):
        high, low = read_table(folder / f"applied/slides/{name}/predictions.parquet").to_pylist()
        score = np.arange(8) @ np.array(rows[name]["vector"]) + 0.5
        assert (high["outcome"], low["outcome"], low["trained_on_it"]) == ("high", "low", seen)
        assert low["value"] == pytest.approx(1 / (1 + np.exp(-score))) == pytest.approx(1 - high["value"])
        html = (folder / f"applied/slides/{name}/page.html").read_text()
        assert ("is among those that the head was trained on" in html) == (seen is True)
        assert "AUC 0.750, 5 folds, 9 patients" in html and f"{low['value']:.3f}" in html


def test_features_of_an_encoder_with_other_weights_are_refused(folder):
    write_slides(folder, META | {"encoder": {"name": "enc", "weights_sha256": "0b" * 32}})
    with pytest.raises(UserError, match=r"slides/a.parquet was made with weights \(SHA-256\) \"0b0b.*extract"):
        apply(folder)


def same_patients(folder: Path) -> dict:
    return {row["neighbour_id"]: row["same_patient"] for row in read_table(folder / "neighbours.parquet").to_pylist()}


def test_a_slide_of_a_patient_of_the_cohort_is_marked(folder):
    facts = {"task": "grade", "kind": "classification", "head": "logistic", "classes": ["high", "low"]}
    facts |= {"model_sha256": model_digest(folder / "run/model"), "class_shares": [0.9625, 0.0375]}
    facts |= {"trained_on": ["b"], "n_patients": 1, "results": [], "patients": hide_patients({"b": "p-b"}, "head")}
    fitted = Affine(np.zeros((2, 8)), np.zeros(2))
    save_fitted(folder / "run/model/heads/grade.safetensors", fitted, facts)
    apply(folder, patients={"a": "p-b"})  # as if a were another slide of the patient of b
    slides, page = folder / "applied/slides", "applied/slides/{}/page.html"
    found = {
        row["neighbour_id"]: row["same_patient"] for row in read_table(slides / "a/neighbours.parquet").to_pylist()
    }
    assert found == {"a": True, "b": True}  # the slide itself by its name
    assert {row["trained_on_it"] for row in read_table(slides / "a/predictions.parquet").to_pylist()} == {True}
    html = (folder / page.format("a")).read_text()
    assert "b (<strong>the same patient</strong>)" in html and "a (<strong>this slide</strong>)" in html
    assert "of this patient, is among those that the head was trained on" in html and "cannot be checked" not in html
    assert "score, classes weighted alike" in html and "96.2 %" in html and "probability" not in html
    found = {
        row["neighbour_id"]: row["same_patient"] for row in read_table(slides / "b/neighbours.parquet").to_pylist()
    }
    assert found == {"a": None, "b": True}  # no patient is given for it
    assert (
        "Whether slides of the same patient are among them cannot be checked" in (folder / page.format("b")).read_text()
    )
    told = (folder / page.format("small")).read_text()
    assert "Whether the head was trained on slides of this patient cannot be checked" in told
    apply(folder, patients={"a": "p-new"})
    html = (folder / page.format("a")).read_text()
    assert "the same patient</strong>" not in html and "cannot be checked" not in html and "is among those" not in html
    meta = read_meta(folder / "run/model/prototypes.parquet")["patients"]
    assert set(meta["of_slides"]) == {"a", "b"} and "p-" not in json.dumps(meta)


def shard_of_one(folder: Path, name: str) -> None:
    """The shard's index names this slide alone."""
    rows = read_table(folder / "features/shard_0.parquet").to_pylist()
    write_table(folder / "features/shard_0.parquet", [r for r in rows if r["slide_id"] == name], schemas.FEATURE_INDEX)


def test_folders_of_slides_that_have_left_the_manifest_go(folder):
    apply(folder)
    shard_of_one(folder, "a")
    assert [row["slide_id"] for row in apply(folder, ["a", "small"])] == ["a"]  # small is in another shard
    assert sorted(path.name for path in (folder / "applied/slides").iterdir()) == ["a", "small"]


def test_slides_of_an_earlier_call_keep_their_rows_and_files(folder):
    before = {row["slide_id"]: row for row in apply(folder)}
    shard_of_one(folder, "a")
    after = {row["slide_id"]: row for row in apply(folder, more=["--add"])}
    assert after == before and list(after)[-1] == "a"
    assert sorted(path.name for path in (folder / "applied/slides").iterdir()) == sorted(NAMES)


def test_neighbours_are_asked_for_by_a_number_above_zero(folder):
    with pytest.raises(UserError, match="neighbours is -1; ask for at least one"):
        apply(folder, more=["--neighbours", "-1"])
