"""Editing a key reruns exactly the rules that depend on it: the sets that a dry run plans."""

import ast
from pathlib import Path

import pytest

from tests.workflow.tiny import CONFIG, changed, copy_project, copy_workflow, planned, snakemake, write_config
from workflow_scripts.core.tables import read_table

RESULTS = {"collect_results", "export_results", "write_report"}
HEADS = {"fit_head"} | RESULTS
BENCHMARK = HEADS | {"split_patients", "measure_retrieval", "describe_groups"}  # groups are described by classes
GROUPS = {"group_prototypes", "describe_groups", "explain_prototypes"}
EMBED = {"export_model", "embed_regions", "export_prototypes", "measure_retrieval"} | GROUPS | HEADS
ROUNDS = {"cluster_regions", "assign_neighbours", "distill_round"}
AFTER_FEATURES = {"summarise_cohort", "warm_up", "embed_baseline"} | ROUNDS | EMBED | BENCHMARK


@pytest.fixture(scope="module")
def project(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(finished, tmp_path_factory.mktemp("reruns") / "tiny")


def test_nothing_to_do(project: Path) -> None:
    write_config(project, CONFIG)
    assert planned(project) == {}


@pytest.mark.parametrize(
    ("key", "value", "rules"),
    [
        ("report.title", "another", {"write_report"}),
        ("report.spread", "folds", {"export_results", "write_report"}),
        ("benchmark.compare", [["slpd", "mean"]], RESULTS),
        ("benchmark.primary_heads", {"classification": "knn"}, RESULTS),
        ("benchmark.seeds", 2, {"write_report"}),  # no head of the project has chance in it
        ("benchmark.folds", 3, BENCHMARK),
        ("benchmark.repeats", 3, BENCHMARK),
        ("benchmark.few_shot.patients", [1], BENCHMARK),
        ("benchmark.heads.classification", ["knn", "logistic", "abmil"], HEADS),
        ("embed.prototypes", ["slpd", "mean"], HEADS | {"embed_prototypes", "measure_retrieval"}),
        ("pretrain.defaults.neighbours.count", 2, ROUNDS | EMBED),
        ("pretrain.defaults.prototypes.min_regions", 9, ROUNDS | EMBED),
        ("pretrain.defaults.optimiser.lr", 0.001, ROUNDS | EMBED | {"warm_up"}),
        ("features.input_px", 32, {"extract_features"} | AFTER_FEATURES),
        ("regions.min_tissue_fraction", 0.4, {"tile_regions", "extract_features"} | AFTER_FEATURES),
        ("tissue.closing_um", 16, {"segment_tissue", "tile_regions", "extract_features"} | AFTER_FEATURES),
        ("features.batch_size", 32, set()),
        ("pretrain.defaults.compile", False, set()),
        ("pretrain.defaults.deterministic", True, set()),
        ("cohort.max_failed_fraction", 0.4, set()),
    ],
)  # fmt: skip
def test_editing_a_key_reruns_what_depends_on_it(project: Path, key: str, value: object, rules: set[str]) -> None:
    write_config(project, changed(CONFIG, key, value))
    assert set(planned(project)) == rules


def test_only_columns_that_a_task_reads_fit_its_heads_again(project: Path) -> None:
    """By content: a column of remarks, a touched manifest and another task's labels leave the cells as they are."""
    write_config(project, CONFIG)
    manifest = project / "slides.csv"
    text = manifest.read_text()
    header, *lines = text.splitlines()
    grades = ("low", "high")
    try:
        manifest.write_text("\n".join([f"{header},remark", *(f"{line},of {n}" for n, line in enumerate(lines)), ""]))
        assert planned(project) == {}
        manifest.touch()
        assert planned(project) == {}
        two = changed(CONFIG, "benchmark.tasks.grade", {"kind": "classification", "label": "grade"})
        write_config(project, two)
        graded = [f"{line},{grades[n % 2]}" for n, line in enumerate(lines)]
        manifest.write_text("\n".join([f"{header},grade", *graded, ""]))
        jobs = planned(project)
        assert set(jobs) == BENCHMARK and (jobs["split_patients"], jobs["fit_head"]) == (1, 3)  # of the new task alone
        write_config(project, CONFIG)
        first, rest = lines[0].rsplit(",", 1)[0], lines[1:]
        manifest.write_text("\n".join([header, f"{first},", *rest, ""]))
        assert set(planned(project)) == BENCHMARK
    finally:
        manifest.write_text(text)


@pytest.mark.parametrize("absolute", [False, True])
def test_another_name_of_the_same_manifest_runs_nothing_but_the_report_that_shows_it(
    project: Path, absolute: bool
) -> None:
    renamed = project / "cohort.csv"
    renamed.write_text((project / "slides.csv").read_text())
    write_config(project, changed(CONFIG, "cohort.manifest", str(renamed) if absolute else renamed.name))
    assert set(planned(project)) == {"write_report"}


def test_an_edited_file_of_splits_is_read_again(finished: Path, tmp_path: Path) -> None:
    project = copy_project(finished, tmp_path / "tiny")  # of its own, for it is run
    slides = [line.split(",")[0] for line in (project / "slides.csv").read_text().splitlines()[1:]]
    lines = [f"{slide},{part}" for number, slide in enumerate(slides) for part in [("train", "test")[number // 4 % 2]]]
    (project / "given.csv").write_text("\n".join(["slide_id,part", *lines]) + "\n")
    splits = {"kind": "file", "file": "given.csv"}
    write_config(project, changed(CONFIG, "benchmark.tasks.subtype.splits", splits))
    table = "results/tiny/benchmark/subtype/splits.parquet"
    result = snakemake(project, table)
    assert result.returncode == 0, result.stdout[-3000:]
    assert set(read_table(project / table)["repeat"].to_pylist()) == {0}
    assert planned(project, table) == {}
    (project / "given.csv").write_text("\n".join(["slide_id,part", *lines[:-1]]) + "\n")
    assert planned(project, table) == {"split_patients": 1}


def test_one_more_round_computes_that_round_only(project: Path) -> None:
    write_config(project, changed(CONFIG, "pretrain.defaults.rounds", 3))
    jobs = planned(project)
    assert (jobs["cluster_regions"], jobs["assign_neighbours"], jobs["distill_round"]) == (1, 1, 2)  # slpd; slpd, dino
    assert "warm_up" not in jobs


def test_one_round_less_only_links_consumers_anew(project: Path) -> None:
    write_config(project, changed(CONFIG, "pretrain.defaults.rounds", 1))
    assert set(planned(project)) == EMBED


def test_intra_weight_leaves_warm_up_and_the_dino_run_alone(project: Path) -> None:
    write_config(project, changed(CONFIG, "pretrain.runs", {"slpd": {"loss": {"intra_weight": 0.5}}, "dino": DINO}))
    jobs = planned(project)
    assert jobs["distill_round"] == 2 and jobs["cluster_regions"] == 1 and "warm_up" not in jobs


DINO = {"loss": {"intra_weight": 0, "inter_weight": 0}}


def test_mpp_of_one_slide_reruns_that_slide(project: Path) -> None:
    write_config(project, CONFIG)
    manifest = project / "slides.csv"
    text = manifest.read_text()
    line = text.splitlines()[1]
    manifest.write_text(text.replace(line, line.replace(",,", ",0.5,")))
    jobs = planned(project)
    manifest.write_text(text)
    assert (jobs["check_slide"], jobs["segment_tissue"], jobs["tile_regions"]) == (1, 1, 1)
    assert jobs["extract_features"] == 1


class Code:
    """A copy of the workflow whose code is edited, and a finished project that was made with it."""

    def __init__(self, root: Path, project: Path) -> None:
        self.root, self.project = copy_workflow(root), project
        assert snakemake(project, "--touch", root=root).returncode == 0

    def planned(self, module: str, line: str) -> set[str]:
        """Rules that a dry run plans once `line` has become the first of the first function of a module."""
        file = self.root / "workflow_scripts" / module
        text = file.read_text(encoding="utf-8")
        function = next(part for part in ast.walk(ast.parse(text)) if isinstance(part, ast.FunctionDef))
        lines = text.splitlines(keepends=True)
        lines.insert(function.body[0].lineno - 1, f"{' ' * function.body[0].col_offset}{line}\n")
        file.write_text("".join(lines), encoding="utf-8")
        try:
            return set(planned(self.project, root=self.root))
        finally:
            file.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def code(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Code:
    folder = tmp_path_factory.mktemp("code")
    return Code(folder / "workflow", copy_project(finished, folder / "tiny"))


@pytest.mark.parametrize(
    ("module", "rules"),
    [
        ("tissue/shapes.py", {"segment_tissue", "tile_regions", "extract_features"} | AFTER_FEATURES),
        ("assign_neighbours.py", ROUNDS | EMBED),
        ("fit_head.py", HEADS),
        ("measure_retrieval.py", {"measure_retrieval"} | RESULTS),
        ("report/figures.py", {"write_report"}),
        ("report/paper_tables.py", {"export_results"}),
    ],
)
def test_edited_code_reruns_what_runs_it_and_what_follows(code: Code, module: str, rules: set[str]) -> None:
    assert code.planned(module, "edited = True") == rules


def test_comments_and_docstrings_rerun_nothing(code: Code) -> None:
    assert code.planned("tissue/shapes.py", "# a comment") == set()
    assert code.planned("tissue/shapes.py", '"""Another docstring."""') == set()


@pytest.mark.parametrize("folder", [False, True])
def test_a_checkpoint_changed_in_place_is_seen(finished: Path, tmp_path: Path, folder: bool) -> None:
    project = copy_project(finished, tmp_path / "tiny")
    (project / "theirs").mkdir()
    weights = project / "theirs" / "model.safetensors"
    weights.write_bytes(b"first")
    settings = CONFIG["features"] | (
        {"model": "local-dir:theirs"} if folder else {"weights": "theirs/model.safetensors"}
    )
    write_config(project, CONFIG | {"features": settings})
    snakemake(project, "--touch")
    assert planned(project) == {}
    weights.write_bytes(b"second")
    assert set(planned(project)) == {"extract_features"} | AFTER_FEATURES


def test_an_edited_plug_in_is_seen_and_a_touched_one_changes_nothing(finished: Path, tmp_path: Path) -> None:
    project = copy_project(finished, tmp_path / "tiny")
    package = project / "theirs"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('planning must import no plug-in')\n")
    source = "def make_encoder():\n    return None, {{}}\n\nscale = {scale}\n"
    (package / "inner.py").write_text(source.format(scale=1))
    write_config(project, changed(CONFIG, "features.model", "theirs.inner:make_encoder"))
    snakemake(project, "--touch")
    assert planned(project) == {}
    (package / "inner.py").touch()
    assert planned(project) == {}
    (package / "inner.py").write_text(source.format(scale=2))
    assert set(planned(project)) == {"extract_features"} | AFTER_FEATURES


def test_rounds_one_by_one_equal_rounds_in_one_call_bit_for_bit(finished: Path, tmp_path: Path) -> None:
    again = copy_project(finished, tmp_path / "tiny")
    pretrain = Path("results/tiny/pretrain")
    expected = (finished / pretrain / "slpd" / "round_02" / "state.safetensors").read_bytes()
    for folder in sorted((again / pretrain).iterdir()):
        for file in folder.rglob("*"):
            if file.is_file():
                file.unlink()
    for number in (1, 2):
        target = pretrain / "slpd" / f"round_{number:02d}" / "state.safetensors"
        result = snakemake(again, str(target))
        assert result.returncode == 0, result.stdout[-3000:]
    assert (again / pretrain / "slpd" / "round_02" / "state.safetensors").read_bytes() == expected


def test_a_slide_whose_file_is_gone_for_a_while_keeps_its_features(finished: Path, tmp_path: Path) -> None:
    project = copy_project(finished, tmp_path / "tiny")
    slide = sorted((project / "slides").glob("demo_*"))[0]
    name = slide.name.partition(".")[0]
    features = project / "results/tiny/features/lite0/slides" / f"{name}.parquet"
    before = features.read_bytes(), features.stat().st_mtime_ns
    slide.rename(tmp_path / slide.name)
    assert snakemake(project, "features").returncode == 0
    table = read_table(project / "results/tiny/slides.parquet").to_pylist()
    assert {row["slide_id"]: row["reason"] for row in table}[name] == "missing_file"
    (tmp_path / slide.name).rename(slide)
    assert snakemake(project, "features").returncode == 0
    table = read_table(project / "results/tiny/slides.parquet").to_pylist()
    assert {row["slide_id"]: row["status"] for row in table}[name] == "ok"
    assert (features.read_bytes(), features.stat().st_mtime_ns) == before
