"""The console command `slpd`: the commands that a person calls, each an entry of this package."""

import difflib
import importlib
import sys
from typing import NamedTuple

from workflow_scripts import __version__
from workflow_scripts.core.entry import run_entry
from workflow_scripts.core.errors import UserError

_PACKAGE = "workflow_scripts"


class Command(NamedTuple):
    """The entry that a command runs, and what it does in one line."""

    module: str
    line: str


# Commands that only the workflow calls stay `python -m workflow_scripts.X`.
COMMANDS = {
    "init": Command("init_project", "start a project: look at the slides, write slides.csv and my.yaml"),
    "manifest": Command("make_manifest", "write slides.csv of all slides under a folder, no more"),
    "keys": Command("describe_config", "tell the keys of the configuration: default, meaning, what an edit runs again"),
    "schema": Command("write_schema", "write the configuration's JSON Schema, by which editors check my.yaml"),
    "show": Command("show_results", "print a cohort's results in a few lines, and where its report is"),
    "similar": Command("find_similar", "print the slides and regions most like a slide or region of a cohort"),
    "export": Command("export_cohort", "write a cohort's patch features in the layouts of TRIDENT and CLAM"),
    "apply": Command("apply_model", "show new slides to an exported model: embeddings, nearest slides, a page each"),
    "describe": Command("describe_model", "say what an exported model takes, gives and was trained on"),
}


def usage() -> str:
    """All commands, a line each."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.line}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: slpd COMMAND ...", "", *lines, "", "`slpd COMMAND --help` explains one."])


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    return f"slpd has no command {name}" + (f"; did you mean {near[0]}?" if near else "; `slpd` lists them")


def run_command(name: str) -> None:
    """Run a command with what follows it in `sys.argv`.

    Raises:
        UserError: there is no such command, or a package that it needs is not installed.
    """
    if name not in COMMANDS:
        raise UserError(_unknown(name))
    try:
        importlib.import_module(f"{_PACKAGE}.{COMMANDS[name].module}").main()
    except ModuleNotFoundError as error:
        missing = (error.name or _PACKAGE).partition(".")[0]
        if missing == _PACKAGE:
            raise
        raise UserError(
            f"slpd {name} needs the package {missing}, which is not installed; "
            "install what the workflow runs on: in a clone of it, pip install '.[workflow]'"
        ) from None


def main() -> None:
    """Run what the command line names; without a command, list them."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(usage())
    elif name == "--version":
        print(f"slpd {__version__}")
    else:
        sys.argv[:2] = [f"slpd {name}"]  # by which the command's own help calls it
        run_entry(lambda: run_command(name))


if __name__ == "__main__":
    main()
