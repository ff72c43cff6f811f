"""What is wrong with a file of the configuration before its keys are looked at."""

from pathlib import Path
from typing import Any

import yaml

from workflow_scripts.core.errors import UserError

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where PyYAML was built so, ten times as fast


def require_config_file(path: Path | str) -> None:
    """Refuse a file that is no mapping of keys, or that gives a key twice, of which YAML takes the last.

    A file for YTE (`__use_yte__`), whose keys are a programme, may give one several times.

    Raises:
        UserError: as said, with the line; or the file is not there.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        root = yaml.compose(text, Loader=_LOADER)
    except OSError as error:
        raise UserError(f"the configuration {path} cannot be read ({error.strerror}); correct its path") from None
    except UnicodeDecodeError:
        raise UserError(f"the configuration {path} is not UTF-8 text; save it so") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "no YAML"
        raise UserError(f"{path}{where} is no YAML ({problem}); check its indentation, quotes and colons") from None
    if root is not None and not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path} holds no keys at its top, but a list or a text; write `key: value` lines there")
    if root is not None and "__use_yte__" not in text:
        _require_keys_once(root, str(path), "")


def _require_keys_once(node: yaml.Node, path: str, above: str) -> None:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _require_keys_once(item, path, above)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        name, line = f"{above}{key.value}", key.start_mark.line + 1
        if name in lines:
            where = f"in lines {lines[name]} and {line}" if lines[name] != line else f"in line {line}"
            raise UserError(f"{path} gives {name} twice, {where}, of which the last would count; keep one")
        lines[name] = line
        _require_keys_once(value, path, f"{name}.")
