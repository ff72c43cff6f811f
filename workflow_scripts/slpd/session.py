"""What every pretraining command starts with: devices, fellow processes, and the cohort's tokens."""

import argparse
import time
from dataclasses import dataclass, field

import torch

from workflow_scripts.config import PretrainRun
from workflow_scripts.core.entry import log
from workflow_scripts.core.feature_store import FeatureStore, usable_slides
from workflow_scripts.slpd.glass import without_glass
from workflow_scripts.slpd.memory import keep_freed_memory
from workflow_scripts.slpd.parallel import Workers, join_workers
from workflow_scripts.slpd.speed import Spent
from workflow_scripts.slpd.tokens import TokenData, open_tokens


@dataclass(frozen=True)
class Session:
    """Device, fellow processes, ids and counts of regions, their tokens, and the seconds spent."""

    device: torch.device
    workers: Workers
    store: FeatureStore
    data: TokenData
    spent: Spent = field(default_factory=Spent)

    @property
    def region_slides(self) -> list[str]:
        """Slide id of each of the N regions."""
        return [self.store.slide_ids[i] for i in self.store.slide_index]

    def as_clustered(self, settings: PretrainRun) -> TokenData:
        """The tokens as the clustering of a run sees them, of a session that was opened to train it."""
        if settings.clusters_without_glass == settings.mask_glass:
            return self.data
        tissue = torch.from_numpy(self.store.tissue)
        return self.data.seen_through(without_glass(torch.from_numpy(self.store.read_ok), tissue))

    def require_same_step(self, step: int, scratch: str) -> None:
        """Refuse to go on when the processes have not resumed from the same step."""
        told = (
            f"the processes do not see the same files in {scratch}; put the results on a disk that all machines share"
        )
        self.workers.require_same(step, told, self.device)


def open_session(args: argparse.Namespace, mask_glass: bool = False, with_tissue: bool = False) -> Session:
    """Open the usable slides' features for the leased GPU, or the CPU. Call `core.gpu.lease_devices` before.

    Args:
        args: of the command, with those of `add_feature_arguments`.
        mask_glass: hide tokens without tissue.
        with_tissue: keep the tissue fraction of the tokens.
    """
    keep_freed_memory()
    workers = join_workers()
    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    began = time.monotonic()
    store, data = open_tokens(args.features, usable_slides(*args.slides), device, mask_glass, with_tissue=with_tissue)
    log.info(
        "%d slides, %d regions of %d x %d tokens of %d values, on %s",
        *(len(store.slide_ids), len(store.region_ids), store.grid, store.grid, store.dim, device),
    )
    return Session(device, workers, store, data, Spent(loading=time.monotonic() - began))
