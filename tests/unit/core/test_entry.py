import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def run(body: str, *argv: str) -> subprocess.CompletedProcess:
    """Run an entry whose `main` has this body after its arguments are parsed."""
    script = (
        textwrap.dedent("""
        import errno
        from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
        from workflow_scripts.core.errors import UserError
        from workflow_scripts.core.files import whole_file

        def main():
            args = parse_entry(entry_parser("What it does."), None)
        """)
        + textwrap.indent(textwrap.dedent(body), "    ")
        + "\nrun_entry(main)\n"
    )
    return subprocess.run([sys.executable, "-c", script, *argv], capture_output=True, text=True, cwd=ROOT, check=False)


def test_success_ends_with_0_and_logs_to_terminal_and_file(tmp_path):
    done = run('log.info("%d slides", 3)', "--log", str(tmp_path / "deep/x.log"))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.endswith(" 3 slides\n")
    assert (tmp_path / "deep/x.log").read_text() == done.stderr


def test_user_error_is_one_sentence_without_a_traceback(tmp_path):
    done = run('raise UserError("slides.csv line 2: path is empty")', "--log", str(tmp_path / "x.log"))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith(" error: slides.csv line 2: path is empty\n")
    assert (tmp_path / "x.log").read_text() == done.stderr


def test_full_disk_is_one_sentence_with_the_file(tmp_path):
    out = tmp_path / "out.parquet"
    done = run(f'with whole_file("{out}"):\n    with open("/dev/full", "w") as file:\n        file.write("x")')
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"error: the disk is full while writing {out}; free some space" in done.stderr


def test_quota_counts_as_a_full_disk():
    done = run('raise OSError(errno.EDQUOT, "quota")')
    assert done.returncode == 1
    assert "error: the disk is full; free" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("error", ['OSError(errno.EIO, "broken")', 'ValueError("bug")'])
def test_other_errors_keep_their_traceback(error):
    done = run(f"raise {error}")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_wrong_option_ends_with_2():
    assert run("pass", "--nonsense").returncode == 2


def test_an_interrupt_is_one_line_and_130_and_nothing_half_written_stays(tmp_path):
    out = tmp_path / "out.txt"
    body = f"""
        import os, signal, threading, time
        signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run in the background
        threading.Thread(target=time.sleep, args=(300,)).start()  # one that reads on is not waited for
        with whole_file("{out}") as partial:
            partial.write_text("half")
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
    """
    done = run(body, "--log", str(tmp_path / "x.log"))
    assert done.returncode == 130
    assert done.stderr.count("\n") == 1 and " interrupted; run the same command again" in done.stderr
    assert (tmp_path / "x.log").read_text() == done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["x.log"]


_INTERRUPT = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
_CUT_OFF = f"""
try:
    {_INTERRUPT}
except KeyboardInterrupt as error:  # as modules written in C do
    raise ImportError("another could not be imported") from error
"""


@pytest.mark.parametrize("body", [_INTERRUPT, _CUT_OFF], ids=["plain", "import"])
@pytest.mark.parametrize("how", ["command", "library"])
def test_an_interrupt_of_a_command_that_is_still_importing_is_one_line(how, body, tmp_path):
    """The package as it is, with a module that interrupts itself; in another's program nothing is changed."""
    package = tmp_path / "workflow_scripts"
    package.mkdir()
    (package / "__init__.py").write_text((ROOT / "workflow_scripts/__init__.py").read_text())
    (package / "x.py").write_text(body)
    start = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    module = "import sys, runpy; sys.argv[0] = '-m'; runpy.run_module('workflow_scripts.x', run_name='__main__')"
    call = start + (module if how == "command" else "import workflow_scripts.x")
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, cwd=tmp_path, check=False)
    if how == "command":
        assert (done.returncode, done.stderr) == (130, "interrupted; run the same command again to go on\n")
    else:
        assert "Traceback" in done.stderr and "interrupted;" not in done.stderr


def test_an_interrupt_that_cuts_an_import_off_is_one_line():
    start = "import os, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    body = start + "from workflow_scripts import note_interrupts\nnote_interrupts()" + _CUT_OFF
    done = run(body)
    assert done.returncode == 130
    assert done.stderr.count("\n") == 1 and " interrupted; run the same command again" in done.stderr
