"""A slide that is none of the cohort's, by the workflow, by the command and in Python: the same bits by each door."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.workflow.tiny import (
    CONFIG,
    ROOT,
    SEED,
    changed,
    copy_project,
    job_counts,
    planned,
    snakemake,
    write_config,
)
from workflow_scripts.core.tables import read_table
from workflow_scripts.demo.plan import cohort_plan
from workflow_scripts.demo.slide import make_slide
from workflow_scripts.mil.fitted import load_fitted, predictions
from workflow_scripts.slpd.slide_index import SlideIndex
from workflow_scripts.slpd.slide_view import SlideEncoder

APPLY = {"model": "model", "manifest": "new.csv", "neighbours": 3}
NEW = {"cohort": {"name": "new"}, "apply": APPLY, "features": {"shards": 1}}
TABLES = ("regions", "prototypes", "neighbours")


@pytest.fixture(scope="module")
def project(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished project, its model copied to a folder of its own, and two new slides, of which one has no scale."""
    folder = copy_project(finished, tmp_path_factory.mktemp("apply") / "tiny")
    copy_project(folder / "results/tiny/pretrain/slpd/model", folder / "model")
    known = (folder / "slides.csv").read_text()
    plans = [plan for plan in cohort_plan(SEED) if plan.kind == "normal" and plan.slide_id not in known]
    fine = next(plan for plan in plans if plan.mpp == 0.5 and plan.mpp_in_file)
    bare = next(plan for plan in cohort_plan(SEED) if not plan.mpp_in_file)
    make_slide(fine._replace(size_px=(1536, 1536)), SEED, folder / f"slides/new.{fine.suffix}")
    make_slide(bare._replace(size_px=(1536, 1536)), SEED, folder / f"slides/bare.{bare.suffix}")
    rows = [f"new,slides/new.{fine.suffix}", f"bare,slides/bare.{bare.suffix}"]
    (folder / "new.csv").write_text("\n".join(["slide_id,path", *rows, ""]))
    (folder / "new.yaml").write_text(yaml.safe_dump(NEW))
    return folder


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`slpd apply` with these words, in `folder`; stdout and stderr together in `stdout`."""
    words = (sys.executable, "-m", "workflow_scripts.cli", "apply", *words)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        words, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_three_doors_give_the_same_bits_and_change_nothing_of_the_cohort(project: Path) -> None:
    before = digests(project / "results/tiny") | digests(project / "model")
    done = snakemake(project, "apply", "--configfile", str(project / "new.yaml"))
    assert done.returncode == 0, done.stdout[-3000:]
    assert {"apply_slides", "extract_features", "summarise_cohort"} <= set(job_counts(done.stdout))
    assert not {"warm_up", "fit_head", "write_report"} & set(job_counts(done.stdout))
    told = command(
        project,
        "model",
        *(str(path) for path in sorted((project / "slides").glob("new.*"))),
        "--neighbours",
        "3",
        "--gpu",
        "0",
    )
    assert told.returncode == 0, told.stdout[-3000:]
    assert digests(project / "results/tiny") | digests(project / "model") == before

    by_rule, by_command = project / "results/new/applied", project / "applied"
    shards = [row for path in by_rule.glob("shard_*.parquet") for row in read_table(path).to_pylist()]
    rows = {row["slide_id"]: row for row in shards}
    assert rows["new"] == read_table(by_command / "slides.parquet").to_pylist()[0]
    for name in TABLES:
        assert read_table(by_rule / f"slides/new/{name}.parquet") == read_table(
            by_command / f"slides/new/{name}.parquet"
        )
    pages = [(folder / "slides/new/page.html").read_text() for folder in (by_rule, by_command)]
    assert pages[0].split("<svg")[1] == pages[1].split("<svg")[1]  # before it stands the slide's path, as it was given

    encoder, index = SlideEncoder.load(project / "model"), SlideIndex.load(project / "model")
    view, region_ids = encoder.view_features(by_command / "features", "new")
    regions = read_table(by_rule / "slides/new/regions.parquet").to_pylist()
    assert [row["region_id"] for row in regions] == region_ids and view.prototypes is not None
    assert np.array_equal(np.float32([row["vector"] for row in regions]), view.embeddings)
    assert np.array_equal(np.float32(rows["new"]["vector"]), view.vector)
    found = read_table(by_rule / "slides/new/neighbours.parquet").to_pylist()
    matches = index.nearest(view.prototypes, 3)
    assert [(row["neighbour_id"], row["matching"]) for row in found] == [
        (match.slide_id, match.matching.tolist()) for match in matches
    ]
    assert [row["similarity"] for row in found] == [np.float32(match.similarity) for match in matches]

    assert (rows["bare"]["status"], rows["bare"]["reason"]) == ("excluded", "no_mpp")
    again = snakemake(project, "-n", "apply", "--configfile", str(project / "new.yaml"))
    assert job_counts(again.stdout) == {}


def test_a_slide_without_a_scale_is_refused_in_a_sentence(project: Path) -> None:
    bare = str(next((project / "slides").glob("bare.*")).relative_to(project))
    told = command(project, "model", bare, "--output", "refused", "--gpu", "0")
    assert told.returncode == 1 and "Traceback" not in told.stdout
    assert "error: 1 of 1 slides cannot be used: bare: no_mpp" in told.stdout


def test_an_encoder_with_other_weights_is_refused_by_both_doors(project: Path) -> None:
    other = copy_project(project / "model", project / "other")
    facts = json.loads((other / "config.json").read_text())
    facts["features"]["encoder"]["weights_sha256"] = "0" * 64
    (other / "config.json").write_text(json.dumps(facts))
    new = str(next((project / "slides").glob("new.*")).relative_to(project))
    (project / "other.yaml").write_text(
        yaml.safe_dump(NEW | {"cohort": {"name": "other"}, "apply": APPLY | {"model": "other"}})
    )
    ways = (
        command(project, "other", new, "--output", "o", "--gpu", "0"),
        snakemake(project, "apply", "--configfile", str(project / "other.yaml")),
    )
    for done in ways:
        assert done.returncode == 1 and f"instead of {'0' * 64}" in done.stdout and "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (
            NEW | {"regions": {"mpp": 0.25}},
            "regions.mpp is 0.25, and the cohort of the model in model was made with 0.5",
        ),
        (NEW | {"cohort": {"name": "tiny"}}, "results/tiny holds a cohort that was trained on"),
    ],
)
def test_a_configuration_that_says_otherwise_is_refused_by_its_key(project: Path, config: dict, told: str) -> None:
    (project / "bad.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(project, "-n", "apply", "--configfile", str(project / "bad.yaml"))
    assert done.returncode == 1 and f"error: {'configuration: ' if 'regions' in told[:8] else ''}{told}" in done.stdout


def test_heads_are_exported_on_request_with_what_was_measured(project: Path) -> None:
    write_config(project, changed(CONFIG, "benchmark.export_heads", True))
    jobs = planned(project)
    assert jobs["export_heads"] == 1 and set(jobs) <= {"export_heads", "write_report"}
    done = snakemake(project, "benchmark")
    assert done.returncode == 0, done.stdout[-3000:]
    model = project / "results/tiny/pretrain/slpd/model"
    slides = read_table(model / "slides.parquet").to_pylist()
    ((fitted, facts),) = load_fitted(model, len(slides[0]["vector"]))
    assert (facts["task"], facts["head"]) == ("subtype", "logistic")
    assert set(facts["trained_on"]) == {row["slide_id"] for row in slides}
    results = read_table(project / "results/tiny/benchmark/results.parquet").to_pylist()
    mine = {
        row["metric"]: row["value"] for row in results if (row["representation"], row["head"]) == ("slpd", "logistic")
    }
    assert {row["metric"]: row["value"] for row in facts["results"]} == mine
    rows = predictions(slides[0]["slide_id"], np.float32(slides[0]["vector"]), [(fitted, facts)])
    assert sum(row["value"] for row in rows) == pytest.approx(1) and rows[0]["trained_on_it"]
