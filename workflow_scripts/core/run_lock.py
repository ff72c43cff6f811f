"""One run at a time on a cohort's results, from whichever folder or machine it is started.

Snakemake's own lock is a list of files in the folder that it was started in: it is left behind by a run that is killed,
is taken away by whatever run ends there first, and says nothing of jobs that outlive their run. This one is the
kernel's: it goes with the process that holds it. A run takes it for itself alone, then shares it with its jobs, so that
it is free for another once the run and all its jobs have ended. A disk whose server knows no locks has none of it.
"""

import contextlib
import fcntl
import os
import time
from pathlib import Path

from workflow_scripts.core.errors import UserError

JOIN = "SLPD_RUN_LOCK"  # tells a job the file of its run's lock
_ENDING_S = 3.0  # what a killed process may take to be gone
_held: dict[str, int] = {}


def lock_file(results: str) -> Path:
    """The file that is locked, in the folder of a cohort's results."""
    return Path(results) / ".run.lock"


def take(results: str) -> bool:
    """Lock a cohort's results for this process and its jobs, until all of them have ended.

    Returns:
        Whether they are locked; False where the disk knows no locks.

    Raises:
        UserError: another run, or a job that has outlived its run, is at work on them.
    """
    file = lock_file(results)
    if str(file) in _held:
        return True
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = _open(file)
        _wait(handle)
        with contextlib.suppress(OSError):  # another user's file, who has not let others write
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()} {os.uname().nodename} {time.strftime('%Y-%m-%d %H:%M:%S')}".encode(), 0)
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(_at_work(results, file)) from None
    except OSError:
        return False
    _held[str(file)] = handle
    return True


def _open(file: Path) -> int:
    """The file of a lock, made for all users; that of another who allows reading alone can be locked as well."""
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        return os.open(file, os.O_RDONLY)
    with contextlib.suppress(PermissionError):
        os.fchmod(handle, 0o666)  # whatever the umask
    return handle


def _wait(handle: int) -> None:
    """Lock a file for this process alone; BlockingIOError where it is not free within moments."""
    until = time.monotonic() + _ENDING_S
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def join() -> None:
    """Hold the lock of the run that has started this process as a job, until the process ends."""
    if JOIN in os.environ:
        try:
            handle = os.open(os.environ[JOIN], os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return  # the job's work does not hang on it
        _held[os.environ[JOIN]] = handle


def _at_work(results: str, file: Path) -> str:
    """Who holds the lock, and what to do."""
    number, host, since = (file.read_text(encoding="utf-8").split(maxsplit=2) + ["?"] * 3)[:3]
    holders = _holders(file)
    if host == os.uname().nodename and holders and number not in holders:
        return (
            f"jobs of a run on {results} that was itself killed are still at work (processes {', '.join(holders)}); "
            f"wait for them or end them (kill {' '.join(holders)}), then run the same command again"
        )
    return (
        f"another run is at work on {results}, since {since} (process {number} on {host}, or jobs of it); wait for it "
        "or end it, then run the same command again"
    )


def _holders(file: Path) -> list[str]:
    """Ids of this machine's processes that hold the lock, as Linux lists them; none where it does not."""
    state = file.stat()
    place = f"{os.major(state.st_dev):02x}:{os.minor(state.st_dev):02x}:{state.st_ino}"
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    held = [line.split() for line in lines if "->" not in line]  # an arrow is before those that wait
    return sorted({words[4] for words in held if words[1] == "FLOCK" and words[5] == place}, key=int)


def require_unlocked(results: str, command: str) -> None:
    """Refuse Snakemake's own lock where it lies on a cohort's results, which no run is at work on.

    Args:
        results: folder of the results, locked by this process (`take`).
        command: the command that was given.

    Raises:
        UserError: as said, with the command that takes the lock away.
    """
    for file in Path(".snakemake/locks").glob("*.output.lock"):
        with file.open(encoding="utf-8", errors="replace") as lines:
            if any(line.startswith(f"{results}/") for line in lines):
                raise UserError(
                    f"a run on {results} was killed and has left its lock behind, and no run is at work there now; "
                    f"take the lock away with `{command} --unlock`, then run the same command again"
                )
