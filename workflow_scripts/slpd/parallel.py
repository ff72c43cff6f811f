"""The processes that share the work of a step: how a batch is dealt, and how their sums come together."""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.launch import granted_devices, is_worker


@dataclass(frozen=True)
class Workers:
    """This process among `world` equal ones; one process alone needs no communication."""

    rank: int = 0
    world: int = 1

    def share(self, batch: int) -> range:
        """Places in the global batch that this process works on."""
        return range(self.rank * batch // self.world, (self.rank + 1) * batch // self.world)

    def sum(self, tensors: list[Tensor]) -> None:
        """Replace every tensor by its sum over all processes, in one exchange."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def require_same(self, value: float, told: str, device: torch.device) -> None:
        """Refuse to go on when the processes do not hold the same value.

        Raises:
            UserError: with `told`, in every process.
        """
        found = torch.tensor([value, value * value], dtype=torch.float64, device=device)
        self.sum([found])
        mean, square = (found / self.world).tolist()
        if square - mean * mean > 1e-6 * max(1.0, square):
            raise UserError(told)


def join_workers(timeout_s: float = 600.0) -> Workers:
    """Join the group that torchrun started this process in, over NCCL on GPUs and gloo on CPUs; else work alone.

    A process that waits longer than `timeout_s` for another ends with an error, so none hangs.
    """
    if not is_worker() or int(os.environ["WORLD_SIZE"]) == 1:
        return Workers()
    local = int(os.environ["LOCAL_RANK"])
    if granted_devices() > torch.cuda.device_count():
        raise UserError(
            f"this machine shows {torch.cuda.device_count()} GPUs to a job that was granted {granted_devices()} on "
            "each; ask for as many GPUs on every machine (gres: gpu:N in the profile)"
        )
    if granted_devices():
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if granted_devices() else "gloo", timeout=timedelta(seconds=timeout_s))
    return Workers(dist.get_rank(), dist.get_world_size())
