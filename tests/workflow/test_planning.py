"""What a plan costs, and what is asked for by name: slides as empty files, for a dry run opens none."""

import os
import re
from pathlib import Path

import pytest
import yaml

from tests.benchmarks.dry_run import make_cohort
from tests.workflow.tiny import ROOT, job_counts, snakemake

LENGTHS = """
include: "{root}/Snakefile"
of_rules = [rule.wildcard_constraints for rule in workflow.rules]
print("LENGTHS", {{k: len(v) for every in (workflow.wildcard_constraints, *of_rules) for k, v in every.items()}})
"""


def lengths(folder: Path, slides: int) -> str:
    """Length of the text that constrains each wildcard."""
    folder.mkdir()
    make_cohort(folder, slides, shards=2)
    (folder / "plan.smk").write_text(LENGTHS.format(root=ROOT))
    result = snakemake(
        folder, "--list", "--snakefile", str(folder / "plan.smk"), "--configfile", str(folder / "my.yaml")
    )
    return next(line for line in result.stdout.splitlines() if line.startswith("LENGTHS"))


def test_no_constraint_grows_with_the_number_of_slides(tmp_path: Path) -> None:
    """Each pattern of a file holds the text of its constraints, and each job goes through the patterns."""
    few = lengths(tmp_path / "few", 60)
    assert "'slide': " in few
    assert lengths(tmp_path / "many", 600) == few


@pytest.mark.parametrize("name", ["nobody", "TCGA-10-00000-01Z-00-DX1.svs"])
def test_a_slide_that_no_row_has_is_told_by_its_name(tmp_path: Path, name: str) -> None:
    make_cohort(tmp_path, 60, shards=1)
    result = snakemake(tmp_path, f"results/large/fetched/{name}.json", "-n", "--configfile", str(tmp_path / "my.yaml"))
    assert result.returncode != 0
    assert f"no row of slides.csv has the slide_id {name}" in result.stdout


@pytest.mark.parametrize(
    ("more", "jobs"), [("", 64), ("slides:\n  per_job: 1000\n", 2), ("slides:\n  per_job: 1\n", 600)]
)
def test_short_stages_take_many_slides_a_job(tmp_path: Path, more: str, jobs: int) -> None:
    make_cohort(tmp_path, 600, shards=2)
    file = tmp_path / "my.yaml"
    file.write_text(file.read_text() + more)
    counts = job_counts(snakemake(tmp_path, "regions", "-n", "--configfile", str(file)).stdout)
    assert counts["check_slide"] == counts["segment_tissue"] == counts["tile_regions"]
    assert jobs * 0.4 <= counts["check_slide"] <= 2 * jobs


def test_an_image_of_a_file_is_a_slide_whose_input_is_the_file(tmp_path: Path) -> None:
    make_cohort(tmp_path, 60, shards=1)
    lines = (tmp_path / "slides.csv").read_text().splitlines()
    for number in (1, 2):
        name, _, *rest = lines[number].split(",")
        lines[number] = ",".join([name, f"slides/both.tif#{number}", *rest])
    (tmp_path / "slides.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "slides/both.tif").touch()
    output = snakemake(tmp_path, "cohort", "-n", "--configfile", str(tmp_path / "my.yaml")).stdout
    inputs = ", ".join(re.findall(r"^    input: (.*)$", output, flags=re.MULTILINE)).split(", ")
    assert inputs.count("slides/both.tif") in (1, 2) and not any("#" in file for file in inputs)


def granted(folder: Path, *args: str) -> dict[str, set[str]]:
    """GPUs that the jobs of each rule are planned with, by rule; for those that ask for some where there are some."""
    output = snakemake(folder, "-n", "--configfile", str(folder / "my.yaml"), *args).stdout
    asked: dict[str, set[str]] = {}
    for rule, gpus in re.findall(
        r"^(?:rule|checkpoint) (\w+):$|^    resources: .*?gpu=(\d+)", output, flags=re.MULTILINE
    ):
        if rule:
            gpus_of_rule = asked.setdefault(rule, set())
        else:
            gpus_of_rule.add(gpus)
    return {rule: found for rule, found in asked.items() if found}


def test_without_a_gpu_no_job_asks_for_one_so_that_cores_alone_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --resources gpu=1 one job of a GPU runs at a time. Who plans for a cluster need not have one."""
    make_cohort(tmp_path, 60, shards=2)
    config = yaml.safe_load((tmp_path / "my.yaml").read_text())
    config["benchmark"] |= {"gpu": True, "heads": {"classification": ["knn", "abmil"]}}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    here = granted(tmp_path)
    asking = {"extract_features", "warm_up", "cluster_regions", "distill_round", "embed_regions", "fit_head"}
    assert asking <= set(here)
    assert all(found == {"0"} for found in here.values())
    cluster = granted(tmp_path, "--executor", "slurm", "--jobs", "4")
    assert {rule for rule, found in cluster.items() if "1" in found} == asking
    program = tmp_path / "bin/nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    assert {rule for rule, found in granted(tmp_path).items() if "1" in found} == asking
