"""The rules of the house that can be read off the files: rooms, sizes, what a rule says, what planning imports.

Lists of exceptions are exact: a new exception fails, and so does one that is no longer needed.
"""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.tiny import CONFIG, snakemake, write_config
from workflow_scripts.config.slide_options import OPTIONS
from workflow_scripts.config.stages import SETS, VECTORS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "workflow_scripts"

LONG_ENTRIES = {"summarise_cohort"}
LONG_FUNCTIONS = {f"{name}.main" for name in ("cluster_regions", "export_model")}
# What a file is fetched from is its address, so there is no code to fetch it again for.
WITHOUT_CODE = {"fetch_slide"}
# Packages that take long to import; every cluster job parses the Snakefile anew.
HEAVY = {"lifelines", "numpy", "openslide", "pandas", "pyarrow", "scipy", "sklearn", "tifffile", "timm", "torch"}
OF_SNAKEMAKE = {"numpy", "pandas", "pyarrow"}  # it imports these itself, once a run


def modules() -> dict[str, Path]:
    """Files of the package by the name under which they are imported, the package itself left out."""
    files = {}
    for file in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    del files[PACKAGE]
    return files


FILES = modules()
TREES = {module: ast.parse(file.read_text(encoding="utf-8")) for module, file in FILES.items()}


def room_of(module: str) -> str:
    """Folder of the package in which a module lies; empty for the entries."""
    parts = FILES[module].relative_to(ROOT / PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def imported(module: str) -> set[str]:
    """The package's modules that a module imports, in functions too."""
    found = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: write relative imports out, the digest of code follows no others"
            found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found & set(FILES)


ROOMS = sorted({room_of(module) for module in FILES} - {""})


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_core_and_config_alone(room: str) -> None:
    """Of the rooms, that is, and no entry; `config` imports `core` alone, and `core` none."""
    allowed = {room} | {"core": set(), "config": {"core"}}.get(room, {"core", "config"})
    mine = [module for module in FILES if room_of(module) == room]
    assert not [(m, found) for m in mine for found in imported(m) if room_of(found) not in allowed]


def test_modules_import_each_other_in_no_circle() -> None:
    graph = {module: imported(module) - {module} for module in FILES}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_entries_have_less_than_100_lines() -> None:
    lines = {name: len(FILES[name].read_text(encoding="utf-8").splitlines()) for name in FILES}
    assert {name.split(".")[1] for name in FILES if not room_of(name) and lines[name] >= 100} == LONG_ENTRIES


def test_modules_have_less_than_300_lines() -> None:
    lines = {name: len(file.read_text(encoding="utf-8").splitlines()) for name, file in FILES.items()}
    assert not {name: count for name, count in lines.items() if count >= 300}


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring, which may be as long as what it explains."""
    whole = function.end_lineno - function.lineno + 1
    text = function.body[0]
    return whole - (text.end_lineno - text.lineno + 1 if ast.get_docstring(function) else 0)


def test_functions_have_less_than_40_lines() -> None:
    found = set()
    for module, tree in TREES.items():
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        name = module.removeprefix(f"{PACKAGE}.")
        found |= {f"{name}.{function.name}" for function in functions if length(function) >= 40}
    assert found == LONG_FUNCTIONS


RULE_FILES = sorted((ROOT / "rules").glob("*.smk"))


def rules() -> dict[str, dict[str, str]]:
    """Text of each directive of each rule in rules/, by the rule's name."""
    found: dict[str, dict[str, str]] = {}
    for file in RULE_FILES:
        text = file.read_text(encoding="utf-8")
        for name, body in re.findall(r"^(?:rule|checkpoint) (\w+):\n((?:\s+.*\n|\n)*)", text, flags=re.MULTILINE):
            assert name not in found, f"{name} is there twice"
            found[name] = dict(re.findall(r"^    (\w+):(.*\n(?:(?:     .*)?\n)*)", f"{body}\n", flags=re.MULTILINE))
    return found


RULES = rules()


def test_every_rule_is_read() -> None:
    """The following tests read the rules as text: none may escape them by the way it is written."""
    text = "".join(file.read_text(encoding="utf-8") for file in RULE_FILES)
    assert len(RULES) == len(re.findall(r"^\s*(?:rule|checkpoint)\b.*:$", text, flags=re.MULTILINE)) > 20
    assert not [name for name, rule in RULES.items() if not {"output", "shell"} <= set(rule)]


@pytest.mark.parametrize("name", RULES)
def test_a_rule_calls_its_namesake_with_its_settings_and_the_digest_of_its_code(name: str) -> None:
    rule = RULES[name]
    # those in OPTIONS are called for one slide after another
    start, called = rf"python -m {PACKAGE}\.", "for_slides " if name in OPTIONS else ""
    assert re.findall(rf"{start}((?:for_slides )?\S+)", rule["shell"]) == [f"{called}{name}"]
    assert (ROOT / PACKAGE / f"{name}.py").is_file()
    codes = re.findall(r"\bcode\(([^)]*)\)", "".join(rule.values()))
    assert codes == ([] if name in WITHOUT_CODE else [f'"{name}"'])
    assert ("code=" in rule["params"]) == bool(codes)  # as a resource it would rerun nothing
    assert set(re.findall(r"\bsettings\(\s*([^,)]*)", rule["params"])) <= {f'"{name}"'}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_has_a_log_threads_memory_and_a_time(name: str) -> None:
    rule = RULES[name]
    assert {"log", "threads", "resources"} <= set(rule)
    assert "--log {log}" in rule["shell"]
    assert {"mem_mb", "runtime"} <= set(re.findall(r"^\s+(\w+)=", rule["resources"], flags=re.MULTILINE))


@pytest.mark.parametrize("name", RULES)
def test_a_rule_that_asks_for_a_gpu_hands_over_how_many_it_got(name: str) -> None:
    rule = RULES[name]
    asks = re.search(r"^\s+gpu=", rule["resources"], flags=re.MULTILINE)
    assert ("--gpu {resources.gpu}" in rule["shell"]) == bool(asks)


def test_planning_imports_nothing_heavy() -> None:
    """What Snakefile and rules import, and what comes with it."""
    text = "".join(file.read_text(encoding="utf-8") for file in [ROOT / "Snakefile", *RULE_FILES])
    lines = re.findall(r"^\s*((?:from \S+ )?import (?:\([^)]*\)|.*))$", text, flags=re.MULTILINE)
    script = "\n".join(line for line in lines if "snakemake" not in line)
    script += "\nimport sys\nprint(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, text=True, capture_output=True, check=True)
    assert script.count(PACKAGE) > 5 and PACKAGE in done.stdout.split()
    assert not HEAVY & set(done.stdout.split())


def test_no_function_of_the_rules_hides_another_of_the_same_name() -> None:
    """All files of rules share one namespace, and the last definition would be taken in silence."""
    texts = [file.read_text(encoding="utf-8") for file in [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]]
    names = [name for text in texts for name in re.findall(r"^def (\w+)\(", text, re.MULTILINE)]
    assert len(names) > 50 and sorted(set(names)) == sorted(names)


def test_a_dry_run_imports_nothing_heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In functions that it calls, too."""
    (tmp_path / "slides.csv").write_text("slide_id,path\na,a.svs\n")
    (tmp_path / "a.svs").write_bytes(b"")
    write_config(tmp_path, CONFIG | {"benchmark": {}})
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    done = snakemake(tmp_path, "-n", "features")
    found = {name.partition(".")[0] for name in re.findall(r"^import time:.*\| +(\S+)$", done.stdout, re.MULTILINE)}
    assert done.returncode == 0 and PACKAGE in found, done.stdout[-3000:]
    assert not (HEAVY - OF_SNAKEMAKE) & found


def test_the_slurm_profile_knows_the_cells_that_never_ask_for_a_gpu() -> None:
    profile = (ROOT / "profiles" / "slurm" / "profile.v9+.yaml").read_text(encoding="utf-8")
    assert re.findall(r"wildcards\.(\w+) in \('(\w+)', '(\w+)'\)", profile) == [("cell", VECTORS, SETS)] * 2
