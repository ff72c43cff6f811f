"""A plain form of the published training loop, to compare speed and memory with.

Written as such loops usually are: samples unpickled and cropped one by one in worker processes, features cropped before
the token embedding, attention by matrix products in float32, a log-softmax for every pair of a target and a crop,
optimiser, clipping and moving average parameter by parameter.
"""

import pickle
import random
import shutil
from collections.abc import Iterator
from itertools import chain, repeat

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset


class PickledRegions(Dataset):
    """Regions `[384, 16, 16]` as pickled tensors, handed out as 2 + 8 crops."""

    def __init__(self, regions: Tensor, sizes: list[int]) -> None:
        self.blobs = [pickle.dumps(region.clone()) for region in regions]
        self.sizes = sizes

    def __len__(self) -> int:
        return len(self.blobs)

    def __getitem__(self, index: int) -> tuple[list[Tensor], int]:
        region = pickle.loads(self.blobs[index])
        return [self.crop(region, size) for size in self.sizes], index

    @staticmethod
    def crop(region: Tensor, size: int) -> Tensor:
        room = region.shape[-1] - size
        top, left = random.randint(0, room), random.randint(0, room)
        crop = region[:, top : top + size, left : left + size]
        return crop.flip(-1) if random.random() < 0.5 else crop


class PlainBlock(nn.Module):
    def __init__(self, dim: int, heads: int, drop: float) -> None:
        super().__init__()
        self.heads, self.drop = heads, drop
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def drop_path(self, x: Tensor) -> Tensor:
        if self.drop == 0 or not self.training:
            return x
        mask = (torch.rand(len(x), 1, 1, device=x.device) + 1 - self.drop).floor()
        return x / (1 - self.drop) * mask

    def forward(self, x: Tensor) -> Tensor:
        b, t, d = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        scores = (q @ k.transpose(-2, -1)) * (d // self.heads) ** -0.5
        y = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(b, t, d)
        x = x + self.drop_path(self.proj(y))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PlainNetwork(nn.Module):
    """vit4k_xs with its head."""

    def __init__(self, drop: float, out_dim: int) -> None:
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(384, 192), nn.GELU())
        self.cls, self.pos = nn.Parameter(torch.randn(1, 1, 192) / 50), nn.Parameter(torch.randn(1, 197, 192) / 50)
        self.blocks = nn.ModuleList(PlainBlock(192, 6, drop * i / 5) for i in range(6))
        self.norm = nn.LayerNorm(192, eps=1e-6)
        hidden = 2048
        self.mlp = nn.Sequential(
            nn.Linear(192, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, 256)
        )
        self.last = nn.utils.parametrizations.weight_norm(nn.Linear(256, out_dim, bias=False))
        self.last.parametrizations.weight.original0.data.fill_(1)
        self.last.parametrizations.weight.original0.requires_grad = False

    def backbone(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        x = self.phi(x.flatten(2).transpose(1, 2))
        pos = self.pos
        if h != 14:
            grid = pos[:, 1:].reshape(1, 14, 14, 192).permute(0, 3, 1, 2)
            grid = F.interpolate(grid, scale_factor=((h + 0.1) / 14, (w + 0.1) / 14), mode="bicubic")
            pos = torch.cat([pos[:, :1], grid.permute(0, 2, 3, 1).reshape(1, h * w, 192)], dim=1)
        x = torch.cat([self.cls.expand(b, -1, -1), x], dim=1) + pos
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]

    def forward(self, crops: list[Tensor]) -> Tensor:
        features = []
        for size in sorted({crop.shape[-1] for crop in crops}, reverse=True):
            features.append(self.backbone(torch.cat([crop for crop in crops if crop.shape[-1] == size])))
        return self.last(F.normalize(self.mlp(torch.cat(features)), dim=-1))


class PlainLoop:
    """Teacher, student and optimiser; `step` takes a batch of crops and its prototypes."""

    def __init__(self, out_dim: int, autocast: torch.dtype | None = None, device: str = "cpu") -> None:
        self.student, self.teacher = PlainNetwork(0.1, out_dim).to(device), PlainNetwork(0.0, out_dim).to(device).eval()
        self.teacher.load_state_dict(self.student.state_dict())
        self.optimiser = torch.optim.AdamW(self.student.parameters(), lr=1e-4, foreach=False)
        self.center = torch.zeros(1, out_dim, device=device)
        self.proto_center = self.center.clone()
        self.autocast, self.device = autocast, device

    def prototype_loss(self, prototypes: Tensor, student: list[Tensor]) -> Tensor:
        with torch.no_grad():
            logits = self.teacher.last(prototypes)
            target = F.softmax((logits - self.proto_center) / 0.04, dim=-1)
            self.proto_center = self.proto_center * 0.9 + logits.mean(0, keepdim=True) * 0.1
        terms = [-(target * F.log_softmax(s, dim=-1)).sum(-1).mean() for s in student[1:]]
        return sum(terms) / len(terms)

    def step(self, crops: list[Tensor], own: Tensor, other: Tensor) -> float:
        crops = [crop.to(self.device, non_blocking=True) for crop in crops]
        with torch.autocast(self.device, self.autocast or torch.bfloat16, enabled=self.autocast is not None):
            with torch.no_grad():
                teacher = self.teacher(crops[:2])
            student = (self.student(crops) / 0.1).chunk(len(crops))
            targets = F.softmax((teacher - self.center) / 0.04, dim=-1).chunk(2)
            terms = [
                -(q * F.log_softmax(s, dim=-1)).sum(-1).mean()
                for i, q in enumerate(targets)
                for v, s in enumerate(student)
                if i != v
            ]
            loss = sum(terms) / len(terms)
            loss = loss + self.prototype_loss(own, student) + self.prototype_loss(other, student)
            self.center = self.center * 0.9 + teacher.mean(0, keepdim=True) * 0.1
        self.optimiser.zero_grad()
        loss.backward()
        for parameter in self.student.parameters():
            if parameter.grad is not None:
                norm = parameter.grad.norm(2)
                if 3.0 / (norm + 1e-6) < 1:
                    parameter.grad.mul_(3.0 / (norm + 1e-6))
        self.optimiser.step()
        with torch.no_grad():
            for t, s in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
                t.mul_(0.996).add_(s.detach(), alpha=0.004)
        return loss.item()


def _as_arrays(samples: list[tuple[list[Tensor], int]]) -> list[np.ndarray]:
    return [torch.stack(crops).numpy() for crops in zip(*(crops for crops, _ in samples), strict=True)]


def batches(regions: Tensor, sizes: list[int], batch: int, workers: int) -> Iterator[list[Tensor]]:
    """Cropped regions of batch after batch, without end, from worker processes.

    The workers start at the first call, so that they can be forked before the process touches a GPU. They hand tensors
    over in shared memory, as a DataLoader does; where that is too small (64 MB in many containers), through a pipe,
    which costs the loop some time.

    Raises:
        ValueError: there are fewer regions than a batch has.
    """
    if len(regions) < batch:
        raise ValueError(f"{len(regions)} regions make no batch of {batch}")
    ahead = 2 * workers * batch * sum(regions.shape[1] * size**2 * regions.element_size() for size in sizes)
    shared = shutil.disk_usage("/dev/shm").free
    if shared < ahead:
        print(f"/dev/shm has {shared >> 20} MiB of the {ahead >> 20} for batches read ahead: they go through a pipe")
    loader = DataLoader(
        PickledRegions(regions, sizes),
        batch,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        persistent_workers=workers > 0,
        collate_fn=_as_arrays if shared < ahead else None,
    )
    first = iter(loader)  # starts the workers

    def without_end() -> Iterator[list[Tensor]]:
        for found in chain(first, chain.from_iterable(repeat(loader))):
            yield [torch.from_numpy(crops) for crops in found] if shared < ahead else found[0]

    return without_end()
