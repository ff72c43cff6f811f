"""A private SLURM on this machine, for tests: a controller and two nodes with two pretended GPUs each.

The GPUs are copies of /dev/null, so SLURM counts them and sets CUDA_VISIBLE_DEVICES, but nothing can compute on
them. There is no accounting database: submit with `--slurm-status-command squeue`.
"""

import os
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ["slurm-wlm", "slurm-wlm-basic-plugins", "munge"]
PROGRAMS = ["munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "setpriv"]
_ETC = Path("/etc/slurm")  # jobs read the configuration here: SLURM_CONF does not reach them
_FILES = ("slurm.conf", "gres.conf", "cgroup.conf")
_PREFIX = "slpd-slurm-"
_NULL = os.makedev(1, 3)  # device number of /dev/null


class CannotRun(Exception):
    """Why there can be no cluster on this machine, in one sentence."""


@dataclass(frozen=True)
class Cluster:
    """A running cluster. Nodes n1 and n2, partitions `cpu` and `gpu` over both."""

    folder: Path

    @property
    def tasks_seen(self) -> list[list[str]]:
        """What every task of a job saw as it started: [job id, CUDA_VISIBLE_DEVICES or `unset`]."""
        file = self.folder / "tasks.txt"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def jobs(self) -> list[dict[str, str]]:
        """All jobs the controller knows, ended ones too: the fields of `scontrol show job`."""
        listing = subprocess.run(
            ["scontrol", "--oneliner", "show", "job"], capture_output=True, text=True, check=True
        ).stdout
        return [
            dict(word.split("=", 1) for word in line.split() if "=" in word)
            for line in listing.splitlines()
            if line.startswith("JobId=")
        ]

    def logs(self) -> str:
        """The last lines of the daemons' logs, for a failed test."""
        files = sorted((self.folder / "log").glob("*"))
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-2000:]}" for file in files)


@contextmanager
def toy_cluster(cpus: int = 16, memory_mb: int = 64_000) -> Iterator[Cluster]:
    """Start a cluster and stop it, its jobs and all daemons at the end, also after an error.

    Args:
        cpus: pretended cores of each node.
        memory_mb: pretended memory of each node, MB.

    Raises:
        CannotRun: not root, no packages, or this machine belongs to a cluster.
    """
    _require()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        _configure(folder, cpus, memory_mb)
        _link(folder, stack)
        for name, command in {
            "munged": _munged(folder),
            "slurmctld": ["slurmctld", "-D"],
            "slurmd-n1": ["slurmd", "-D", "-N", "n1"],
            "slurmd-n2": ["slurmd", "-D", "-N", "n2"],
        }.items():
            _start(name, command, folder, stack)
            if name == "munged":
                _wait(lambda: (folder / "munge" / "socket").exists(), "munged", folder)
        cluster = Cluster(folder)
        _wait(lambda: {"n1", "n2"} == set(_query("sinfo", "-hN", "-t", "idle", "-o", "%N").split()), "nodes", folder)
        stack.callback(_cancel_all)
        yield cluster


def _require() -> None:
    if os.geteuid() != 0:
        raise CannotRun("a private SLURM needs root")
    if all(shutil.which(program) for program in PROGRAMS):
        return
    if not shutil.which("apt-get"):
        raise CannotRun("SLURM is not installed and there is no apt-get to install it")
    quiet = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "capture_output": True}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        if subprocess.run(["apt-get", *command], **quiet).returncode:
            raise CannotRun(f"SLURM is not installed and `apt-get {command[0]}` failed")
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        raise CannotRun(f"{', '.join(missing)} missing after the installation of {' '.join(PACKAGES)}")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _configure(folder: Path, cpus: int, memory_mb: int) -> None:
    for name in ("state", "spool-n1", "spool-n2", "log", "munge"):
        (folder / name).mkdir()
    for name in ("nv0", "nv1"):  # character devices: with plain files SLURM would not set CUDA_VISIBLE_DEVICES
        os.mknod(folder / name, stat.S_IFCHR | 0o666, _NULL)
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    prolog = folder / "task_prolog.sh"
    prolog.write_text(f'#!/bin/sh\necho "$SLURM_JOB_ID ${{CUDA_VISIBLE_DEVICES-unset}}" >> {folder}/tasks.txt\n')
    prolog.chmod(0o755)
    (folder / "gres.conf").write_text(
        "AutoDetect=off\n" + "".join(f"Name=gpu Type=toy File={folder}/nv{number}\n" for number in (0, 1))
    )
    (folder / "cgroup.conf").write_text("CgroupAutomount=no\nConstrainCores=no\n")
    controller, *nodes = _free_ports(3)
    lines = [
        *("ClusterName=toy", "SlurmctldHost=localhost(127.0.0.1)", "SlurmUser=root", "SlurmdUser=root"),
        *("AuthType=auth/munge", f"AuthInfo=socket={folder}/munge/socket", f"SlurmctldPort={controller}"),
        *(f"StateSaveLocation={folder}/state", f"SlurmdSpoolDir={folder}/spool-%n"),
        *(f"SlurmctldPidFile={folder}/slurmctld.pid", f"SlurmdPidFile={folder}/slurmd-%n.pid"),
        *("ProctrackType=proctrack/linuxproc", "TaskPlugin=task/none", f"TaskProlog={prolog}"),
        "AccountingStorageType=accounting_storage/none",
        *("SelectType=select/cons_tres", "SelectTypeParameters=CR_Core_Memory", "SchedulerType=sched/backfill"),
        *("SchedulerParameters=sched_interval=1,bf_interval=1", "ReturnToService=2", "MailProg=/bin/true"),
        *("GresTypes=gpu", "KillWait=2", "MinJobAge=3600", "SlurmdParameters=config_overrides"),
        *(
            f"NodeName=n{number} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs={cpus}"
            f" RealMemory={memory_mb} Gres=gpu:toy:2 State=UNKNOWN"
            for number, port in enumerate(nodes, start=1)
        ),
        "PartitionName=cpu Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO",
        "PartitionName=gpu Nodes=n1,n2 MaxTime=INFINITE State=UP OverSubscribe=NO",
    ]
    (folder / "slurm.conf").write_text("\n".join(lines) + "\n")


def _link(folder: Path, stack: ExitStack) -> None:
    """Put the configuration where SLURM looks for it; another cluster's is never touched."""
    _ETC.mkdir(exist_ok=True)
    for name in _FILES:
        link = _ETC / name
        if link.is_symlink() and _PREFIX in str(link.readlink()) and not _controller_runs():
            link.unlink()  # of a test that was killed
        try:
            link.symlink_to(folder / name)
        except FileExistsError:
            raise CannotRun(f"{link} exists: this machine belongs to a cluster, or another test runs one") from None
        stack.callback(link.unlink, missing_ok=True)


def _controller_runs() -> bool:
    for file in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):  # a process that has just ended
            if file.read_text().strip() == "slurmctld":
                return True
    return False


def _munged(folder: Path) -> list[str]:
    own = folder / "munge"
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    return ["munged", "--foreground", "--force", *(f"--{option}={own / name}" for option, name in files.items())]


def _start(name: str, command: list[str], folder: Path, stack: ExitStack) -> None:
    """Start a daemon in the foreground; the kernel ends it if this process dies without clean-up."""
    with (folder / "log" / f"{name}.log").open("wb") as log:
        daemon = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
    stack.callback(_stop, daemon)


def _stop(daemon: subprocess.Popen) -> None:
    daemon.terminate()
    try:
        daemon.wait(timeout=15)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _query(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


def _cancel_all() -> None:
    """Cancel jobs that still run and wait until they are gone, so that no step outlives its node."""
    if not _query("squeue", "-h").strip():
        return
    subprocess.run(["scancel", "--full", "--user=root"], capture_output=True)
    deadline = time.monotonic() + 20
    while _query("squeue", "-h").strip() and time.monotonic() < deadline:
        time.sleep(0.5)


def _wait(ready, what: str, folder: Path, limit_s: float = 40.0) -> None:
    deadline = time.monotonic() + limit_s
    while not ready():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not come up within {limit_s:.0f} s\n{Cluster(folder).logs()}")
        time.sleep(0.3)
