"""split_patients from command line to table, for every kind of splits, on a small planted cohort."""

import json
from collections import Counter
from random import Random

import pytest

from workflow_scripts import split_patients
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import read_manifest
from workflow_scripts.core.tables import read_meta, read_table, write_table

TASK = {"kind": "classification", "label": "grade"}


@pytest.fixture
def cohort(tmp_path):
    """36 slides of 24 patients at four sites, two classes; every second patient has two slides."""
    lines, slides = ["slide_id,path,patient_id,grade,site,days,dead"], []
    for patient in range(24):
        for part in range(2 if patient % 2 else 1):
            name = f"s{patient:02d}-{part}"
            cells = ("xy"[patient // 2 % 2], "ABCD"[patient // 6], 10 + patient, patient // 3 % 2)
            lines.append(",".join(map(str, (name, f"{name}.svs", f"p{patient:02d}", *cells))))
            slides.append({"slide_id": name, "patient_id": f"p{patient:02d}", "status": "ok"})
    (tmp_path / "slides.csv").write_text("\n".join(lines) + "\n")
    write_table(tmp_path / "slides.parquet", slides, schemas.SLIDES)
    return tmp_path


def _split(folder, task, **settings):
    config = json.dumps({"task": TASK | task, "folds": 3, "repeats": 2, "seed": 0, **settings})
    files = ["--manifest", f"{folder}/slides.csv", "--slides", f"{folder}/slides.parquet"]
    if (folder / "theirs.csv").exists():
        files += [f"{folder}/theirs.parquet", "--test-manifest", f"{folder}/theirs.csv"]
    options = [
        "--labels",
        f"{folder}/labels.parquet",
        "--output",
        f"{folder}/splits.parquet",
        "--log",
        f"{folder}/splits.log",
    ]
    split_patients.main(["--config", config, "--task", "t", *files, *options])
    return read_table(folder / "splits.parquet").to_pylist(), read_meta(folder / "splits.parquet")


def _tested(rows, *keys):
    """Patients tested, by split."""
    found = {}
    for row in rows:
        if row["part"] == "test":
            found.setdefault(tuple(row[key] for key in keys or ("repeat", "fold")), set()).add(row["patient_id"])
    return found


def _require_patients_apart(rows):
    parts = {}
    for row in rows:
        key = row["budget"], row["repeat"], row["fold"], row["patient_id"]
        assert parts.setdefault(key, row["part"]) == row["part"], key


def test_folds_with_their_sites_together(cohort):
    rows, meta = _split(cohort, {"splits": {"preserve": "site"}})
    _require_patients_apart(rows)
    assert meta["design"] == "folds" and not meta["balanced"]
    site = {f"p{patient:02d}": "ABCD"[patient // 6] for patient in range(24)}
    for repeat in range(2):
        sites = [{site[name] for name in _tested(rows)[repeat, fold]} for fold in range(3)]
        assert sorted(len(found) for found in sites) == [1, 1, 2]
        assert set.union(*sites) == set("ABCD")


def test_each_site_left_out(cohort):
    rows, meta = _split(cohort, {"splits": {"kind": "leave_one_out", "column": "site"}})
    _require_patients_apart(rows)
    assert meta["splits"] == [[0, fold, site] for fold, site in enumerate("ABCD")] and not meta["balanced"]
    assert {key: len(found) for key, found in _tested(rows).items()} == {(0, fold): 6 for fold in range(4)}


def test_an_external_cohort_with_validation_from_the_training_cohort(cohort):
    splits = {"kind": "external", "column": "site", "value": "D"}
    rows, meta = _split(cohort, {"splits": splits}, validation_fraction=0.2)
    _require_patients_apart(rows)
    assert meta["design"] == "held_out"
    assert _tested(rows) == {(0, 0): {f"p{patient}" for patient in range(18, 24)}}
    of_part = Counter(part for _, part in {(row["patient_id"], row["part"]) for row in rows})
    assert of_part == {"train": 14, "val": 4, "test": 6}


@pytest.fixture
def two_cohorts(cohort):
    """The cohort, and eight slides of four patients of another, one of them unusable."""
    lines, slides = ["slide_id,path,patient_id,mpp,grade"], []
    for number in range(8):
        name, patient = f"t{number}", f"q{number // 2}"
        lines.append(f"{name},{name}.svs,{patient},0.5,{'xy'[number // 2 % 2]}")
        slides.append({"slide_id": name, "patient_id": patient, "status": "excluded" if number == 7 else "ok"})
    (cohort / "theirs.csv").write_text("\n".join(lines) + "\n")
    write_table(cohort / "theirs.parquet", slides, schemas.SLIDES)
    return cohort


def test_the_cohort_of_a_second_manifest_is_tested_alone(two_cohorts):
    rows, meta = _split(two_cohorts, {"splits": {"kind": "external"}}, validation_fraction=0.2, few_shot=[2], draws=2)
    _require_patients_apart(rows)
    assert (meta["design"], meta["n_patients"], meta["n_slides"]) == ("held_out", 28, 43)
    assert meta["excluded"] == {"not_usable": 1, "no_label": 0}
    for row in rows:
        assert (row["part"] == "test") == row["patient_id"].startswith("q")
    tested = {(row["budget"], row["slide_id"]) for row in rows if row["part"] == "test"}
    assert tested == {(budget, f"t{number}") for budget in ("all", "2/class") for number in range(7)}


def test_other_splits_do_not_know_the_second_cohort(two_cohorts):
    for splits in ({}, {"kind": "leave_one_out", "column": "site"}):
        rows, meta = _split(two_cohorts, {"splits": splits})
        assert not any(row["patient_id"].startswith("q") for row in rows)
        assert meta["n_excluded"] == 0
    (two_cohorts / "theirs.csv").unlink()
    assert _split(two_cohorts, {"splits": splits})[0] == rows


@pytest.mark.parametrize(
    ("header", "cell", "words"),
    [
        ("slide_id,path,patient_id,mpp,grad", "x", "theirs.csv has no column 'grade' that the task asks for (did you"),
        ("slide_id,path,patient_id,mpp,grade", "", "split test_manifest has no labelled slide left in test"),
    ],
)
def test_a_second_cohort_without_labels(two_cohorts, header, cell, words):
    lines = [f"t{number},t{number}.svs,q{number},0.5,{cell}" for number in range(8)]
    (two_cohorts / "theirs.csv").write_text("\n".join([header, *lines, ""]))
    with pytest.raises(UserError) as error:
        _split(two_cohorts, {"splits": {"kind": "external"}})
    assert words in str(error.value)


def test_a_given_file_with_budgets(cohort):
    lines = [f"p{patient:02d},{patient % 3},test" for patient in range(24)]
    lines += [f"p{patient:02d},{fold},train" for patient in range(24) for fold in range(3) if patient % 3 != fold]
    (cohort / "given.csv").write_text("\n".join(["patient_id,fold,part", *lines, "p99,0,test"]) + "\n")
    task = {"splits": {"kind": "file", "file": str(cohort / "given.csv")}}
    rows, meta = _split(cohort, task, train_fractions=[1.0, 0.5], few_shot=[1, 3], draws=4)
    _require_patients_apart(rows)
    assert meta["design"] == "folds" and not meta["balanced"]
    assert meta["unknown"] == {"count": 1, "first": ["p99"]}
    told = (cohort / "splits.log").read_text()
    assert "the splits list 1 slides or patients that the manifest has not: p99" in told
    assert "no part for" not in told
    assert Counter(row["budget"] for row in rows) == {"all": 108, "50%": 108, "1/class": 144, "3/class": 144}
    assert _tested(rows)[0, 1] == {f"p{patient:02d}" for patient in range(1, 24, 3)}
    for number in (1, 3):
        shots = [row for row in rows if row["budget"] == f"{number}/class"]
        assert {(row["repeat"], row["fold"]) for row in shots} == {(draw, draw % 3) for draw in range(4)}
        learnt = {(row["repeat"], row["patient_id"]) for row in shots if row["part"] == "train"}
        assert len(learnt) == 4 * 2 * number


def test_labels_by_slide(cohort):
    manifest = cohort / "slides.csv"
    manifest.write_text(manifest.read_text().replace("p01,x", "p01,y", 1))  # the first of its two slides
    with pytest.raises(UserError, match="patient p01 has two values"):
        _split(cohort, {})
    rows, meta = _split(cohort, {"level": "slide"})
    _require_patients_apart(rows)
    assert (meta["level"], meta["slides_of_patient"]) == ("slide", "average")
    assert len(rows) == 6 * 36


def test_survival_by_censoring(cohort):
    task = {"kind": "survival", "label": None, "time": "days", "censored": "dead"}
    rows, meta = _split(cohort, task)
    _require_patients_apart(rows)
    assert meta["counts"] == {"censored": 12, "event": 12}


def test_splits_as_hipt_has_published_them(data, tmp_path):
    """Ten draws by slide, their leaks left in and told; each number of the metadata by another count."""
    folder = data / "labels/splits/10foldcv_subtype/tcga_kidney"
    names = [line.split(",")[0] for line in (folder / "splits_0_bool.csv").read_text().splitlines()[1:]]
    lines = [f"{name},{name}.svs,{name[:12]}" for name in names]
    (tmp_path / "slides.csv").write_text("\n".join(["slide_id,path,patient_id", *lines]) + "\n")
    write_table(
        tmp_path / "slides.parquet",
        [{"slide_id": name, "patient_id": name[:12], "status": "ok"} for name in names],
        schemas.SLIDES,
    )
    splits = {"kind": "hipt", "folder": str(folder), "as_published": True}
    rows, meta = _split(tmp_path, {"splits": splits})
    assert (meta["level"], meta["design"], meta["implied"]) == ("slide", "draws", 931)
    assert meta["classes"] == ["CCRCC", "CHRCC", "PRCC"]
    tests = Counter(row["repeat"] for row in rows if row["part"] == "test")
    assert {row["fold"] for row in rows} == {0} and len(tests) == 10
    told = {leak["repeat"]: leak for leak in meta["leaks"]["splits"]}
    for repeat, count in tests.items():
        parts = {
            part: {row["patient_id"] for row in rows if (row["repeat"], row["part"]) == (repeat, part)}
            for part in ("train", "test")
        }
        assert told[repeat]["of_test_slides"] == count
        assert told[repeat]["patients"] == len(parts["train"] & parts["test"]) > 0
    assert (
        "10 of 10 splits have patients in two parts, up to 6 in train and test; leaks: report"
        in (tmp_path / "splits.log").read_text()
    )


@pytest.mark.parametrize(
    "task",
    [
        {},
        {"level": "slide"},
        {"splits": {"preserve": "site"}},
        {"splits": {"kind": "external", "column": "site", "value": "D"}},
    ],
)
def test_the_table_does_not_depend_on_the_order_of_the_manifest(cohort, task):
    settings = {"validation_fraction": 0.2, "train_fractions": [1.0, 0.5], "few_shot": [2], "draws": 3}
    before, _ = _split(cohort, task, **settings)
    header, *lines = (cohort / "slides.csv").read_text().splitlines()
    (cohort / "slides.csv").write_text("\n".join([header, *lines[::-1]]) + "\n")
    after, _ = _split(cohort, task, **settings)
    assert before != after
    assert {tuple(row.items()) for row in before} == {tuple(row.items()) for row in after}


def _labels_by_site(folder) -> Counter:
    sites = {row.patient_id: row.labels["site"] for row in read_manifest(folder / "slides.csv")}
    labels = {row["patient_id"]: row["label"] for row in read_table(folder / "labels.parquet").to_pylist()}
    return Counter((sites[patient], label) for patient, label in labels.items())


def _of_sites(folder, sites: int, labels: str):
    """A cohort of as many sites, with a patient of one slide for each of `labels` at each."""
    names = [
        (f"p{site:02d}{number}", f"S{site:02d}", label) for site in range(sites) for number, label in enumerate(labels)
    ]
    lines = ["slide_id,path,patient_id,grade,site", *(f"s{n},s{n}.svs,{n},{label},{site}" for n, site, label in names)]
    (folder / "slides.csv").write_text("\n".join(lines) + "\n")
    slides = [{"slide_id": f"s{name}", "patient_id": name, "status": "ok"} for name, *_ in names]
    write_table(folder / "slides.parquet", slides, schemas.SLIDES)


@pytest.mark.parametrize("splits", [{"kind": "leave_one_out", "column": "site"}, {"preserve": "site"}])
@pytest.mark.parametrize(
    ("sites", "labels", "words"),
    [
        (4, "xxyyyy", "labels dealt by chance"),  # two of x at each site are 7 % of all deals
        (12, "xyy", "labels dealt by chance within what is kept together"),  # one at each: 1 in 2,000
    ],
)
def test_a_control_can_be_split_where_its_task_can(tmp_path, splits, sites, labels, words):
    """All that a training part has of x is asked for, so that each site must have as many of it as the others."""
    _of_sites(tmp_path, sites, labels)
    few = {"few_shot": [labels.count("x") * (sites - 1)], "draws": sites}
    task = {"splits": splits, "level": "patient"}
    rows, meta = _split(tmp_path, task, folds=sites, **few)
    true, truth = _labels_by_site(tmp_path), read_table(tmp_path / "labels.parquet")["label"].to_pylist()
    assert "labels" not in meta["splits_in_words"]
    rows, meta = _split(tmp_path, task | {"permuted": True}, folds=sites, **few)
    assert meta["splits_in_words"].endswith(f"; {words}")
    assert _labels_by_site(tmp_path) == true  # as only these can be split
    assert read_table(tmp_path / "labels.parquet")["label"].to_pylist() != truth
    assert {row["budget"] for row in rows} == {"all", f"{few['few_shot'][0]}/class"}


def test_a_control_that_no_deal_can_split_is_refused_in_one_sentence(tmp_path):
    """Of 8 patients of x, 4 are in the training part of each of many draws, and a deal does not keep them there."""
    _of_sites(tmp_path, 8, "xyy")
    names, random = [[f"sp{site:02d}{i}" for site in range(8)] for i in range(3)], Random(1)
    lines = ["slide_id,repeat,fold,part"]
    for draw in range(20):
        learnt = {name for some in names for name in random.sample(some, 4)}
        lines += [f"{s},{draw},0,{'train' if s in learnt else 'test'}" for some in names for s in some]
    (tmp_path / "draws.csv").write_text("\n".join(lines) + "\n")
    task = {"splits": {"kind": "file", "file": str(tmp_path / "draws.csv")}}
    few = {"few_shot": [4], "draws": 20}
    _split(tmp_path, task, **few)
    with pytest.raises(UserError, match="permutation_control: 100 deals of the labels by chance left a part") as error:
        _split(tmp_path, task | {"permuted": True}, **few)
    assert "or drop permutation_control" in str(error.value) and "\n" not in str(error.value)
