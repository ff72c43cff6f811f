"""Physical GPU devices, leased one job each.

Snakemake's `--resources gpu=4` is only a counter. A job that was granted n GPUs takes n of the machine's
devices here, before torch is imported, and holds them until its process ends, however it ends (the kernel
frees the locks). Under SLURM the scheduler has already masked the devices, so nothing is leased.
"""

import fcntl
import os
import subprocess
import tempfile
import time
from pathlib import Path

from workflow_scripts.core.entry import log
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.launch import is_worker

_held: list[int] = []


def visible_devices() -> list[str]:
    """Ids of the devices this process may use: the mask if one is set, else what the driver lists."""
    mask = os.environ.get("CUDA_VISIBLE_DEVICES")
    if mask is not None:
        return [name.strip() for name in mask.split(",") if name.strip() not in ("", "-1")]
    try:
        listing = subprocess.run(
            ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return []
    return listing.stdout.split()


def _lock_folder() -> Path:
    folder = Path(os.environ.get("SLPD_GPU_LOCKS", tempfile.gettempdir())) / f"slpd-gpu-{os.getuid()}"
    if job := os.environ.get("SLURM_JOB_ID"):
        folder = folder.with_name(f"{folder.name}-job-{job}")  # device numbers count within the allocation
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _try_lock(device: str) -> bool:
    handle = os.open(_lock_folder() / f"{device.replace('/', '_')}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return False
    _held.append(handle)  # kept open until the process ends: closing it would free the lease
    return True


def lease_devices(count: int, wait_s: float = 3600.0) -> list[str]:
    """Lease `count` devices and mask all others through `CUDA_VISIBLE_DEVICES`. Call it before importing torch.

    Args:
        count: GPUs granted by Snakemake (`{resources.gpu}`); 0 means CPU.
        wait_s: how long to wait for a device that another program of this user holds.

    Returns:
        Ids of the leased devices; empty on CPU.

    Raises:
        UserError: the devices did not become free in time.
    """
    if is_worker():
        return visible_devices()  # those that the process which started this one has leased
    available = visible_devices() if count or os.environ.get("SLURM_JOB_ID") else []
    if os.environ.get("SLURM_JOB_ID") and len(available) <= count:
        return available  # the scheduler gave this job its devices; more than asked for is an allocation shared by jobs
    count = min(count, len(available))
    if count == 0:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return []
    leased: list[str] = []
    deadline = time.monotonic() + wait_s
    while len(leased) < count:
        for device in available:
            if len(leased) < count and device not in leased and _try_lock(device):
                leased.append(device)
        if len(leased) < count and time.monotonic() > deadline:
            raise UserError(
                f"only {len(leased)} of {count} GPUs became free within {wait_s:.0f} s; "
                f"run with --resources gpu={len(available)} or end the jobs that hold them"
            )
        if len(leased) < count:
            time.sleep(0.2)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(leased)
    log.info("leased GPU %s", ", ".join(leased))
    return leased
