"""The processes that share the work of a step: how a batch is dealt, and how their sums come together."""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor


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


def join_workers(timeout_s: float = 600.0) -> Workers:
    """Join the group that torchrun started this process in, over NCCL on GPUs and gloo on CPUs; else work alone.

    A process that waits longer than `timeout_s` for another ends with an error, so none hangs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Workers()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=timedelta(seconds=timeout_s))
    return Workers(dist.get_rank(), dist.get_world_size())
