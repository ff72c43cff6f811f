import shutil
from pathlib import Path

import pytest

from workflow_scripts.core import digest

REAL = Path(digest.__file__).resolve().parents[2]
FILES = {
    "__init__.py": "",
    "entry.py": (
        '"""Doc."""\n'
        "from workflow_scripts.middle import step\n"
        "from workflow_scripts.config import X\n"
        "import os\n\n\n"
        "def main():\n"
        '    """Doc of main."""\n'
        "    # a comment\n"
        "    return step(1)\n"
    ),
    "middle.py": (
        "from workflow_scripts import leaf\n"
        "import workflow_scripts.room.other\n\n\n"
        "def step(x):\n"
        "    return leaf.f(x)\n"
    ),
    "leaf.py": "def f(x):\n    return x + 1\n",
    "room/__init__.py": "",
    "room/other.py": "from workflow_scripts.entry import main  # a circle\n\nY = 1\n",
    "config.py": "X = 1\n",
    "core/__init__.py": "",
    "unused.py": "Z = 1\n",
}


class Tree:
    """A package of its own whose digests are taken afresh each time."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root / "workflow_scripts"
        monkeypatch.setattr(digest, "_ROOT", root)

    def of(self, module: str = "workflow_scripts.entry") -> str:
        digest._read.cache_clear()
        digest.code_digest.cache_clear()
        return digest.code_digest(module)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert old in text
        (self.root / name).write_text(text.replace(old, new))


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name, text in FILES.items():
        path = tmp_path / "workflow_scripts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    yield Tree(tmp_path, monkeypatch)
    digest._read.cache_clear()
    digest.code_digest.cache_clear()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("entry.py", '"""Doc."""', '"""Another text."""'),
        ("entry.py", '"""Doc."""\n', ""),
        ("entry.py", '    """Doc of main."""\n', ""),
        ("entry.py", "# a comment", "# another"),
        ("entry.py", "step(1)", "step(\n        1,\n    )"),
        ("leaf.py", "x + 1", "( x+1 )"),
        ("leaf.py", "    return x + 1", '    """Now described."""\n    return x + 1'),
        ("room/other.py", "Y = 1\n", 'Y = 1\n"""What Y is."""\n'),
        ("config.py", "X = 1", "X = 2"),
        ("unused.py", "Z = 1", "Z = 2"),
    ],
)
def test_what_changes_nothing(tree, file, old, new):
    before = tree.of()
    tree.edit(file, old, new)
    assert tree.of() == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("entry.py", "step(1)", "step(2)"),
        ("middle.py", "leaf.f(x)", "leaf.f(-x)"),
        ("leaf.py", "x + 1", "x + 2"),
        ("leaf.py", "x + 1", "x + 1.0"),
        ("leaf.py", "f(x)", "f(x, y=0)"),
        ("room/other.py", "Y = 1", "Y = 'text'"),
        ("entry.py", "import os", "import workflow_scripts.unused"),
    ],
)
def test_code_of_the_module_or_of_what_it_imports_changes_it(tree, file, old, new):
    before = tree.of()
    tree.edit(file, old, new)
    after = tree.of()
    assert after != before
    tree.edit(file, new, old)
    assert tree.of() == before


def test_modules_imported_by_name_count(tree):
    (tree.root / "middle.py").write_text(
        "from importlib import import_module\n\n\n"
        "def step(name):\n"
        '    return import_module(f"workflow_scripts.room.method_{name}").X\n'
    )
    before = tree.of()
    (tree.root / "room" / "method_new.py").write_text("X = 1\n")
    added = tree.of()
    tree.edit("room/method_new.py", "X = 1", "X = 2")
    assert len({before, added, tree.of()}) == 3
    edited = tree.of()
    (tree.root / "room" / "else.py").write_text("X = 1\n")
    assert tree.of() == edited


def test_renaming_an_imported_module_changes_it(tree):
    before = tree.of()
    (tree.root / "leaf.py").rename(tree.root / "leaf2.py")
    tree.edit("middle.py", "leaf", "leaf2")
    assert tree.of() != before


def test_the_real_stages_depend_on_their_own_rooms(tmp_path, monkeypatch):
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REAL / "workflow_scripts", tmp_path / "workflow_scripts", ignore=skip)
    tree = Tree(tmp_path, monkeypatch)
    names = ("warm_up", "distill_round", "cluster_regions", "assign_neighbours", "tile_regions", "check_slide")
    names += ("extract_features",)
    before = {name: tree.of(f"workflow_scripts.{name}") for name in names}
    assert len(set(before.values())) == len(names)
    expected = {
        "slpd/losses.py": {"warm_up", "distill_round"},
        "slpd/neighbours.py": {"assign_neighbours"},
        "wsi/slide.py": {"check_slide"},
        "config/encoders.py": {"extract_features"},
        "config/encoder_facts.py": {"extract_features"},
        "core/tables.py": set(names),
    }
    for file, least in expected.items():
        text = (tree.root / file).read_text()
        (tree.root / file).write_text(text + "\nNEW = 1\n")
        changed = {name for name in names if tree.of(f"workflow_scripts.{name}") != before[name]}
        assert least <= changed, file
        if file.startswith("slpd/"):
            assert not changed & {"tile_regions", "check_slide"}, file
        (tree.root / file).write_text(text)
    digest._read.cache_clear()
    digest.code_digest.cache_clear()


def test_value_digest():
    value = digest.value_digest({"a": 1, "b": [1, 2], "c": {"x": None, "y": 0.5}})
    assert value == digest.value_digest({"c": {"y": 0.5, "x": None}, "b": [1, 2], "a": 1})
    others = [
        {"a": 1},
        {"a": 2, "b": [1, 2], "c": {"x": None, "y": 0.5}},
        {"a": 1, "b": [2, 1], "c": {"x": None, "y": 0.5}},
    ]
    assert len({value, *map(digest.value_digest, others)}) == 4
    assert len(value) == 12
