"""A user's own function, written `module:function`: where it is, what its source's digest is, and importing it.

Finding its file imports nothing: its digest decides what is computed again. Standard library only.
"""

import ast
import hashlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, NamedTuple, cast

from workflow_scripts.core.errors import UserError

_WRITTEN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class OwnFunction(NamedTuple):
    """A function of the user's own.

    Attributes:
        key: of the configuration that names it, for messages.
        module: under which it is imported, from the working directory or PYTHONPATH.
        function: its name there.
    """

    key: str
    module: str
    function: str

    @property
    def written(self) -> str:
        """As it stands in the configuration."""
        return f"{self.module}:{self.function}"

    def files(self) -> list[Path]:
        """Its source: the module's file, or all Python files of its package; what it imports beside does not count.

        Raises:
            UserError: there is no such module.
        """
        spec = _find_spec(self.module)
        if spec is None or not spec.origin or not Path(spec.origin).is_file():
            raise UserError(
                f"{self.key} is {self.written}, but there is no module {self.module} in the working directory "
                f"{os.getcwd()} or in PYTHONPATH; put its file there, or correct the name"
            )
        file = Path(spec.origin)
        return sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]

    def require(self) -> None:
        """Refuse what its source alone tells will not be found, without importing it.

        Raises:
            UserError: there is no such module, it is no Python, or it neither defines nor imports the function.
        """
        file = next((path for path in self.files() if path.name == "__init__.py"), self.files()[0])
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError) as error:
            raise UserError(
                f"{self.key} is {self.written}, but {file} is no Python that can be read ({error})"
            ) from None
        if not _names(tree) & {self.function, "*", "__getattr__"}:
            raise UserError(
                f"{self.key} is {self.written}, but {file} has no function {self.function}; correct the name"
            )

    def digest(self) -> str:
        """SHA-256 of its source.

        Raises:
            UserError: there is no such module.
        """
        digest = hashlib.sha256()
        for path in self.files():
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def load(self) -> Callable[..., Any]:
        """Import it.

        Raises:
            UserError: the module or the function is missing, or importing fails.
        """
        self.files()
        try:
            with _working_directory_first():
                function = getattr(importlib.import_module(self.module), self.function, None)
        except Exception as error:  # a user's code, whatever it does
            raise UserError(
                f"{self.key} is {self.written}, which cannot be imported ({type(error).__name__}: {error}); mend it"
            ) from error
        if not callable(function):
            raise UserError(f"{self.key} is {self.written}, but {self.module} has no function {self.function}")
        return cast(Callable[..., Any], function)


def own_function(key: str, written: str) -> OwnFunction | None:
    """The function that a value of the configuration names; None where it is not written `module:function`."""
    if not _WRITTEN.fullmatch(written):
        return None
    module, _, function = written.partition(":")
    return OwnFunction(key, module, function)


def _names(tree: ast.Module) -> set[str]:
    """Names that a module defines, assigns or imports anywhere, `*` among them."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


@contextmanager
def _working_directory_first() -> Iterator[None]:
    """Modules are found in the working directory too, and a module written a moment ago is seen."""
    here = os.getcwd()
    sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(here)


def _find_spec(name: str) -> ModuleSpec | None:
    """Where a module is, without importing the packages that it lies in: they may import torch."""
    top, *inner = name.split(".")
    try:
        with _working_directory_first():
            spec = importlib.util.find_spec(top)
    except ValueError:  # a module without a file that is loaded already
        return None
    for depth in range(len(inner)):
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(".".join([top, *inner[: depth + 1]]), spec.submodule_search_locations)
    return spec
