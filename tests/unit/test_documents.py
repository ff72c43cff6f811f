"""The documents name what there is: links, files, commands, keys of the configuration, names in `core`."""

import importlib
import re
from pathlib import Path

import pytest
import yaml

from workflow_scripts.config import Config, load_config
from workflow_scripts.config.reruns import config_keys

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "workflow_scripts"
_HISTORY = "docs/log/"  # entries tell of the code of their day


def _files(pattern: str, *folders: str) -> list[str]:
    found = [file for folder in folders for file in (ROOT / folder).rglob(pattern)]
    return sorted(file.relative_to(ROOT).as_posix() for file in found)


DOCUMENTS = [*sorted(file.name for file in ROOT.glob("*.md")), *_files("*.md", "config", "docs", ".github")]
PRESENT = [name for name in DOCUMENTS if not name.startswith(_HISTORY) or name == f"{_HISTORY}README.md"]
FORMS = _files("*.yml", ".github/ISSUE_TEMPLATE")
PYTHON_FILES = {Path(name).name for name in _files("*.py", "workflow_scripts", "tests")}
_READERS_OWN = {"my_module.py"}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def in_backticks(text: str) -> list[str]:
    """What a document sets as code within its sentences; blocks of code are left out."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def anchor(heading: str) -> str:
    """The link target that a heading has on GitHub."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def dead_links(name: str) -> list[str]:
    """Relative links of a document to files or headings that are not there."""
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", read(name)):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        file = ((ROOT / name).parent / path).resolve() if path else ROOT / name
        if not file.exists():
            dead.append(target)
        elif heading:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            dead += [] if heading in map(anchor, headings) else [target]
    return dead


def missing_files(name: str) -> list[str]:
    """Files and folders named by a document that are neither in the tree nor in the package.

    A word counts as a path where its first part is a folder of the tree, of the package, or beside the document; or
    where it is the name of a Python file. Patterns ({slide}, <name>, *) and what a run makes (results/,
    .snakemake/) do not count.
    """
    homes = [ROOT, PACKAGE, (ROOT / name).parent]
    missing = []
    for word in in_backticks(read(name)):
        if re.search(r"[{}<>*\s:]|^/", word) or word.startswith(("results/", "resources/", ".snakemake/")):
            continue
        first, slash, _ = word.partition("/")
        if slash and any((home / first).is_dir() for home in homes):
            found = any((home / file).exists() for home in homes for file in (word, f"{word}.py"))
        elif re.fullmatch(r"\w+\.py", word):
            found = word in PYTHON_FILES | _READERS_OWN
        else:
            continue
        missing += [] if found else [word]
    return missing


def unknown_keys(name: str) -> list[str]:
    """Words such as `tissue.mpp` whose first part is a section of the configuration, but which are no key of it."""
    known = {key.name for key in config_keys()}
    known |= {".".join(key.split(".")[:depth]) for key in known for depth in range(1, key.count(".") + 2)}
    sections = "|".join(Config.model_fields)
    words = [re.match(rf"((?:{sections})(?:\.\w+)+)(?![\w/.])", word) for word in in_backticks(read(name))]
    files = (".csv", ".html", ".parquet")
    return sorted({word[1] for word in words if word and not word[1].endswith(files)} - known)


def test_there_are_documents():
    assert {"README.md", "CONTRIBUTING.md", "config/README.md", "docs/design.md", "docs/log/README.md"} <= set(PRESENT)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    assert dead_links(name) == []


@pytest.mark.parametrize("name", PRESENT)
def test_files_that_are_named_exist(name):
    assert missing_files(name) == []


@pytest.mark.parametrize("name", [*PRESENT, *FORMS])
def test_commands_name_modules_that_exist(name):
    modules = re.findall(r"-m ((?:workflow_scripts|tests)(?:\.\w+)+)", read(name))
    places = {module: ROOT / module.replace(".", "/") for module in modules}
    files = {module: (place.with_suffix(".py"), place / "__main__.py") for module, place in places.items()}
    assert [module for module, either in files.items() if not any(file.is_file() for file in either)] == []


@pytest.mark.parametrize("name", PRESENT)
def test_keys_that_are_named_exist(name):
    assert unknown_keys(name) == []


@pytest.mark.parametrize("name", PRESENT)
def test_names_of_core_exist(name):
    for word in in_backticks(read(name)):
        found = re.fullmatch(r"core\.(\w+)(?:\.(\w+))?", word)
        if found:
            module = importlib.import_module(f"workflow_scripts.core.{found[1]}")
            assert found[2] is None or hasattr(module, found[2]), word


@pytest.mark.parametrize("name", PRESENT)
def test_examples_of_the_configuration_are_valid(name):
    for block in re.findall(r"^```yaml\n(.*?)^```", read(name), re.MULTILINE | re.DOTALL):
        load_config(yaml.safe_load(block))


def names_of_tests(file: str) -> set[str]:
    """Names of the tests in a file under tests/unit/; none where there is no such file."""
    path = ROOT / "tests" / "unit" / file
    return (
        set(re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE))
        if path.is_file()
        else set()
    )


def test_every_point_of_the_checklist_is_answered_by_tests_that_exist():
    rows = [line.strip("| ").split(" | ") for line in read("docs/reviewer.md").splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 18
    for question, *_, cell in rows:
        file, cited = "", re.findall(r"`([^`]+)`", cell)
        assert cited, question
        for word in cited:
            named, double_colon, test = word.partition("::")
            file = named or file
            assert double_colon and test in names_of_tests(file), f"{question}: {word}"


def test_every_log_entry_is_in_the_index_and_says_when_where_and_how():
    entries = [name for name in DOCUMENTS if name.startswith(_HISTORY) and name not in PRESENT]
    index = read(f"{_HISTORY}README.md")
    for name in entries:
        text = read(name)
        assert f"]({name.removeprefix(_HISTORY)})" in index, name
        assert re.search(r"^- date: \d{4}-\d\d-\d\d$", text, re.MULTILINE), name
        assert re.search(r"^- commit: [0-9a-f]{7}", text, re.MULTILINE), name
        assert re.search(r"^- machine: \S", text, re.MULTILINE), name
        assert re.search(r"^- command:", text, re.MULTILINE), name
    assert len(entries) >= 12


@pytest.mark.parametrize("name", FORMS)
def test_issue_forms_are_readable(name):
    form = yaml.safe_load(read(name))
    for part in form.get("body", []):
        assert part["type"] in ("markdown", "input", "textarea", "dropdown", "checkboxes") and part["attributes"], part
