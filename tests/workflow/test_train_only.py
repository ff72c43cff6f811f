"""A run that is pretrained for each fold of a task, beside a finished one."""

from collections import Counter
from pathlib import Path

from tests.workflow.tiny import CONFIG, changed, copy_project, planned, snakemake, write_config
from workflow_scripts.core.tables import read_meta, read_table

FOLDS = CONFIG["benchmark"]["folds"]
ONCE = {"kind": "classification", "label": "subtype", "splits": {"repeats": 1}}


def test_each_fold_has_its_own_pretraining_that_saw_none_of_its_tests(finished: Path, tmp_path: Path) -> None:
    project = copy_project(finished, tmp_path / "tiny")
    config = changed(CONFIG, "pretrain.runs", {"clean": {"train_only": "once"}})
    write_config(project, changed(config, "benchmark.tasks.once", ONCE))
    told = snakemake(project, "-n", "benchmark").stdout
    assert f"pretrain run clean is trained {FOLDS} times, once for each split of task once, and costs as much" in told
    jobs = planned(project, "benchmark")
    assert {jobs[rule] for rule in ("choose_slides", "warm_up", "export_model", "embed_regions")} == {FOLDS}
    result = snakemake(project, "benchmark")
    assert result.returncode == 0, result.stdout[-3000:]
    results = project / "results/tiny"
    splits = read_table(results / "benchmark/once/splits.parquet").to_pylist()
    for fold in range(FOLDS):
        learnt = sorted(row["slide_id"] for row in splits if (row["part"], row["fold"]) == ("train", fold))
        meta = read_meta(results / f"embeddings/clean-fold{fold}/slides.parquet")
        assert meta["saw"] == learnt and f"{len(learnt)} slides" in meta["pretrained_on"]
        assert len(read_table(results / f"embeddings/clean-fold{fold}/slides.parquet")) == 8
    rows = read_table(results / "benchmark/results.parquet").to_pylist()
    seen = {(row["task"], row["representation"]): (row["n_test_seen"], row["n_tested"]) for row in rows}
    assert seen == {
        **{(task, name): (8, 8) for task in ("subtype", "once") for name in ("slpd", "dino")},
        **{(task, "mean"): (0, 8) for task in ("subtype", "once")},
        ("once", "clean"): (0, 8),
    }
    tested = Counter(
        row["slide_id"]
        for row in read_table(results / "benchmark/once/clean/vectors/predictions.parquet").to_pylist()
        if row["head"] == "knn"
    )
    assert set(tested.values()) == {1} and len(tested) == 8
    pairs = read_table(results / "benchmark/comparisons.parquet").to_pylist()
    compared = {(row["first"], row["second"]) for row in pairs if row["task"] == "once"}
    assert ("clean", "mean") in compared and ("clean", "dino") not in compared  # dino has seen the test slides
    assert planned(project, "benchmark") == {}

    manifest = project / "slides.csv"
    header, *lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join([f"{header},age", *(f"{line},50" for line in lines), ""]))
    assert planned(project, "benchmark") == {}
    write_config(project, changed(config, "benchmark.tasks.once", {**ONCE, "splits": {"repeats": 1, "folds": 3}}))
    jobs = planned(project, "benchmark")
    assert jobs["choose_slides"] == jobs["warm_up"] == 3
