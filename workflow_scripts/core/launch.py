"""Starting a training command once a device: torchrun on one machine, and on several under SLURM.

torchrun takes options of the command that resemble its own for its own, so the command travels in the environment
and this module, as the program that torchrun starts, runs it.
"""

import ctypes
import json
import os
import runpy
import signal
import subprocess
import sys

_COMMAND, _DEVICES = "SLPD_WORKER_COMMAND", "SLPD_WORKER_DEVICES"


def is_worker() -> bool:
    """Whether this process was started by torchrun."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def worker_command(devices: int) -> list[str]:
    """The command that starts one process a device, on each machine of the SLURM job if there are several."""
    run = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(devices)]
    run += ["--signals-to-handle", "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"]
    this = ["-m", "workflow_scripts.core.launch"]
    nodes = int(os.environ.get("SLURM_NNODES", "1"))
    if nodes == 1:
        return [*run, "--standalone", *this]
    job = os.environ["SLURM_JOB_ID"]
    # any free port will do as long as all machines know it; the job's number keeps jobs on one machine apart
    host, port = os.environ["SLURMD_NODENAME"], 20000 + int(job) % 40000
    meet = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{host}:{port}", "--rdzv-id", job]
    each = ["srun", "--overlap", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    each += [f"--cpus-per-task={os.environ.get('SLURM_CPUS_PER_TASK', '1')}"]
    return [*each, *run, "--nnodes", str(nodes), *meet, *this]


def worker_environment(module: str, argv: list[str], devices: int) -> dict[str, str]:
    """The environment in which `worker_command` runs `module` with the arguments `argv` on GPUs, or on the CPU (0)."""
    return {**os.environ, _COMMAND: json.dumps([module, *argv]), _DEVICES: str(devices)}


def granted_devices() -> int:
    """GPUs of a machine that the processes which torchrun started here were granted."""
    return int(os.environ.get(_DEVICES, "0"))


def end_with_parent(number: int = signal.SIGTERM) -> None:
    """Have the kernel send this process a signal when the one that started it dies, however it dies (Linux)."""
    death_signal = 1  # PR_SET_PDEATHSIG, prctl(2)
    ctypes.CDLL(None).prctl(death_signal, number)


def run_workers(module: str, argv: list[str] | None, devices: int) -> bool:
    """Run the command `module` in one process a device and wait for all; with one device, do nothing.

    The processes end together: torchrun stops all of them as soon as one fails. Signals are passed on.

    Returns:
        True if the work was done here; False if the caller is to do it itself.

    Raises:
        SystemExit: with the processes' exit status, if it is not 0.
    """
    several = devices > 1 or (devices == 1 and int(os.environ.get("SLURM_NNODES", "1")) > 1)
    if is_worker() or not several:
        return False
    environment = worker_environment(module, sys.argv[1:] if argv is None else argv, devices)
    # a session of its own: signals to this process's group reach torchrun once, by way of this process
    child = subprocess.Popen(
        worker_command(devices), env=environment, start_new_session=True, preexec_fn=end_with_parent
    )

    def pass_on(number: int, _: object) -> None:
        # torchrun knows SIGTERM alone as a request to end its processes in an orderly way
        child.send_signal(signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, pass_on)
    status = child.wait()
    if status:
        sys.exit(status if status > 0 else 128 - status)
    return True


if __name__ == "__main__":
    end_with_parent(signal.SIGKILL)
    sys.argv = json.loads(os.environ[_COMMAND])
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
