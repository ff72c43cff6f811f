"""export_anndata from tables to .h5ad, opened by anndata."""

import builtins

import numpy as np
import pytest

from workflow_scripts import export_anndata
from workflow_scripts.core import schemas
from workflow_scripts.core.colours import GROUP_COLOURS
from workflow_scripts.core.embeddings import save_embeddings
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import write_table
from workflow_scripts.mil.units import LABELS

anndata = pytest.importorskip("anndata", reason="envs/requirements-anndata.txt is not installed")

VECTORS = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
SLIDES, COUNTS = ["a", "b"], np.array([3, 2])


def _embed(folder, region_ids):
    folder.mkdir(parents=True)
    files = [str(folder / f"{name}.parquet") for name in ("regions", "slides")]
    save_embeddings(*files, VECTORS, SLIDES, COUNTS, region_ids, "this cohort")


@pytest.fixture
def cohort(tmp_path):
    _embed(tmp_path / "embeddings/slpd", ["a0", "a1", "a2", "b0", "b1"])
    slides = [
        {"slide_id": slide, "patient_id": f"of_{slide}", "status": "ok", "mpp_x": mpp, "mpp_y": 2 * mpp}
        for slide, mpp in (("a", 0.5), ("b", 0.25))
    ]
    write_table(tmp_path / "slides.parquet", slides, schemas.SLIDES)
    for slide, count in zip(SLIDES, COUNTS, strict=True):
        rows = [
            {"slide_id": slide, "region_id": f"{slide}{i}", "x": 100 * i, "y": 8, "size_x": 64, "size_y": 32}
            for i in range(count)
        ]
        write_table(
            tmp_path / "regions" / f"{slide}.parquet", [r | {"tissue_fraction": 0.5} for r in rows], schemas.REGIONS
        )
    write_table(tmp_path / "labels.parquet", [{"slide_id": "a", "label": "low"}], LABELS, {"task": "grade"})
    events = [{"slide_id": slide, "time": 3.5, "event": slide == "b"} for slide in SLIDES]
    write_table(tmp_path / "events.parquet", events, LABELS, {"task": "survival"})
    groups = [{"slide_id": "a", "prototype": i, "group": group, "similarity": 1} for i, group in enumerate((9, 2))]
    write_table(tmp_path / "slpd/groups.parquet", groups, schemas.GROUPS)
    assigned = [{"slide_id": "a", "region_id": f"a{i}", "prototype": i % 2, "similarity": 0.5} for i in range(3)]
    write_table(tmp_path / "assignments.parquet", assigned, schemas.ASSIGNMENTS)
    return tmp_path


def _export(cohort, representation="slpd"):
    paths = {
        "--embeddings": [cohort / "embeddings" / representation],
        "--regions-folder": [cohort / "regions"],
        "--slides": [cohort / "slides.parquet"],
        "--labels": [cohort / "labels.parquet", cohort / "events.parquet"],
        "--groups": [cohort / "slpd/groups.parquet", cohort / "assignments.parquet"],
        "--cohort": ["demo"],
        "--regions": [cohort / "regions.h5ad"],
        "--output": [cohort / "slides.h5ad"],
    }
    export_anndata.main([str(part) for option, values in paths.items() for part in (option, *values)])
    return [anndata.read_h5ad(cohort / f"{name}.h5ad") for name in ("regions", "slides")]


def test_regions_have_vectors_places_groups_and_labels(cohort):
    regions, _ = _export(cohort)
    assert list(regions.obs_names) == ["a0", "a1", "a2", "b0", "b1"] and regions.n_vars == 0
    assert np.array_equal(regions.obsm["X_slpd"], VECTORS)
    # centres: (100 i + 32) px, (8 + 16) px
    assert np.allclose(regions.obsm["spatial"], [[16, 24], [66, 24], [116, 24], [8, 12], [33, 12]])
    assert regions.uns["spatial_unit"] == "um" and regions.obs["x"].tolist() == [0, 100, 200, 0, 100]
    assert regions.obs["group"].astype(object).where(regions.obs["group"].notna(), None).tolist() == [
        "Group 9",
        "Group 2",
        "Group 9",
        None,
        None,
    ]
    assert regions.obs["group"].cat.categories.tolist() == ["Group 2", "Group 9"]  # by number, and so are the colours
    assert list(regions.uns["group_colors"]) == [GROUP_COLOURS[2], GROUP_COLOURS[9]]
    assert regions.uns["groups_of"] == "slpd" and regions.uns["cohort"] == "demo"
    assert regions.obs["grade"].astype(object).tolist()[:3] == ["low"] * 3 and regions.obs["grade"].isna()[3:].all()
    assert regions.obs["survival_event"].tolist() == [False, False, False, True, True]
    assert regions.obs["patient_id"].tolist() == ["of_a"] * 3 + ["of_b"] * 2


@pytest.mark.parametrize("task", ["group", "patient_id", "x", "similarity", "_index", "survival_time"])
def test_a_task_with_the_name_of_a_column_leaves_the_column_as_it_is(cohort, task):
    before = _export(cohort)
    write_table(cohort / "labels.parquet", [{"slide_id": "a", "label": "low"}], LABELS, {"task": task})
    events = [{"slide_id": "a", "time": 3.5}]  # whose column is named as one of the tasks
    write_table(cohort / "events.parquet", events, LABELS, {"task": "survival"})
    for was, now in zip(before, _export(cohort), strict=True):
        kept = [name for name in was.obs if name not in ("grade", "survival_time", "survival_event")]
        assert was.obs[kept].equals(now.obs[kept])
        labels = now.obs["survival_time" if task == "survival_time" else f"label_{task}"]
        assert labels.astype(object).dropna().unique().tolist() == ["low"]
        assert task != "survival_time" or now.obs["label_survival_time"].dropna().unique().tolist() == [3.5]


def test_slides_have_their_means_and_labels(cohort):
    _, slides = _export(cohort)
    assert np.allclose(slides.obsm["X_slpd"], [VECTORS[:3].mean(axis=0), VECTORS[3:].mean(axis=0)], atol=1e-6)
    assert slides.obs_names.tolist() == SLIDES and "spatial" not in slides.obsm and "group" not in slides.obs
    assert slides.uns["pretrained_on"] == "this cohort" and slides.uns["of"] == "slides"


def test_what_is_no_region_has_no_place_and_its_own_name(cohort):
    _embed(
        cohort / "embeddings/slpd-prototypes",
        ["prototype_0", "prototype_1", "prototype_2", "prototype_0", "prototype_1"],
    )
    regions, _ = _export(cohort, "slpd-prototypes")
    assert regions.obs_names.tolist()[2:4] == ["a/prototype_2", "b/prototype_0"]
    assert "spatial" not in regions.obsm and "group" not in regions.obs and regions.obs["x"].isna().all()


def test_bags_that_stay_in_other_files_give_an_empty_table(cohort):
    _embed(cohort / "embeddings/patches", ["a0", "a1", "a2", "b0", "b1"])
    write_table(
        cohort / "embeddings/patches/regions.parquet", [], schemas.REGION_EMBEDDINGS, {"pretrained_on": "x", "dim": 4}
    )
    regions, slides = _export(cohort, "patches")
    assert regions.n_obs == 0 and slides.n_obs == 2


def test_without_anndata_one_sentence_says_what_to_install(cohort, monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **options):
        if name == "anndata":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UserError, match=r"pip install -r envs/requirements-anndata\.txt"):
        _export(cohort)
    assert not (cohort / "regions.h5ad").exists()
