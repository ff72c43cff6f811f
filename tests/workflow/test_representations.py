"""Representations beside the runs are added to a finished cohort without anything else running again."""

from pathlib import Path

import numpy as np
import pytest

from tests.workflow.tiny import CONFIG, changed, copy_project, planned, snakemake, write_config
from workflow_scripts.core.tables import read_meta, read_table

ON_SETS = ("matching_knn", "matching_logistic")


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A finished project that then asks for all of them, with another tool's vectors of all its slides but one."""
    folder = copy_project(finished, tmp_path / "tiny")
    slides = read_table(folder / "results/tiny/slides.parquet").to_pylist()
    rows = [f"{row['slide_id']}.svs,{number},1.5" for number, row in enumerate(slides) if row["status"] == "ok"]
    (folder / "vectors.csv").write_text("\n".join(["slide_id,a,b", *rows, ""]))
    config = changed(CONFIG, "embed.baselines", ["mean", "max", "std"])
    config = changed(changed(config, "embed.prototypes", ["slpd", "mean"]), "embed.patches", True)
    config = changed(
        config, "benchmark.set_heads", {"classification": ["logistic", "matching_knn", "matching_logistic"]}
    )
    table = {"file": "vectors.csv", "pretrained_on": "other people's slides"}
    write_config(folder, changed(config, "embed.tables", {"other": table}))
    return folder


def test_each_is_made_alone(project: Path) -> None:
    expected = {"embed_baseline": 2, "embed_patches": 1, "embed_prototypes": 2, "embed_table": 1}
    assert planned(project, "embed") == {**expected, "embed": 1}
    result = snakemake(project, "embed")
    assert result.returncode == 0, result.stdout[-3000:]
    folder = project / "results/tiny/embeddings"
    slides = {name: read_table(folder / name / "slides.parquet").to_pylist() for name in ("mean", "slpd-prototypes")}
    ids = [row["slide_id"] for row in slides["mean"]]
    for name in ("max", "std", "patches", "other", "slpd-prototypes", "mean-prototypes"):
        assert [row["slide_id"] for row in read_table(folder / name / "slides.parquet").to_pylist()] == ids, name
    largest = {row["slide_id"]: row["vector"] for row in read_table(folder / "max/slides.parquet").to_pylist()}
    assert all((np.array(largest[row["slide_id"]]) >= row["vector"]).all() for row in slides["mean"])
    assert {len(row["vector"]) for row in slides["slpd-prototypes"]} == {
        2 * CONFIG["pretrain"]["defaults"]["model"]["dim"]
    }
    sets = read_table(folder / "slpd-prototypes/regions.parquet")["slide_id"].to_pylist()
    assert len(ids) < len(sets) <= 2 * len(ids)
    assert read_meta(folder / "other/regions.parquet")["pretrained_on"] == "other people's slides"


def test_a_table_of_other_slides_is_refused_before_anything_runs(project: Path) -> None:
    (project / "vectors.csv").write_text("slide_id,a\nnobody,1\n")
    result = snakemake(project, "-n")
    assert result.returncode != 0 and "vectors.csv has no vector of 8 of the 9 slides" in result.stdout


def test_a_table_without_one_slide_is_refused_before_anything_runs(project: Path) -> None:
    rows = (project / "vectors.csv").read_text().splitlines()
    (project / "vectors.csv").write_text("\n".join([*rows[:-1], ""]))
    result = snakemake(project, "-n")
    assert result.returncode != 0 and "embed.tables.other.file: vectors.csv has no vector of 1 of" in result.stdout


def test_all_are_benchmarked(project: Path) -> None:
    results = "results/tiny/benchmark/results.parquet"
    result = snakemake(project, results)
    assert result.returncode == 0, result.stdout[-3000:]
    rows = read_table(project / results).to_pylist()
    sets = {"slpd-prototypes", "mean-prototypes"}
    assert {row["representation"] for row in rows} == sets | {"mean", "max", "std", "patches", "other", "slpd", "dino"}
    assert [row["failure"] for row in rows if row["failure"]] == []
    heads = {of: {row["head"] for row in rows if row["representation"] == of} for of in ("mean", "mean-prototypes")}
    assert heads["mean-prototypes"] == {"logistic", *ON_SETS, "retrieval_cosine", "retrieval_matching"}
    assert heads["mean"] == {"knn", "logistic", "retrieval_cosine"}
    gains = read_table(project / "results/tiny/benchmark/sets.parquet").to_pylist()
    assert {(row["first"], row["second"]) for row in gains} == {
        (name, name.removesuffix("-prototypes")) for name in sets
    }
    assert {(row["head"], row["other"]) for row in gains} == {
        ("matching_knn", "knn"), ("matching_logistic", "logistic"), ("retrieval_matching", "retrieval_cosine")
    }  # fmt: skip
