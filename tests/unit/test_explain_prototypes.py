"""explain_prototypes from tables to table, against arrays that the test has made."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from workflow_scripts import explain_prototypes
from workflow_scripts.config import Config, Prototypes
from workflow_scripts.config.stages import controls
from workflow_scripts.core import schemas
from workflow_scripts.core.tables import read_table, write_table
from workflow_scripts.slpd.explained import explained
from workflow_scripts.slpd.explained_rows import RegionFacts, plain_prototypes

SIDE, SLIDES, UM = 5, ["a", "b", "small"], 8.0


def cohort(folder: Path) -> dict[str, np.ndarray]:
    """Two slides of 5 x 5 regions whose prototypes are by tissue, and one too small for any; classes are columns."""
    rng = np.random.default_rng(0)
    regions, tables = [], {"mean": [], "colour": []}
    found = {"tissue": [], "prototype": [], "class": [], "slide": []}
    for number, slide in enumerate(SLIDES):
        places = [(r, c) for r in range(SIDE) for c in range(SIDE if slide != "small" else 1)]
        own = []
        for r, c in places:
            tissue, label = rng.random() * 0.7 + 0.3, 1 + (c > 2)
            region = {"slide_id": slide, "region_id": f"{slide}_r{r:03d}_c{c:03d}"}
            own.append(region | {"x": 64 * c, "y": 64 * r, "size_x": 64, "size_y": 64, "grid_row": r, "grid_col": c}
                       | {"tissue_fraction": tissue})  # fmt: skip
            tables["mean"].append(region | {"vector": 9 * np.eye(4)[label] + 0.1 * rng.standard_normal(4)})
            tables["colour"].append(region | {"vector": [tissue, 0.0, 0.0, 7.0, 7.0, 7.0]})
            values = (tissue, int(tissue > 0.6), label, number)
            for key, value in zip(found, values, strict=True):
                found[key].append(value)
        write_table(folder / f"regions/{slide}.parquet", own, schemas.REGIONS)
        write_table(folder / f"check/{slide}.parquet", [{"slide_id": slide, "mpp_x": 0.5, "mpp_y": 0.5,
                                                         "status": "ok"}], schemas.CHECK)  # fmt: skip
        truth = np.repeat([1 + (c > 2) for c in range(SIDE)], 4).astype(np.uint8)[None].repeat(4 * SIDE, axis=0)
        (folder / "truth").mkdir(exist_ok=True)
        np.savez(folder / "truth" / f"{slide}.svs.npz", map=truth, um_per_px=UM)
        regions += own
    for name, rows in tables.items():
        write_table(folder / f"embeddings/{name}/regions.parquet", rows[::-1], schemas.REGION_EMBEDDINGS)
    assigned = [
        {"slide_id": row["slide_id"], "region_id": row["region_id"], "prototype": prototype, "similarity": 0.5}
        for row, prototype in zip(regions, found["prototype"], strict=True)
        if row["slide_id"] != "small"
    ]
    write_table(folder / "assignments.parquet", assigned, schemas.ASSIGNMENTS)
    slides = [{"slide_id": name, "patient_id": name, "status": "ok"} for name in (*SLIDES, "a.2")]
    write_table(folder / "slides.parquet", slides, schemas.SLIDES)
    return {key: np.array(value) for key, value in found.items()}


def explain(folder: Path, *names: str, truth: bool = True, colour: bool = True) -> list[dict]:
    settings = {"prototypes": Prototypes(count=2, min_regions=4).model_dump(), "seed": 3, "controls": list(names)}
    config = {"runs": {"slpd": settings}, "region_truth": f"{folder}/truth" if truth else None}
    paths = {"--slides": "slides.parquet", "--assignments": "assignments.parquet", "--embeddings": "embeddings",
             "--regions-folder": "regions",
             "--check-folder": "check", "--output": "explained.parquet", "--log": "log"}  # fmt: skip
    words = [part for option, path in paths.items() for part in (option, f"{folder}/{path}")]
    words += ["--colour", *([f"{folder}/embeddings/colour/regions.parquet"] if colour else [])]
    explain_prototypes.main([*words, "--config", json.dumps(config)])
    return read_table(folder / "explained.parquet").to_pylist()


def test_prototypes_of_tissue_and_controls_of_classes_are_told_apart(tmp_path):
    made = cohort(tmp_path)
    own, control, truth = explain(tmp_path, "mean")
    taken = made["slide"] < 2
    slide, prototype = made["slide"][taken], made["prototype"][taken]
    expected = explained(made["tissue"][taken], slide, prototype)
    assert (own["run"], own["clustering"], own["n_slides"], own["n_regions"]) == ("slpd", "prototypes", 2, 50)
    assert own["tissue"] == pytest.approx({key: getattr(expected, key) for key in ("share", "chance", "adjusted")})
    assert own["colour"] == pytest.approx(own["tissue"])  # the colour is the tissue fraction, and no deviation counts
    assert own["agreement"] is None and own["truth_slides"] == 2
    indices = [adjusted_rand_score(made["class"][taken][slide == s], prototype[slide == s]) for s in (0, 1)]
    assert own["truth"] == pytest.approx(np.mean(indices))
    full = taken & (made["tissue"] >= 0.8)
    indices = [adjusted_rand_score(made["class"][full & (made["slide"] == s)],
                                   made["prototype"][full & (made["slide"] == s)]) for s in (0, 1)]  # fmt: skip
    assert own["truth_tissue"] == pytest.approx(np.mean(indices))
    assert control["truth"] == 1 and control["clustering"] == "mean"  # k-means finds the classes, which are far apart
    assert control["tissue"]["share"] < 0.2 < 0.6 < own["tissue"]["share"]
    assert truth["clustering"] == "true classes" and truth["truth"] is None
    assert truth["agreement"] == control["agreement"] == pytest.approx(own["truth"])


def test_the_map_of_an_excluded_slide_is_not_taken_for_anothers(tmp_path):
    cohort(tmp_path)
    (tmp_path / "truth/a.svs.npz").rename(tmp_path / "truth/a.2.npz")
    assert explain(tmp_path)[0]["truth_slides"] == 1


def test_the_rim_is_of_the_grid(tmp_path):
    cohort(tmp_path)
    (own,) = explain(tmp_path, truth=False)
    tables = [read_table(tmp_path / f"regions/{name}.parquet") for name in ("a", "b")]
    inner = [(0 < r < 4) + (0 < c < 4) for t in tables for r, c in zip(t["grid_row"].to_pylist(),
             t["grid_col"].to_pylist(), strict=True)]  # fmt: skip
    shares = np.array([5, 3, 0])[inner] / 8
    prototype = np.concatenate([(t["tissue_fraction"].to_numpy() > 0.6).astype(int) for t in tables])
    expected = explained(shares, np.repeat([0, 1], 25), prototype)
    assert own["rim"]["share"] == pytest.approx(expected.share) and own["truth"] is None


def test_plain_k_means_is_as_good_as_scikit_learns(tmp_path):
    made = cohort(tmp_path)
    facts = RegionFacts(SLIDES, made["slide"], *np.zeros((4, len(made["slide"]))))
    vectors = np.random.default_rng(1).standard_normal((len(made["slide"]), 3)).astype(np.float32)
    own = np.where(made["slide"] < 2, made["prototype"], -1)
    settings = Prototypes(count=3, min_regions=4, restarts=20, iterations=30)
    found = plain_prototypes(facts, vectors, own, settings, 0)
    assert (found[made["slide"] == 2] == -1).all()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for number in (0, 1):
        part, labels = unit[made["slide"] == number], found[made["slide"] == number]
        within = sum(((part[labels == k] - part[labels == k].mean(0)) ** 2).sum() for k in range(3))
        assert within <= 1.02 * KMeans(3, n_init=20, random_state=0).fit(part).inertia_


def test_a_control_is_of_the_regions_that_the_run_gives_prototypes(tmp_path):
    """With `others: none` those of little tissue have none, and would be most of what a control explains."""
    made = cohort(tmp_path)
    facts = RegionFacts(SLIDES, made["slide"], *np.zeros((4, len(made["slide"]))))
    vectors = np.random.default_rng(1).standard_normal((len(made["slide"]), 3)).astype(np.float32)
    own = np.where(np.arange(len(made["slide"])) % 3 > 0, made["prototype"], -1)
    found = plain_prototypes(facts, vectors, own, Prototypes(count=2, min_regions=4), 0)
    assert np.array_equal(found >= 0, own >= 0)


def test_a_control_of_too_few_regions_for_the_cohorts_prototypes_is_none(tmp_path):
    made = cohort(tmp_path)
    facts = RegionFacts(SLIDES, made["slide"], *np.zeros((4, len(made["slide"]))))
    vectors = np.random.default_rng(1).standard_normal((len(made["slide"]), 3)).astype(np.float32)
    own = np.where(made["slide"] < 2, made["prototype"], -1)
    settings = Prototypes(level="global", global_count=30, min_regions=4)
    assert (plain_prototypes(facts, vectors, own, settings, 0)[own >= 0] >= 0).all()
    vectors[made["slide"] == 1] = np.nan
    assert (plain_prototypes(facts, vectors, own, settings, 0) == -1).all()


def test_controls_are_the_mean_and_runs_without_prototypes_of_the_same_seed():
    runs = {"slpd": {"seeds": 2}, "dino": {"seeds": 2}, "global": {"prototypes": {"level": "global"}}}
    config = Config.model_validate({"embed": {"baselines": ["mean", "colour"]}, "pretrain": {"runs": runs}}
                                   | {"cohort": {"name": "a", "manifest": "slides.csv"}})  # fmt: skip
    assert controls(config, "slpd") == controls(config, "global") == ["mean", "dino"]
    assert controls(config, "slpd-seed1") == ["mean", "dino-seed1"]


def test_a_colour_that_is_not_handed_on_is_no_number(tmp_path):
    cohort(tmp_path)  # its table lies there, as of an earlier configuration
    own = explain(tmp_path, truth=False, colour=False)[0]
    assert own["colour"] == {"share": None, "chance": None, "adjusted": None} and own["tissue"]["share"] > 0.6
