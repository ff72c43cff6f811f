"""Bad input ends in one sentence that names the culprit, a non-zero exit, and no traceback."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.tiny import CONFIG, ROOT, changed, planned, snakemake, write_config
from workflow_scripts.core.tables import read_table

GOOD = """slide_id,path,patient_id,subtype
a,slides/a.svs,p1,x
b,slides/b.svs,p2,y
c,slides/c.svs,p3,x
d,slides/d.svs,p4,y
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "slides.csv").write_text(GOOD)
    write_config(tmp_path, CONFIG)
    (tmp_path / "slides").mkdir()
    for name in "bcd":
        (tmp_path / "slides" / f"{name}.svs").write_bytes(b"")
    return tmp_path


def refusal(folder: Path, *args: str) -> str:
    """The one sentence that Snakemake ends with, without the lines of the rule files around it."""
    result = snakemake(folder, *(args or ("-n",)))
    assert result.returncode == 1
    (message,) = [line for line in result.stdout.splitlines() if line.startswith("error: ")]
    for trace in ("Traceback", "WorkflowError", 'File "', ".smk"):
        assert trace not in result.stdout
    return message


def test_good_input_is_planned(project: Path) -> None:
    result = snakemake(project, "-n")
    assert result.returncode == 0 and "fit_head" in result.stdout


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ("slide_id,path\na,x.svs\nb,x.svs\n", ["slides.csv", "x.svs", "more than one row"]),
        ("slide_id,path\na,x.svs\na,y.svs\n", ["slides.csv", "slide_id a", "2 times"]),
        ("slide_id,path\n", ["slides.csv", "lists no slide"]),
        ("id,note\na,x.svs\n", ["slides.csv", "no column slide_id or path", "only id, note"]),
        ("slide_id,path,mpp\na,x.svs,\"1,250\"\n", ["line 2", "'1,250'", "decimal point"]),
        ("slide_id,path\na/b,x.svs\n", ["line 2", "'a/b'"]),
        ("slide_id,path\na,\n", ["line 2", "path of slide a is empty"]),
    ],
)  # fmt: skip
def test_manifest(project: Path, manifest: str, words: list[str]) -> None:
    (project / "slides.csv").write_text(manifest)
    message = refusal(project)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("tisue", {}, ["unknown key tisue", "did you mean tissue?"]),
        ("regions.grd", 8, ["unknown key regions.grd"]),
        ("pretrain.defaults.crops.global_size", 5, ["crops.global_size (5)", "regions.grid (4)"]),
        ("pretrain.runs", {"slpd": {"los": 1}}, ["run slpd", "unknown key los"]),
        ("cohort.manifest", "nowhere.csv", ["nowhere.csv does not exist", "cohort.manifest"]),
        ("benchmark.compare", [["slpd", "mien"]], ["benchmark.compare", "mien"]),
        (
            "pretrain.defaults.init",
            "results/tiny/pretrain/slpd/model/model.safetensors",
            ["pretrain/slpd/model/model.safetensors", "made by the run that is to start from it"],
        ),
        (
            "pretrain.runs",
            {  # each starts from the other
                "slpd": {"init": "results/tiny/pretrain/dino/round_02/state.safetensors"},
                "dino": {"init": "results/tiny/pretrain/./slpd/round_02/state.safetensors"},
            },
            ["round_02/state.safetensors", "made by the run that is to start from it"],
        ),
    ],
)
def test_config(project: Path, key: str, value: object, words: list[str]) -> None:
    write_config(project, changed(CONFIG, key, value))
    message = refusal(project)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (
            "benchmark.heads",
            {"survival": ["logistic"]},
            ["head logistic is not made for survival", "use one of cox"],
        ),
        (
            "benchmark.tasks.grade",
            {"kind": "ordinal", "label": "grade"},
            ["benchmark.tasks.grade: slides.csv has no column 'grade'", "its label columns, subtype", "drop the task"],
        ),
        ("benchmark.tasks.subtype.label", "subtypes", ["no column 'subtypes'", "did you mean 'subtype'?"]),
        (
            "benchmark.tasks.subtype.classes",
            ["x", "z"],
            ["column subtype of slide b is 'y'", "none of the task"],
        ),
        (
            "benchmark.tasks.subtype.splits",
            {"kind": "file", "file": "slides.csv"},
            ["benchmark.tasks.subtype: splits.file: slides.csv has neither a column part nor columns fold_0"],
        ),
        ("benchmark.folds", 3, ["column subtype has 2 patients with class 'x', fewer than the 3 folds"]),
        (
            "features.model",
            "efficientnet_lit0",
            ["neither in the registry", "did you mean efficientnet_lite0"],
        ),
        ("features.weights", "weights/uni.bin", ["features.weights names weights/uni.bin, which does not exist"]),
        ("cohort.max_failed_fraction", 0.2, ["1 of 4 slide files", "slides/a.svs", "cohort.max_failed_fraction (0.2)"]),
    ],
)
def test_what_would_end_the_run_days_later(project: Path, key: str, value: object, words: list[str]) -> None:
    write_config(project, changed(CONFIG, key, value))
    message = refusal(project)
    assert all(word in message for word in words), message


def test_keys_that_are_given_twice(project: Path) -> None:
    with (project / "config/config.yaml").open("a") as file:
        file.write("\ncohort: {name: other}\n")
    message = refusal(project)
    assert "config/config.yaml gives cohort twice, in lines " in message


def test_what_is_read_and_what_is_doubtful_is_told(project: Path) -> None:
    (project / "slides.csv").write_text(
        GOOD.replace(",x\n", ",x,2\n").replace(",y\n", ",y,1\n").replace("type\n", "type,e\n")
    )
    task = {"kind": "survival", "time": "e", "event": "e"}
    write_config(project, changed(CONFIG, "benchmark.tasks.os", task))
    result = snakemake(project, "-n")
    assert result.returncode == 0
    assert (
        "slides.csv: slides 4, patients 4; columns: slide_id, path, patient_id and 2 more (subtype, e)" in result.stdout
    )
    assert result.stdout.count("slides.csv: column e holds 1 and 2 and is read as R") == 1


def test_braces_in_the_path_of_a_slide(project: Path) -> None:
    """They are wildcards to Snakemake; the slide is checked all the same, and again after a change."""
    for name, other in (("b", "{b}"), ("c", "{c, d}"), ("d", "d}")):
        (project / f"slides/{name}.svs").rename(project / f"slides/{other}.svs")
    text = GOOD.replace("slides/b.svs", "slides/{b}.svs").replace("slides/c.svs", '"slides/{c, d}.svs"')
    (project / "slides.csv").write_text(text.replace("slides/d.svs", "slides/d}.svs"))
    result = snakemake(project, "cohort")
    assert result.returncode == 0, result.stdout[-3000:]
    found = {name: read_table(project / f"results/tiny/check/{name}.parquet").to_pylist()[0] for name in "abcd"}
    assert {name: row["reason"] for name, row in found.items()} == {"a": "missing_file"} | dict.fromkeys(
        "bcd", "unreadable_file"
    )
    assert found["b"]["path"] == "slides/{b}.svs"
    assert planned(project, "cohort") == {}
    (project / "slides/{b}.svs").write_bytes(b"changed")
    assert planned(project, "cohort") == {"check_slide": 1, "cohort": 1}


def test_one_class(project: Path) -> None:
    (project / "slides.csv").write_text(GOOD.replace(",y\n", ",x\n"))
    assert "benchmark.tasks.subtype: slides.csv: column subtype holds only one class, 'x'" in refusal(project)


def test_all_slide_files_missing(project: Path) -> None:
    for name in "bcd":
        (project / "slides" / f"{name}.svs").unlink()
    message = refusal(project)
    assert "none of the 4 slide files of the manifest slides.csv exists" in message
    assert "slides/a.svs" in message


@pytest.mark.parametrize(
    ("header", "edit", "words"),
    [
        ("tumour", lambda label, patient: ("x", patient), ["subtype", "tumour"]),
        ("subtype", lambda label, patient: ("x", patient), ["one class"]),
        ("subtype", lambda label, patient: (label, "twin"), ["twin"]),
    ],
)
def test_labels(finished: Path, tmp_path: Path, header: str, edit, words: list[str]) -> None:
    """A label column that is not there, one class only, a patient with two labels."""
    lines = (finished / "slides.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines[1:]]
    out = [f"slide_id,path,patient_id,mpp,{header}"]
    for slide, path, patient, mpp, label in rows:
        new_label, new_patient = edit(label, patient)
        out.append(f"{slide},{path},{new_patient},{mpp},{new_label}")
    (tmp_path / "slides.csv").write_text("\n".join(out) + "\n")
    result = run_split(finished, tmp_path / "slides.csv", folds=2, output=tmp_path / "splits.parquet")
    assert result.returncode == 1 and "Traceback" not in result.stdout
    assert all(word in result.stdout for word in ["slides.csv", *words]), result.stdout
    assert not (tmp_path / "splits.parquet").exists()


def test_fewer_patients_than_folds(finished: Path, tmp_path: Path) -> None:
    result = run_split(finished, finished / "slides.csv", folds=9, output=tmp_path / "splits.parquet")
    assert result.returncode == 1 and "Traceback" not in result.stdout and "folds" in result.stdout


def run_split(finished: Path, manifest: Path, folds: int, output: Path) -> subprocess.CompletedProcess[str]:
    task = '{"kind": "classification", "label": "subtype"}'
    config = f'{{"task": {task}, "folds": {folds}, "seed": 0, "validation_fraction": 0.0}}'
    slides = finished / "results" / "tiny" / "slides.parquet"
    args = ["--config", config, "--task", "subtype", "--manifest", str(manifest)]
    outputs = ["--labels", str(output.with_name("labels.parquet")), "--output", str(output)]
    return run_entry("split_patients", *args, "--slides", str(slides), *outputs)


def run_entry(name: str, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"workflow_scripts.{name}", *args]
    return subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_state_that_does_not_fit_the_model(finished: Path, tmp_path: Path) -> None:
    """A state of another architecture is refused by the name of its first tensor that does not fit."""
    results = finished / "results" / "tiny"
    state = next((results / "pretrain").glob("warm_up_*")) / "state.safetensors"
    features = ["--features", str(results / "features" / "lite0"), "--slides", str(results / "slides.parquet")]
    outputs = ["--prototypes", str(tmp_path / "p.parquet"), "--assignments", str(tmp_path / "a.parquet")]
    config = (
        '{"model": {"dim": 48, "heads": 2}, "crops": {"global_size": 3, "local_size": 2},'
        ' "prototypes": {"count": 2, "min_regions": 8}}'
    )
    inputs = ["--config", config, *features, "--state", str(state), "--round", "1"]
    result = run_entry("cluster_regions", *inputs, *outputs)
    assert result.returncode == 1 and "Traceback" not in result.stdout
    assert "does not fit the model" in result.stdout and "state.safetensors" in result.stdout


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("no mount command")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_is_one_sentence_and_keeps_what_was_there(finished: Path, small_disk: Path) -> None:
    results = finished / "results" / "tiny"
    old = small_disk / "regions.parquet"
    old.write_bytes(b"old")
    (small_disk / "filler").write_bytes(b"\0" * 57_000)
    result = run_entry(
        "embed_baseline", "--baseline", "mean", "--features", str(results / "features" / "lite0"),
        "--slides", str(results / "slides.parquet"),
        "--regions-output", str(old), "--slides-output", str(small_disk / "slides.parquet"),
    )  # fmt: skip
    assert result.returncode == 1 and "Traceback" not in result.stdout
    assert "the disk is full" in result.stdout and "regions.parquet" in result.stdout
    assert old.read_bytes() == b"old"
    assert sorted(p.name for p in small_disk.iterdir()) == ["filler", "regions.parquet"]
