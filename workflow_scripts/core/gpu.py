"""Physical GPU devices, leased one job each.

Snakemake's `--resources gpu=4` is only a counter. A job that was granted n GPUs takes n of the machine's
devices here, before torch is imported, and holds them until its process ends, however it ends (the kernel
frees the locks). Under SLURM the scheduler has already masked the devices, so nothing is leased.
"""

import fcntl
import glob
import itertools
import os
import shutil
import subprocess
import time
from pathlib import Path

from workflow_scripts.core.entry import log
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.launch import is_worker

_TOLD_EVERY_S = 600.0
GPUS_TOLD = "GPUs of this job: %d"
"""What the log of a job says that has leased GPUs, on all its machines; report/cost.py counts its GPU seconds by it."""
_held: list[int] = []


def may_have_gpu() -> bool:
    """Whether this machine may have a GPU that processes started from here see; asks no driver, so it takes no time."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return bool(glob.glob("/dev/nvidia[0-9]*") or os.path.exists("/dev/dxg") or shutil.which("nvidia-smi"))


def _cards() -> dict[str, str]:
    """UUIDs of the machine's cards by their numbers, as the driver lists them; empty where there is no driver."""
    command = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        listing = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {}
    lines = [line.split(",") for line in listing.stdout.splitlines()]
    return {line[0].strip(): line[1].strip() for line in lines if len(line) == 2}


def visible_devices() -> list[str]:
    """The devices this process may use: those of the mask `CUDA_VISIBLE_DEVICES` if it is set, else all.

    Returns:
        UUIDs, whether the mask has numbers (which count as nvidia-smi does), UUIDs or the first characters of some.
        Where the driver does not list the cards, the names are those of the mask.
    """
    cards = _cards()
    mask = os.environ.get("CUDA_VISIBLE_DEVICES")
    if mask is None:
        return list(cards.values())
    names = [name.strip() for name in mask.split(",")]
    found: list[str] = []
    for name in itertools.takewhile(lambda name: name not in ("", "-1"), names):  # CUDA too reads no further
        if name.isdecimal() and cards and name not in cards:
            break  # a number of no card: CUDA passes over this and all after it
        begun = [uuid for uuid in cards.values() if uuid.startswith(name)]
        found.append(cards.get(name) or (begun[0] if len(begun) == 1 else name))
    return list(dict.fromkeys(found))


def _lock_folder() -> Path:
    """The folder of locks of this user on this machine: not one of TMPDIR, which differs between terminals.

    Raises:
        UserError: there is none that this user can write.
    """
    places = [os.environ["SLPD_GPU_LOCKS"]] if "SLPD_GPU_LOCKS" in os.environ else ["/tmp", "/var/tmp"]
    for place in places:
        folder = Path(place) / f"slpd-gpu-{os.getuid()}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise UserError(
        f"{' and '.join(places)} cannot be written, where the leases of GPUs lie; set SLPD_GPU_LOCKS to a folder that "
        "can be, on a disk of this machine and the same for all runs"
    )


def _lock(name: str) -> int | None:
    """Handle of a file that is locked until it is closed or the process ends; None where another holds it."""
    handle = os.open(_lock_folder() / f"{name.replace('/', '_')}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _lock_name(device: str) -> str:
    """What a device is called in all processes: its UUID; a mere number counts within its allocation under SLURM."""
    job = os.environ.get("SLURM_JOB_ID")
    return f"job-{job}-{device}" if job and not device.startswith(("GPU-", "MIG-")) else device


def _lease(available: list[str], count: int) -> list[str]:
    """`count` devices that are free, held from now on; with fewer free, none is held, and what is free is returned.

    One process at a time takes, so that two that want several do not each get a part.
    """
    taking = _lock("taking")
    if taking is None:
        return []
    handles: dict[str, int] = {}
    for device in available:
        if len(handles) < count and (handle := _lock(_lock_name(device))) is not None:
            handles[device] = handle
    if len(handles) == count:
        _held.extend(handles.values())
    else:
        for handle in handles.values():
            os.close(handle)
    os.close(taking)
    return list(handles)


def _wait(available: list[str], count: int, wait_s: float) -> list[str]:
    """Lease devices as soon as enough are free, and tell in the log that one waits."""
    begun = time.monotonic()
    tell_at = begun + 1.0
    while len(leased := _lease(available, count)) < count:
        now = time.monotonic()
        if now > begun + wait_s:
            raise UserError(
                f"fewer than {count} of this machine's {len(available)} GPUs were free for {wait_s / 60:.0f} minutes; "
                "end the other runs of yours that hold them, and run the same command again"
            )
        if now > tell_at:
            log.info("waiting for %d GPUs; %d of %d are free", count, len(leased), len(available))
            tell_at = now + _TOLD_EVERY_S
        time.sleep(0.2)
    return leased


def lease_devices(count: int, wait_s: float = 24 * 3600.0) -> list[str]:
    """Lease `count` devices and mask all others through `CUDA_VISIBLE_DEVICES`. Call it before importing torch.

    Args:
        count: GPUs granted by Snakemake (`{resources.gpu}`); 0 means CPU, or under SLURM the GPUs of the allocation.
        wait_s: how long to wait, s, for devices that other runs of this user hold.

    Returns:
        Ids of the leased devices; empty on CPU.

    Raises:
        UserError: the devices did not become free in time.
    """
    if is_worker():
        return visible_devices()  # those that the process which started this one has leased
    devices = _leased(count, wait_s)
    if devices:
        log.info(GPUS_TOLD, len(devices) * int(os.environ.get("SLURM_NNODES", "1")))
    return devices


def _leased(count: int, wait_s: float) -> list[str]:
    """`lease_devices` in a process of its own."""
    if os.environ.get("SLURM_JOB_ID"):  # a job that asked with --gres alone was granted none by Snakemake's count
        count = count or int(os.environ.get("SLURM_GPUS_ON_NODE", "0"))
    available = visible_devices() if count or os.environ.get("SLURM_JOB_ID") else []
    if os.environ.get("SLURM_JOB_ID") and len(available) <= count:
        return available  # the scheduler gave this job its devices; more than asked for is an allocation shared by jobs
    count = min(count, len(available))
    if count == 0:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return []
    leased = _wait(available, count, wait_s)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(leased)
    log.info("leased GPU %s", ", ".join(leased))
    return leased
