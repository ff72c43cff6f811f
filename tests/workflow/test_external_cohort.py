"""A second cohort beside a finished one: nothing is trained anew; a task learns from the one and tests the other."""

from pathlib import Path

import pytest

from tests.workflow.tiny import CONFIG, changed, copy_project, copy_slide, planned, snakemake, write_config
from workflow_scripts.core.chunks import chunk_count, chunk_of
from workflow_scripts.core.tables import read_meta, read_table

AFTER_LABELS = {"split_patients", "fit_head", "measure_retrieval", "collect_results", "export_results", "benchmark"}
EXTERNAL = {"kind": "classification", "label": "subtype", "splits": {"kind": "external"}}


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A finished project that then names a second cohort: copies of four of its slides, of other patients."""
    folder = copy_project(finished, tmp_path / "tiny")
    header, *lines = (folder / "slides.csv").read_text().splitlines()
    theirs = [header.replace("patient_id", "patient_id,site")]
    for line in [*lines[:2], *lines[-3:-1]]:
        slide, path, patient, mpp, subtype = line.split(",")
        copy_slide(folder / path, folder / f"slides/their_{Path(path).name}")
        theirs.append(f"their_{slide},slides/their_{Path(path).name},their_{patient},there,{mpp},{subtype}")
    (folder / "theirs.csv").write_text("\n".join([*theirs, ""]))
    config = changed(changed(CONFIG, "cohort.test_manifest", "theirs.csv"), "embed.prototypes", True)
    write_config(folder, changed(config, "benchmark.tasks.external", EXTERNAL))
    return folder


def test_it_is_embedded_and_tested_and_nothing_is_trained(project: Path) -> None:
    slides = [
        line.split(",")[0].removeprefix("their_") for line in (project / "theirs.csv").read_text().splitlines()[1:]
    ]
    chunks = chunk_count(len(slides), CONFIG["features"]["shards"])
    jobs = planned(project, "benchmark")
    for rule in ("warm_up", "cluster_regions", "distill_round", "export_model", "extract_features", "summarise_cohort"):
        assert rule not in jobs
    assert {rule: jobs[rule] for rule in ("check_slide", "extract_test_features", "summarise_test_cohort")} == {
        "check_slide": len({chunk_of(f"their_{slide}", chunks) for slide in slides}),
        "extract_test_features": CONFIG["features"]["shards"],
        "summarise_test_cohort": 1,
    }
    assert jobs["cluster_test_regions"] == jobs["split_patients"] == 1  # the task of before keeps its splits
    result = snakemake(project, "benchmark")
    assert result.returncode == 0, result.stdout[-3000:]
    results = project / "results/tiny"
    theirs = {row["slide_id"] for row in read_table(results / "test_slides.parquet").to_pylist()}
    assert len(theirs) == 4 and all(name.startswith("their_") for name in theirs)
    for task, tested in (("subtype", set()), ("external", theirs)):
        splits = read_table(results / f"benchmark/{task}/splits.parquet").to_pylist()
        assert {row["slide_id"] for row in splits} & theirs == tested
        assert all((row["part"] == "test") == (row["slide_id"] in theirs) for row in splits if task == "external")
    for name in ("mean", "slpd", "slpd-prototypes"):
        rows = read_table(results / f"embeddings/{name}/slides.parquet").to_pylist()
        vectors = {row["slide_id"]: row["vector"] for row in rows}
        for slide in theirs:  # the copy of a slide has its vector
            assert vectors[slide] == pytest.approx(vectors[slide.removeprefix("their_")], abs=1e-5), name
    predictions = results / "benchmark/external/slpd/vectors/predictions.parquet"
    assert {row["slide_id"] for row in read_table(predictions).to_pylist()} == theirs
    assert read_meta(predictions)["budgets"]["all"]["design"] == "held_out"
    assert planned(project, "benchmark") == {}
    manifest = project / "theirs.csv"
    text = manifest.read_text()
    manifest.write_text(text.replace("site", "hospital"))
    assert planned(project, "benchmark") == {}
    solid, rest = text.rsplit("solid", 1)
    manifest.write_text(f"{solid}{rest}")
    jobs = planned(project, "benchmark")
    assert set(jobs) == AFTER_LABELS and jobs["split_patients"] == 1  # of the task that tests this cohort
