"""Which encoder a project starts with: one whose weights are on this machine, of tissue if there is one."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from workflow_scripts.config import Features, Regions
from workflow_scripts.config.encoders import ENCODERS
from workflow_scripts.config.fit import misfit
from workflow_scripts.project.rates import LITE0

PAPER_ENCODER = "hipt_vits16_256"
PAPER_FILE = "vit256_small_dino.pth"  # of the HIPT repository


class EncoderChoice(NamedTuple):
    """The encoder to start with.

    Attributes:
        model: its name in the registry.
        weights: file that `features.weights` is to name; None where the encoder's weights are found without.
        others: names of the registry whose weights are on this machine too.
    """

    model: str
    weights: str | None
    others: list[str]

    @property
    def section(self) -> dict[str, str]:
        """Section `features` of the configuration."""
        named = {"encoder": self.model, "model": self.model}
        return named | ({"weights": self.weights} if self.weights else {})


def of_tissue(model: str) -> bool:
    """Whether an encoder of the registry was trained on slides."""
    return bool(ENCODERS[model].mpps)


def find_encoders(in_cache: Callable[[str], bool], folders: Sequence[Path]) -> dict[str, Path | None]:
    """Encoders whose weights are on this machine, with the file where `features.weights` must name it.

    Args:
        in_cache: whether the hub's cache has the weights of an encoder of the registry.
        folders: where the paper's checkpoint may lie.
    """
    found: dict[str, Path | None] = {LITE0: None}
    found |= {name: None for name, facts in ENCODERS.items() if facts.hub and in_cache(name)}
    file = next((folder / PAPER_FILE for folder in folders if (folder / PAPER_FILE).is_file()), None)
    return found | ({PAPER_ENCODER: file.absolute()} if file else {})


def choose_encoder(found: Mapping[str, Path | None], regions: Regions) -> EncoderChoice:
    """The smallest encoder of tissue that is at hand and fits the patches, else EfficientNet-Lite0 of a package.

    Args:
        found: encoders whose weights are on this machine, with the file where the configuration must name it.
        regions: section `regions`, whose patches it must fit.
    """
    fitting = [name for name in found if of_tissue(name) and not misfit(Features(model=name), regions)]
    model = min(fitting, key=lambda name: ENCODERS[name].parameters or 0, default=LITE0)
    file = found.get(model)
    return EncoderChoice(model, str(file) if file else None, [name for name in found if name != model])


def to_be_had(found: Mapping[str, Path | None]) -> tuple[list[str], list[str]]:
    """Encoders of tissue that are not on this machine: those the hub gives freely, and those behind a login."""
    missing = [name for name, facts in ENCODERS.items() if facts.mpps and facts.hub and name not in found]
    free = [name for name in missing if not ENCODERS[name].gated]
    return free, [name for name in missing if name not in free]
