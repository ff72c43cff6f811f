"""A kind of task and a head, added to a copy of the package as CONTRIBUTING shows, from labels to report."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.preprocessing import StandardScaler

from tests.unit.report.results_folder import config_json
from workflow_scripts.core import schemas
from workflow_scripts.core.tables import read_meta, read_table, write_table

ROOT = Path(__file__).resolve().parents[2]
AGE = {"kind": "count", "label": "age"}
N_PATIENTS, FOLDS = 30, 3

# Two places for the kind: its entry, and the functions of its metrics.
KIND = """\
    "count": Kind(
        columns={"label": parse_number},
        groups=lambda labels: ["labelled"] * len(labels),
        group_names=("labelled",),
        truth=(Column("count", "float64"),),
        prediction=Column("expected", "float64"),
        metrics={
            "explained": Metric("explained", chance=0.0, bounds=(-math.inf, 1.0)),
            "error": Metric("mean error", larger_is_better=False, bounds=(0.0, math.inf)),
        },
        headline="explained",
    ),
    "survival": Kind(
"""
FUNCTIONS = """\
def explained(outcomes: Outcomes) -> float:
    rest = ((outcomes.target - outcomes.prediction) ** 2).sum()
    return float(1 - rest / ((outcomes.target - outcomes.target.mean()) ** 2).sum())


def error(outcomes: Outcomes) -> float:
    return float(np.abs(outcomes.target - outcomes.prediction).mean())


Metric = Callable[[Outcomes], float]
"""
NAMES = '    "explained": explained,\n    "error": error,\n    "c_index": c_index,\n'
# A file and a line for the head.
HEAD = '''"""Ridge regression of a count."""

from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from workflow_scripts.mil.head import VectorHead


class CountHead(VectorHead):
    def fit(self, train, validation, seed):
        self._model = make_pipeline(StandardScaler(), Ridge()).fit(train.vectors.astype(float), train.target)
        return {}

    def predict_vectors(self, vectors):
        return self._model.predict(vectors)
'''
LINE = '    "counter": HeadEntry("counter", "CountHead", ("count",)),\n    "cox": HeadEntry('


def insert(path: Path, before: str, text: str) -> None:
    old = path.read_text()
    assert old.count(before) == 1, f"{path} has no place for it: {before}"
    path.write_text(old.replace(before, text))


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """Folder with a copy of the package that knows counts and a head for them."""
    folder = tmp_path_factory.mktemp("package")
    copy = folder / "workflow_scripts"
    shutil.copytree(ROOT / "workflow_scripts", copy, ignore=shutil.ignore_patterns("__pycache__"))
    insert(copy / "core/tasks.py", '    "survival": Kind(\n', KIND)
    insert(copy / "mil/metrics/__init__.py", "Metric = Callable[[Outcomes], float]\n", FUNCTIONS)
    insert(copy / "mil/metrics/__init__.py", '    "c_index": c_index,\n', NAMES)
    (copy / "mil/heads/counter.py").write_text(HEAD)
    insert(copy / "core/heads.py", '    "cox": HeadEntry(', LINE)
    return folder


def run(package: Path, *words: object) -> str:
    """A command of the copied package, from another folder."""
    environment = {**os.environ, "PYTHONPATH": str(package)}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(
        command, cwd=package, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    """Manifest, slides and embeddings of 30 patients; the vectors tell the age, those of `mean` do not."""
    folder, random = tmp_path_factory.mktemp("cohort"), np.random.default_rng(0)
    age = random.uniform(30, 80, N_PATIENTS).round(1)
    names = [f"s{i}" for i in range(N_PATIENTS)]
    rows = [f"{name},{name}.svs,p{name},{value}" for name, value in zip(names, age, strict=True)]
    (folder / "slides.csv").write_text("\n".join(["slide_id,path,patient_id,age", *rows, ""]))
    slides = [{"slide_id": name, "patient_id": f"p{name}", "status": "ok"} for name in names]
    write_table(folder / "slides.parquet", slides, schemas.SLIDES)
    seen = {"pretrained_on": "nothing", "saw": "none"}
    for representation, signal in (("slpd", 1.0), ("mean", 0.0)):
        vectors = random.normal(size=(N_PATIENTS, 4)) + signal * age[:, None] / 5
        rows = [{"slide_id": n, "vector": v.tolist()} for n, v in zip(names, vectors, strict=True)]
        write_table(folder / representation / "slides.parquet", rows, schemas.SLIDE_EMBEDDINGS, seen)
        regions = [{**row, "region_id": "0_0"} for row in rows]
        write_table(folder / representation / "regions.parquet", regions, schemas.REGION_EMBEDDINGS)
    return folder


@pytest.fixture(scope="module")
def predictions(package, cohort) -> list[Path]:
    """Predictions of the new head on both representations."""
    splits, labels = cohort / "splits.parquet", cohort / "labels.parquet"
    settings = json.dumps({"task": AGE, "seed": 0, "folds": FOLDS})
    split = ["-m", "workflow_scripts.split_patients", "--config", settings, "--task", "age"]
    split += ["--manifest", cohort / "slides.csv", "--slides", cohort / "slides.parquet", "--labels", labels]
    run(package, *split, "--output", splits)
    fit = ["-m", "workflow_scripts.fit_head", "--config", json.dumps({"heads": {"counter": {}}}), "--labels", labels]
    written = []
    for name in ("slpd", "mean"):
        written.append(cohort / f"{name}.parquet")
        embedded = ["--representation", name, "--embeddings", cohort / name]
        outputs = ["--output", written[-1], "--attention", cohort / f"{name}-attention.parquet"]
        run(package, *fit, "--splits", splits, *embedded, *outputs)
    return written


@pytest.fixture(scope="module")
def results(package, cohort, predictions) -> Path:
    settings = json.dumps({"compare": [["slpd", "mean"]], "primary": {"count": "counter"}})
    collect = ["-m", "workflow_scripts.collect_results", "--config", settings, "--output", cohort / "results.parquet"]
    tables = ["--comparisons", cohort / "comparisons.parquet", "--sets", cohort / "sets.parquet"]
    run(package, *collect, *tables, "--predictions", *predictions)
    return cohort / "results.parquet"


def test_the_head_is_fitted_on_the_numbers_of_the_manifest(cohort, predictions):
    table = read_table(predictions[0])
    assert {"count", "expected", "probabilities", "risk"} <= set(table.schema.names)
    rows = table.to_pylist()
    assert len(rows) == N_PATIENTS and all(row["risk"] is None and row["label"] is None for row in rows)
    age = {line.split(",")[0]: float(line.split(",")[3]) for line in (cohort / "slides.csv").read_text().split()[1:]}
    assert {row["slide_id"]: row["count"] for row in rows} == age
    vectors = {row["slide_id"]: row["vector"] for row in read_table(cohort / "slpd/slides.parquet").to_pylist()}
    test = {row["slide_id"]: row["expected"] for row in rows if row["fold"] == 0}
    train = [name for name in age if name not in test]
    x = np.array([vectors[name] for name in train])
    scaler = StandardScaler().fit(x)
    model = Ridge().fit(scaler.transform(x), [age[name] for name in train])
    expected = model.predict(scaler.transform(np.array([vectors[name] for name in test])))
    np.testing.assert_allclose(list(test.values()), expected, rtol=1e-6)


def test_its_metrics_are_scored_and_compared(predictions, results):
    scored = {(row["representation"], row["metric"]): row for row in read_table(results).to_pylist()}
    rows = read_table(predictions[0]).to_pylist()
    truth, guess = [row["count"] for row in rows], [row["expected"] for row in rows]
    assert scored["slpd", "explained"]["value"] == pytest.approx(r2_score(truth, guess))
    assert scored["slpd", "error"]["value"] == pytest.approx(mean_absolute_error(truth, guess))
    pairs = {row["metric"]: row for row in read_table(results.with_name("comparisons.parquet")).to_pylist()}
    assert pairs["explained"]["low"] > 0 > pairs["error"]["high"] and pairs["explained"]["verdict"] == "better"
    assert {row["kind"] for row in scored.values()} == {"count"}


def test_the_report_tells_of_it(package, results, results_folder, tmp_path):
    shutil.copytree(results_folder, tmp_path / "demo")
    for name in ("results", "comparisons", "sets"):
        shutil.copy(results.with_name(f"{name}.parquet"), tmp_path / "demo/benchmark")
    report = tmp_path / "report.html"
    settings = config_json(tasks={"age": AGE})
    run(package, "-m", "workflow_scripts.write_report", "--config", settings, "--results", tmp_path / "demo",
        "--output", report)  # fmt: skip
    text = " ".join(report.read_text().split())
    assert "(count, explained, head counter)" in text and "slpd is better than mean</span>: explained" in text
    assert "Larger is better, except for mean error." in text


def test_the_configuration_knows_both(package):
    code = (
        "from workflow_scripts.config import load_config\n"
        "from workflow_scripts.core.errors import UserError\n"
        f"config = load_config({{'benchmark': {{'tasks': {{'age': {AGE}}}}}}})\n"
        "print(config.benchmark.heads['count'], config.benchmark.tasks['age'].columns)\n"
        "try:\n    load_config({'benchmark': {'heads': {'survival': ['counter']}}})\n"
        "except UserError as error:\n    print(error)\n"
    )
    told = run(package, "-c", code)
    assert "['counter'] ['age']" in told and "head counter is not made for survival tasks; use one of cox" in told


def test_what_is_not_touched_does_not_run_again(package):
    """The new kind and head run the benchmark again, and nothing before it."""
    code = "import sys; from workflow_scripts.core.digest import code_digest as d; print(*map(d, sys.argv[1:]))"
    modules = ["workflow_scripts." + name for name in ("check_slide", "extract_features", "warm_up", "fit_head")]
    here, there = (run(folder, "-c", code, *modules).split() for folder in (ROOT, package))
    assert [one == two for one, two in zip(here, there, strict=True)] == [True, True, True, False]


def test_notes_of_the_tables_name_no_classes(predictions):
    assert read_meta(predictions[0])["classes"] == []
