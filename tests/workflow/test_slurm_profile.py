"""The SLURM profile and the rules know each other: what it sets for a rule is worked out for jobs of that rule."""

import re
from pathlib import Path

import pytest
import yaml

from tests.workflow.slurm_table import PAGE, asked, with_table
from tests.workflow.tiny import CONFIG, ROOT, changed, copy_slide, job_counts, make_project, snakemake, write_config

PROFILE = (ROOT / "profiles/slurm/profile.v9+.yaml").read_text(encoding="utf-8")
SETTINGS = yaml.safe_load(PROFILE)
TARGETS = ("all", "attention", "atlas", "qupath", "anndata", "figures", "search_index")
BY_COHORT = {
    *("measure_retrieval", "index_regions", "group_prototypes", "describe_groups", "export_anndata", "export_qupath"),
    *("export_prototypes", "export_heads", "draw_figures", "map_attention", "explain_prototypes"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which every rule of the profile has jobs: with a test cohort, its prototypes, and MIL on a GPU."""
    folder = make_project(tmp_path_factory.mktemp("profile") / "tiny")
    header, *lines = (folder / "slides.csv").read_text().splitlines()
    theirs = [header]
    for line in [*lines[:2], *lines[-3:-1]]:
        slide, path, patient, *rest = line.split(",")
        copy_slide(folder / path, folder / f"slides/their_{Path(path).name}")
        theirs.append(",".join([f"their_{slide}", f"slides/their_{Path(path).name}", f"their_{patient}", *rest]))
    (folder / "theirs.csv").write_text("\n".join([*theirs, ""]))
    config = changed(changed(CONFIG, "cohort.test_manifest", "theirs.csv"), "embed.prototypes", True)
    config = changed(changed(config, "benchmark.heads.classification", ["logistic", "abmil"]), "benchmark.gpu", True)
    write_config(folder, changed(config, "benchmark.export_heads", True))
    return folder


def _dry_run(project: Path, profile: Path, text: str, *more: str) -> tuple[int, str]:
    """Exit status and output of a dry run with a profile of that text."""
    profile.mkdir()
    (profile / "profile.v9+.yaml").write_text(text, encoding="utf-8")
    done = snakemake(project, "-n", *TARGETS, "--workflow-profile", str(profile), *more)
    return done.returncode, done.stdout


def test_every_rule_of_the_profile_has_jobs_that_are_planned_with_it(project: Path, tmp_path: Path) -> None:
    status, output = _dry_run(project, tmp_path / "profile", PROFILE)
    assert status == 0, output[-3000:]
    jobs = job_counts(output)
    named = set(SETTINGS["set-resources"])
    assert {"fit_head", "extract_test_features", "cluster_test_regions", "segment_tissue"} <= named <= set(jobs)


def _asked(project: Path, profile: Path, attempt: int) -> dict[str, dict[str, int]]:
    """Memory, MB, and run time, min, that a job of each rule asks for in an attempt, where it is known beforehand."""
    status, output = _dry_run(project, profile, PROFILE, "--attempt", str(attempt))
    assert status == 0, output[-3000:]
    jobs = re.findall(r"^(?:local)?rule (\w+):\n(.*?)^    resources: (.*?)$", output, re.MULTILINE | re.DOTALL)
    found = {rule: re.findall(r"\b(mem_mb|runtime)=(\d+)", resources) for rule, _, resources in jobs}
    return {rule: {name: int(value) for name, value in numbers} for rule, numbers in found.items()}


def test_a_retry_of_what_grows_with_the_cohort_gets_more_memory_and_time(project: Path, tmp_path: Path) -> None:
    first, second = (_asked(project, tmp_path / str(attempt), attempt) for attempt in (1, 2))
    unknown = {"index_regions"}  # whose memory goes by the size of a file that is not there yet
    assert {rule for rule in BY_COHORT if first[rule].keys() == {"mem_mb", "runtime"}} == BY_COHORT - unknown
    twice = {rule: {name: 2 * value for name, value in first[rule].items()} for rule in BY_COHORT}
    assert {rule: second[rule] for rule in BY_COHORT} == twice


def test_a_wildcard_that_is_gone_is_seen_in_any_rule(project: Path, tmp_path: Path) -> None:
    for rule in SETTINGS["set-resources"]:
        before, after = PROFILE.split(f"\n  {rule}:", 1)
        comment, rest = after.split("\n", 1)
        broken = f"{before}\n  {rule}:{comment}\n    disk_mb: 1 if wildcards.gone == 'x' else 2\n{rest}"
        assert "gone" in yaml.safe_load(broken)["set-resources"][rule]["disk_mb"]
        status, output = _dry_run(project, tmp_path / rule, broken)
        assert status != 0 and "has no attribute 'gone'" in output, f"{rule}\n{output[-2000:]}"


def test_the_lines_for_heads_on_a_gpu_send_networks_alone_to_it(project: Path, tmp_path: Path) -> None:
    """The lines that a site is told to make its own by taking their sign of a comment away."""
    lines, count = re.subn(r"^    # (slurm_partition|gpu_model): \?f", r"    \1: ?f", PROFILE, flags=re.MULTILINE)
    assert count == 2
    status, output = _dry_run(project, tmp_path / "profile", lines)
    assert status == 0, output[-3000:]
    jobs = [
        part for part in re.split(r"^\s*(?:local)?rule ", output, flags=re.MULTILINE) if part.startswith("fit_head")
    ]
    sent = {(re.search(r"cell=(\w+)", job)[1], re.search(r"slurm_partition=(\w+)", job)[1]) for job in jobs}
    assert sent == {("vectors", "cpu"), ("abmil", "gpu")}


def _read_by_the_plugin() -> set[str]:
    """Resources of a job that the executor's code looks at, beside those that Snakemake itself knows."""
    folder = Path(pytest.importorskip("snakemake_executor_plugin_slurm").__file__).parent
    text = "".join(file.read_text(encoding="utf-8") for file in folder.glob("*.py"))
    return {"disk_mb"} | {name for pair in re.findall(r'resources\.(?:get\(\s*"(\w+)"|(\w+))', text) for name in pair}


def _unknown(settings: dict) -> set[str]:
    """Resources that a profile sets and nothing reads: SLURM would never hear of them."""
    given = [settings["default-resources"], *settings["set-resources"].values()]
    return {name for resources in given for name in resources} - _read_by_the_plugin()


def test_every_resource_of_the_profile_is_one_that_the_executor_reads() -> None:
    assert _unknown(SETTINGS) == set()
    broken = yaml.safe_load(PROFILE.replace("    gpu_model: ?gpu_model", "    gpu_modle: ?gpu_model", 1))
    assert _unknown(broken) == {"gpu_modle"}


@pytest.mark.parametrize("line", ["keep-going: true", "slurm-status-command: squeue"])
def test_a_misspelt_key_of_the_profile_is_refused(project: Path, tmp_path: Path, line: str) -> None:
    """By Snakemake, which names it."""
    wrong = line.replace("-", "_x-", 1)
    status, output = _dry_run(project, tmp_path / "profile", f"{PROFILE}\n{wrong}\n")
    assert status != 0 and wrong.partition(":")[0] in output, output[-2000:]


def test_every_rule_that_asks_for_a_gpu_goes_to_the_partition_of_gpus() -> None:
    on_gpu = {rule for rule, row in asked().items() if row.gpu == "1"}
    assert {"warm_up", "extract_features", "cluster_test_regions"} <= on_gpu
    assert on_gpu == {rule for rule, row in asked().items() if row.partition == "gpu_partition"}


def test_the_page_for_sites_has_what_each_rule_asks_for() -> None:
    """`python -m tests.workflow.slurm_table` brings it up to date."""
    text = PAGE.read_text(encoding="utf-8")
    assert with_table(text) == text
    named = re.findall(r"^(?:rule|checkpoint) (\w+):", "".join(f.read_text() for f in ROOT.glob("rules/*.smk")), re.M)
    assert set(named) - set(asked()) == {"fetch_slide"}  # which runs where Snakemake does
