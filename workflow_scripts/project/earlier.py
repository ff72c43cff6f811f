"""What an earlier configuration of a project hands on to the one that replaces it: the cohort's name and the tasks."""

from pathlib import Path
from typing import NamedTuple

import yaml

from workflow_scripts.core.errors import UserError


class Earlier(NamedTuple):
    """What is kept of a configuration.

    Attributes:
        name: of its cohort; None where it has none.
        benchmark: its section `benchmark` as it is written there, with comments; empty where it has none.
    """

    name: str | None
    benchmark: str


def read_earlier(file: Path) -> Earlier:
    """What is kept of a project's configuration; nothing where there is none yet.

    Raises:
        UserError: the file is not YAML, or no mapping.
    """
    if not file.is_file():
        return Earlier(None, "")
    text = file.read_text(encoding="utf-8")
    mend = f"its benchmark section cannot be kept: mend {file} or move it away"
    try:
        root, values = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{file} is not YAML ({' '.join(str(error).split())}), so {mend}") from None
    if root is None:
        return Earlier(None, "")
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{file} is not a mapping of keys, so {mend}")
    cohort = values.get("cohort")
    name = cohort.get("name") if isinstance(cohort, dict) else None
    kept = [text[key.start_mark.index : value.end_mark.index] for key, value in root.value if key.value == "benchmark"]
    return Earlier(name if isinstance(name, str) else None, kept[-1].rstrip() if kept else "")
