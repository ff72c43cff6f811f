"""Names of timm's models, read from its source: importing timm would import torch."""

import re
from importlib.util import find_spec
from pathlib import Path

_MODEL = re.compile(r"^@register_model\s+def (\w+)\(", re.MULTILINE)
_OLD_NAMES = re.compile(r"^register_model_deprecations\(.*", re.MULTILINE | re.DOTALL)
_OLD_NAME = re.compile(r"^\s*['\"](\w+)(?:\.\w+)?['\"]\s*:", re.MULTILINE)


def timm_names() -> set[str] | None:
    """Architectures that timm knows, without the tags of weights, old names too; None where timm is not installed."""
    spec = find_spec("timm")
    if spec is None or spec.origin is None:
        return None
    names: set[str] = set()
    for file in (Path(spec.origin).parent / "models").glob("*.py"):
        text = file.read_text(encoding="utf-8")
        names.update(_MODEL.findall(text))
        for part in _OLD_NAMES.findall(text):
            names.update(_OLD_NAME.findall(part))
    return names
