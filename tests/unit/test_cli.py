import importlib
import sys

import pytest

from workflow_scripts import __version__, cli
from workflow_scripts.core import entry
from workflow_scripts.core.errors import UserError


@pytest.fixture
def call(monkeypatch):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["/somewhere/bin/slpd", *words])
        cli.main()

    return run


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_its_entry_and_its_own_help(name, monkeypatch, capsys):
    module = importlib.import_module(f"workflow_scripts.{cli.COMMANDS[name].module}")
    assert module.__doc__ and callable(module.main)
    monkeypatch.setattr(sys, "argv", ["slpd", name, "--help"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    shown = capsys.readouterr().out
    assert ended.value.code == 0 and shown.startswith(f"usage: slpd {name} ")
    assert len(cli.COMMANDS[name].line) < 80


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_without_a_command_all_are_listed(call, capsys, words):
    call(*words)
    lines = capsys.readouterr().out.splitlines()
    for name, command in cli.COMMANDS.items():
        assert sum(line.split() == [name, *command.line.split()] for line in lines) == 1


def test_version(call, capsys):
    call("--version")
    assert capsys.readouterr().out == f"slpd {__version__}\n"


@pytest.mark.parametrize(("word", "near"), [("manifst", "did you mean manifest?"), ("xyz", "`slpd` lists them")])
def test_an_unknown_command_is_one_sentence_with_the_nearest(call, word, near, caplog, monkeypatch):
    monkeypatch.setattr(entry, "_leave", sys.exit)  # which ends the process at once
    with pytest.raises(UserError, match=rf"slpd has no command {word}.*{near}"):
        cli.run_command(word)
    with pytest.raises(SystemExit) as ended:
        call(word)
    assert ended.value.code == 1


def test_a_missing_package_names_the_extra_and_our_own_missing_module_does_not(monkeypatch):
    def missing(package):
        def load(module):
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)

        return load

    monkeypatch.setattr(importlib, "import_module", missing("pyarrow.parquet"))
    with pytest.raises(UserError, match=r"slpd show needs the package pyarrow, .*'\.\[workflow\]'"):
        cli.run_command("show")
    monkeypatch.setattr(importlib, "import_module", missing("workflow_scripts.gone"))
    with pytest.raises(ModuleNotFoundError):
        cli.run_command("show")
