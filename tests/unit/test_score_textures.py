"""score_textures from files to table."""

import json

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from workflow_scripts import score_textures
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_meta, read_table, write_table


def _slide(folder, name, classes, prototypes):
    """A slide of 0.5 um/px, a row of regions of 64 px; the truth map has 8 um/px, so 4 px a region."""
    class_map = np.repeat(np.array(classes, np.uint8), 4)[None].repeat(4, axis=0)
    (folder / "truth").mkdir(exist_ok=True)
    names = np.array(["glass", "stroma", "tumour", "fat"])
    np.savez(folder / "truth" / f"{name}.npz", classes=names, map=class_map, um_per_px=8.0)
    check = {"slide_id": name, "mpp_x": 0.5, "mpp_y": 0.5, "status": "ok"}
    write_table(folder / "check" / f"{name}.parquet", [check], schemas.CHECK)
    regions = [
        {"slide_id": name, "region_id": f"{name}_{i}", "x": i * 64, "y": 0, "size_x": 64, "size_y": 64}
        for i in range(len(classes))
    ]
    write_table(folder / "regions" / f"{name}.parquet", regions, schemas.REGIONS)
    rows = [
        {"slide_id": name, "region_id": f"{name}_{i}", "prototype": prototype} for i, prototype in enumerate(prototypes)
    ]
    return rows[::-1]  # the order of assignments must not matter


def _score(folder, seed=0):
    options = ["--slides", "slides.parquet", "--regions-folder", "regions", "--check-folder", "check"]
    options += ["--assignments", "assignments.parquet", "--groups", "groups.parquet", "--output", "textures.parquet"]
    paths = [text if text.startswith("--") else f"{folder}/{text}" for text in options]
    config = json.dumps({"region_truth": f"{folder}/truth", "seed": seed})
    score_textures.main([*paths, "--config", config, "--log", f"{folder}/log"])
    return {row["slide_id"]: row for row in read_table(folder / "textures.parquet").to_pylist()}


GROUPS = {("a", 1): 1, ("a", 2): 2, ("b.1", 1): 1, ("c", 1): 2}  # all other prototypes are in group 0


@pytest.fixture
def cohort(tmp_path):
    rows = _slide(tmp_path, "a", [1, 1, 0, 2, 2, 3, 3], [0, 0, 9, 1, 1, 2, 2])
    rows += _slide(tmp_path, "b.1", [1, 1, 2, 2], [0, 1, 0, 1])
    rows += _slide(tmp_path, "c", [1, 1, 1], [0, 0, 1])
    _slide(tmp_path, "d", [1, 2], [])
    write_table(tmp_path / "assignments.parquet", rows, schemas.ASSIGNMENTS)
    slides = [{"slide_id": name, "patient_id": name, "status": "ok"} for name in ("a", "a.2", "b.1", "c", "d")]
    write_table(tmp_path / "slides.parquet", slides, schemas.SLIDES)
    own = sorted({(row["slide_id"], row["prototype"]) for row in rows})
    groups = [
        {"slide_id": slide, "prototype": number, "group": GROUPS.get((slide, number), 0)} for slide, number in own
    ]
    write_table(tmp_path / "groups.parquet", groups, schemas.GROUPS)
    return tmp_path


def test_agreement_of_each_slide(cohort):
    scores = _score(cohort)
    assert read_table(cohort / "textures.parquet").schema.equals(schemas.TEXTURES)
    assert list(scores) == ["a", "b.1", "c"]
    assert (scores["a"]["n_regions"], scores["a"]["n_classes"]) == (6, 3)  # the region of glass is left out
    assert scores["a"]["ari"] == pytest.approx(1.0)
    assert scores["a"]["ari_random"] < 0.5
    assert scores["b.1"]["ari"] == pytest.approx(-0.5)  # no pair together in both: (0 - 2/3) / (2 - 2/3)
    assert scores["c"]["n_classes"] == 1


def test_groups_are_scored_over_the_whole_cohort(cohort):
    _score(cohort)
    found = read_meta(cohort / "textures.parquet")["cohort"]
    classes, groups = [1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 1, 1, 1], [0, 0, 1, 1, 2, 2, 0, 1, 0, 1, 0, 0, 2]
    assert found["ari"] == pytest.approx(adjusted_rand_score(classes, groups))
    assert (found["n_slides"], found["n_regions"], found["n_classes"], found["n_groups"]) == (3, 13, 3, 3)
    assert abs(found["ari_random"]) < 0.05 and abs(found["ari_random_prototypes"]) < 0.15
    assert "over the cohort, 3 groups of 13 regions: adjusted Rand index" in (cohort / "log").read_text()


def test_mean_is_over_mixed_slides_and_skipped_ones_are_counted(cohort):
    scores = _score(cohort)
    assert read_meta(cohort / "textures.parquet")["n_skipped"] == 1
    log = (cohort / "log").read_text()
    assert "3 slides scored, 2 of them with two classes or more: mean adjusted Rand index 0.250" in log
    assert f"of permuted prototypes {(scores['a']['ari_random'] + scores['b.1']['ari_random']) / 2:.3f};" in log
    assert "1 slides with a truth map have no assignments" in log


def test_same_seed_same_bytes(cohort):
    _score(cohort)
    first = (cohort / "textures.parquet").read_bytes()
    _score(cohort)
    assert (cohort / "textures.parquet").read_bytes() == first


def test_a_folder_without_maps_is_refused(cohort):
    for file in (cohort / "truth").iterdir():
        file.unlink()
    with pytest.raises(UserError, match=r"region_truth"):
        _score(cohort)


def test_the_map_of_an_excluded_slide_is_not_taken_for_anothers(cohort):
    (cohort / "truth/a.npz").rename(cohort / "truth/a.2.npz")
    assert list(_score(cohort)) == ["b.1", "c"]


def test_two_maps_of_a_slide_are_refused(cohort):
    (cohort / "truth/a.svs.npz").write_bytes((cohort / "truth/a.npz").read_bytes())
    with pytest.raises(UserError, match=r"truth/a\.npz and \S+/truth/a\.svs\.npz are both maps of slide a; take one"):
        _score(cohort)


def test_a_map_without_scale_is_refused(cohort):
    np.savez(cohort / "truth" / "a.npz", map=np.zeros((2, 2), np.uint8))
    with pytest.raises(UserError, match=r"a\.npz lacks um_per_px"):
        _score(cohort)
