"""What of a configuration a shell's command line, Snakemake's patterns of files or Python cannot take."""

from typing import Any

from workflow_scripts.config import Config, stages
from workflow_scripts.config.model_name import parse_model
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.own_function import own_function

_COMMAND_LINE = 128 * 1024 - 4096  # bytes: Linux's limit for a shell's command, less what else is on it
# keys that name files and folders which become a rule's input
_FILE_KEYS = frozenset(
    (
        *("manifest", "test_manifest", "directory", "masks", "weights", "folder", "coords_folder", "init", "file"),
        *("table", "region_truth"),
    )
)


def require_short_commands(config: Config) -> None:
    """Refuse more runs than the commands that are given all of them can be told in one line.

    Raises:
        UserError: their settings and files do not fit.
    """
    files = [
        f"results/{config.cohort.name}/benchmark/{task}/{representation}/{cell}/predictions.parquet "
        for task in config.benchmark.tasks
        for representation in config.representations_of(task)
        for cell in stages.cells_of(config, task, representation)
    ]
    length = {rule: len(stages.as_json(stages.BY_CONFIG[rule](config))) for rule in ("collect_results", "write_report")}
    if max(length["collect_results"] + sum(map(len, files)), length["write_report"]) > _COMMAND_LINE:
        raise UserError(
            f"pretrain.runs: {len(config.pretrain.runs)} runs with {len(files)} fits of heads are more than a command "
            "line holds; put some into another cohort's configuration, or take fewer tasks or heads"
        )


def require_no_braces(section: dict[str, Any], above: str = "") -> None:
    """Refuse a brace in a file or folder of the configuration: Snakemake would look for a wildcard in it.

    Args:
        section: keys and values, sections in sections.
        above: names of the sections around it, each with a point.

    Raises:
        UserError: as said, by the name of the key.
    """
    for key, value in section.items():
        if isinstance(value, dict):
            require_no_braces(value, f"{above}{key}.")
        elif key in _FILE_KEYS and isinstance(value, str) and ("{" in value or "}" in value):
            raise UserError(
                f"{above}{key} is {value}, and a brace in a file's name is a wildcard to Snakemake; rename it, or give "
                "a link without braces"
            )


def require_own_functions(config: Config) -> None:
    """Refuse functions of the user's own whose module is not where it is looked for.

    Raises:
        UserError: named by its key.
    """
    named = {"tissue.method": config.tissue.method}
    if not config.source.kind and parse_model(config.features.model).kind == "plug_in":
        named["features.model"] = config.features.model
    for own in filter(None, (own_function(*item) for item in named.items())):
        own.require()
