"""Digests that decide what must run again. Standard library only: every cluster job parses this anew."""

import ast
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGE = "workflow_scripts"
# Settings reach a job in full through its rule's params, and neither logs nor messages change a result.
_NOT_COUNTED = {f"{_PACKAGE}.{name}" for name in ("core.entry", "core.errors")}
_CONFIG = f"{_PACKAGE}.config"
# No settings, but what encoders compute with, and which one a name means.
_FACTS = {f"{_CONFIG}.{name}" for name in ("encoder_facts", "encoders", "model_name")}


def _module_file(module: str) -> Path | None:
    base = _ROOT.joinpath(*module.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _strip_docstrings(tree: ast.AST) -> ast.AST:
    """Drop bare strings, docstrings of modules, functions, classes and fields alike."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [
                part
                for part in body
                if not (
                    isinstance(part, ast.Expr)
                    and isinstance(part.value, ast.Constant)
                    and isinstance(part.value.value, str)
                )
            ]
    return tree


def _importable_by_name(call: ast.Call) -> list[str]:
    """Modules that `import_module(f"package.room.start{name}")` can import: all in the room that start so."""
    function = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if function != "import_module" or not call.args or not isinstance(call.args[0], ast.JoinedStr):
        return []
    before_name = call.args[0].values[0]
    if not isinstance(before_name, ast.Constant):
        return []
    room, _, start = str(before_name.value).rpartition(".")
    return [f"{room}.{file.stem}" for file in _ROOT.joinpath(*room.split(".")).glob(f"{start}*.py")]


@cache
def _read(module: str) -> tuple[str, tuple[str, ...]]:
    """Digest of one module's syntax tree, and the package's modules that it imports."""
    file = _module_file(module)
    if file is None:
        return "", ()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            imported.add(node.module)
            imported.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            imported.update(_importable_by_name(node))
    ours = sorted(name for name in imported if name.split(".")[0] == _PACKAGE and _module_file(name))
    tree_text = ast.dump(_strip_docstrings(tree))
    return hashlib.sha256(tree_text.encode()).hexdigest(), tuple(ours)


def _counts(module: str) -> bool:
    settings = f"{module}.".startswith(f"{_CONFIG}.") and module not in _FACTS
    return not settings and module not in _NOT_COUNTED


@cache
def code_digest(module: str) -> str:
    """Digest (12 hex digits) of a module and of all `workflow_scripts` modules it imports, transitively.

    Where modules are imported by name, all that it may stand for count. Comments, docstrings, formatting and file times
    do not.
    """
    seen: dict[str, str] = {}
    todo = [module]
    while todo:
        name = todo.pop()
        if name not in seen and _counts(name):
            seen[name], imports = _read(name)
            todo.extend(imports)
    return hashlib.sha256(json.dumps(sorted(seen.items())).encode()).hexdigest()[:12]


def value_digest(value: Any) -> str:
    """Digest (12 hex digits) of a JSON-serialisable value; key order does not count."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
