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
    copy_slide,
    job_counts,
    planned,
    snakemake,
    write_config,
)
from workflow_scripts.core.manifest import read_manifest
from workflow_scripts.core.patients import same_patient
from workflow_scripts.core.tables import read_meta, read_table
from workflow_scripts.demo.plan import cohort_plan
from workflow_scripts.demo.slide import make_slide
from workflow_scripts.mil.fitted import load_fitted, predictions
from workflow_scripts.slpd.slide_index import SlideIndex
from workflow_scripts.slpd.slide_view import SlideEncoder

APPLY = {"model": "model", "manifest": "new.csv", "neighbours": 3}
NEW = {"cohort": {"name": "new", "max_failed_fraction": 0.9}, "apply": APPLY, "features": {"shards": 1}}
TABLES = ("regions", "prototypes", "neighbours")


@pytest.fixture(scope="module")
def project(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished project, its model in a folder of its own, and three new slides: one without a scale, one coarse."""
    folder = copy_project(finished, tmp_path_factory.mktemp("apply") / "tiny")
    copy_project(folder / "results/tiny/pretrain/slpd/model", folder / "model")
    known = (folder / "slides.csv").read_text()
    plans = [plan for plan in cohort_plan(SEED) if plan.kind == "normal" and plan.slide_id not in known]
    fine = next(plan for plan in plans if plan.mpp == 0.5 and plan.mpp_in_file)
    bare = next(plan for plan in cohort_plan(SEED) if not plan.mpp_in_file)
    make_slide(fine._replace(size_px=(1536, 1536)), SEED, folder / f"slides/new.{fine.suffix}")
    make_slide(bare._replace(size_px=(1536, 1536)), SEED, folder / f"slides/bare.{bare.suffix}")
    copy_slide(folder / f"slides/new.{fine.suffix}", folder / f"slides/coarse.{fine.suffix}")
    rows = [f"new,slides/new.{fine.suffix},", f"bare,slides/bare.{bare.suffix},"]
    rows += [f"coarse,slides/coarse.{fine.suffix},1.5"]
    (folder / "new.csv").write_text("\n".join(["slide_id,path,mpp", *rows, ""]))
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
    assert (rows["coarse"]["status"], rows["coarse"]["reason"]) == ("excluded", "scale_mismatch")
    for name in ("bare", "coarse"):  # excluded by the check, so that nothing of them was encoded
        assert read_table(project / f"results/new/check/{name}.parquet")["reason"].to_pylist() == [rows[name]["reason"]]
        assert len(read_table(project / f"results/new/regions/{name}.parquet")) == 0
    again = snakemake(project, "-n", "apply", "--configfile", str(project / "new.yaml"))
    assert job_counts(again.stdout) == {}


@pytest.mark.parametrize(
    ("name", "more", "told"),
    [
        ("bare", [], ("no_mpp", "the file records no scale", "; --mpp tells a scale")),
        ("new", ["--mpp", "1.5"], ("scale_mismatch", "the slide has 1.5", "; is --mpp 1.5 right?")),
    ],
)
def test_a_slide_that_does_not_fit_is_refused_in_a_sentence(project: Path, name: str, more: list, told: tuple) -> None:
    slide = str(next((project / "slides").glob(f"{name}.*")).relative_to(project))
    done = command(project, "model", slide, "--output", "refused", "--gpu", "0", *more)
    assert done.returncode == 1 and "Traceback" not in done.stdout
    says = f"error: 1 of 1 slides cannot be used, refused/slides.parquet says why: {name} ({told[0]}){told[2]}"
    assert says in done.stdout and told[1] in done.stdout
    assert not list((project / "refused/slides").glob("*"))


def test_a_later_call_adds_its_slide_to_those_of_earlier_ones(project: Path) -> None:
    new = next((project / "slides").glob("new.*"))
    (project / "later").mkdir()
    copy_slide(new, project / f"later/other{new.suffix}")
    for slide in (f"slides/{new.name}", f"later/other{new.suffix}"):
        done = command(project, "model", slide, "--output", "twice", "--gpu", "0")
        assert done.returncode == 0, done.stdout[-3000:]
    assert [row["slide_id"] for row in read_table(project / "twice/slides.parquet").to_pylist()] == ["new", "other"]
    for name in ("new", "other"):
        assert (project / f"twice/slides/{name}/page.html").is_file()
        assert (project / f"twice/features/slides/{name}.parquet").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [(["--mpp", "nan"], "--mpp is nan; give um/px"), (["--neighbours", "-1"], "neighbours is -1")],
)
def test_numbers_that_are_none_are_refused_before_anything_runs(project: Path, words: list, told: str) -> None:
    done = command(project, "model", "slides/whatever.svs", "--output", "numbers", *words)
    assert done.returncode == 1 and told in done.stdout and "Traceback" not in done.stdout
    assert not (project / "numbers/check").exists()


def test_a_manifest_of_slides_that_do_not_fit_is_refused_in_a_sentence(project: Path) -> None:
    lines = (project / "new.csv").read_text().splitlines()
    (project / "coarse.csv").write_text("\n".join([lines[0], lines[3], ""]))
    config = NEW | {"cohort": {"name": "coarse"}, "apply": APPLY | {"manifest": "coarse.csv"}}
    (project / "coarse.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(project, "apply", "--configfile", str(project / "coarse.yaml"))
    assert done.returncode == 1 and "Traceback" not in done.stdout
    assert "so none is left (coarse: the slide has 1.5 um/px, so its pixels are enlarged 3 times" in done.stdout


@pytest.mark.parametrize(
    ("target", "told"),
    [
        *((name, f"error: the target {name} trains") for name in ("pretrain", "embed", "benchmark", "report")),
        ("results/fresh/pretrain/slpd/model/model.safetensors", "where apply.model is set nothing is trained"),
    ],
)
def test_a_target_that_trains_is_refused_before_anything_runs(project: Path, target: str, told: str) -> None:
    (project / "fresh.yaml").write_text(yaml.safe_dump(NEW | {"cohort": {"name": "fresh"}}))
    done = snakemake(project, target, "--configfile", str(project / "fresh.yaml"))
    assert done.returncode == 1 and told in done.stdout and "rule check_slide" not in done.stdout
    assert not (project / "results/fresh/check").exists()


def test_everything_is_what_is_applied(project: Path) -> None:
    (project / "fresh.yaml").write_text(yaml.safe_dump(NEW | {"cohort": {"name": "fresh"}}))
    jobs = [planned(project, *target, "--configfile", str(project / "fresh.yaml")) for target in ((), ("apply",))]
    rules = {"check_slide", "segment_tissue", "tile_regions", "extract_features", "summarise_cohort", "apply_slides"}
    assert set(jobs[0]) == rules == set(jobs[1]) - {"apply"}


def test_an_encoder_with_other_weights_is_refused_by_both_doors(project: Path) -> None:
    other = copy_project(project / "model", project / "other")
    facts = json.loads((other / "config.json").read_text())
    facts["features"]["encoder"]["weights_sha256"] = "0" * 64
    (other / "config.json").write_text(json.dumps(facts))
    new = str(next((project / "slides").glob("new.*")).relative_to(project))
    (project / "other.yaml").write_text(
        yaml.safe_dump(NEW | {"cohort": {"name": "other"}, "apply": APPLY | {"model": "other"}})
    )
    (project / "own.pth").write_bytes(b"other weights")
    digest = json.loads((project / "model/config.json").read_text())["features"]["encoder"]["weights_sha256"]
    ways = (
        (command(project, "other", new, "--output", "o", "--gpu", "0"), "0" * 64),
        (command(project, "model", new, "--output", "o", "--gpu", "0", "--weights", "own.pth"), digest),
        (snakemake(project, "apply", "--configfile", str(project / "other.yaml")), "0" * 64),
    )
    for done, wanted in ways:
        assert done.returncode == 1 and f"instead of {wanted}" in done.stdout and "Traceback" not in done.stdout
    assert not (project / "o").exists() and not (project / "results/other").exists()  # before anything ran


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
    assert jobs["export_heads"] == 1 and set(jobs) <= {"export_heads", "export_prototypes", "write_report"}
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
    assert sum(facts["class_shares"]) == pytest.approx(1) and len(facts["class_shares"]) == len(facts["classes"])
    manifest = read_manifest(project / "slides.csv")
    patients = {row.slide_id: row.patient_id for row in manifest}
    hidden = read_meta(model / "prototypes.parquet")["patients"]
    assert all(same_patient(patients[slide], hidden, [slide]) for slide in hidden["of_slides"])
    assert not any(f'"{patient}"' in (model / "heads/subtype.json").read_text() for patient in patients.values())
    rows = predictions(slides[0]["slide_id"], np.float32(slides[0]["vector"]), [(fitted, facts)])
    assert sum(row["value"] for row in rows) == pytest.approx(1) and rows[0]["trained_on_it"]


def test_heads_that_are_no_longer_asked_for_leave_the_model(project: Path) -> None:
    write_config(project, changed(CONFIG, "benchmark.export_heads", True))
    assert snakemake(project, "embed", "benchmark").returncode == 0
    heads = project / "results/tiny/pretrain/slpd/model/heads"
    assert {path.name for path in heads.iterdir()} == {"subtype.json", "subtype.safetensors"}
    write_config(project, CONFIG)
    assert set(planned(project, "embed")) == {"export_prototypes", "embed"}
    done = snakemake(project, "embed")
    assert done.returncode == 0, done.stdout[-3000:]
    assert not list(heads.glob("*"))
    assert planned(project, "embed") == {}
