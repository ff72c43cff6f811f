"""What a part is told, and what it says in place of figures."""

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

Measured = tuple[dict[str, Any], list[str]]  # figures by name, and notes: sentences, lines of tables


class Options(NamedTuple):
    """How the parts are to measure.

    Attributes:
        device: `cuda` or `cpu`.
        small: sizes that take seconds on a CPU; no goal of speed is judged by them.
        folder: where features and other files of the parts lie, one in memory at best.
        batches: batches of the steps, regions.
        regions: of the cohort whose features are loaded and trained on.
    """

    device: str
    small: bool
    folder: str
    batches: tuple[int, ...]
    regions: int

    @property
    def full(self) -> bool:
        """Whether figures are of the sizes and the kind of machine that the goals of speed are for."""
        return self.device == "cuda" and not self.small


class NotHere(Exception):
    """A part cannot be measured on this machine; the message says why."""


def torch_device(name: str) -> "torch.device":
    """The device by its whole name: `cuda` is the first GPU."""
    import torch

    return torch.device("cuda", 0) if name == "cuda" else torch.device("cpu")


def wait_for(device: str) -> None:
    """Wait until the device has done all that it was given."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def peak_gib(device: str) -> float:
    """Most memory that tensors took on the GPU so far; on a CPU the most that this process took."""
    from tests.benchmarks.step import peak_mib

    return peak_mib(device) / 1024
