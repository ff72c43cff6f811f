"""What every pretraining command starts with: a device, and the cohort's tokens on it."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch

from workflow_scripts.core.entry import log
from workflow_scripts.core.feature_store import FeatureStore, load_features, usable_slides
from workflow_scripts.slpd.trainer import TokenData


@dataclass(frozen=True)
class Session:
    """Device, features as stored, features on the device, and the files that say which features these are."""

    device: torch.device
    store: FeatureStore
    data: TokenData

    sources: list[str]

    @property
    def region_slides(self) -> list[str]:
        """Slide id of each of the N regions."""
        return [self.store.slide_ids[i] for i in self.store.slide_index]


def open_session(args: argparse.Namespace) -> Session:
    """Load the usable slides' features onto the leased GPU, or the CPU. Call `core.gpu.lease_devices` before."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    store = load_features(args.features, usable_slides(args.slides))
    log.info(
        "%d slides, %d regions of %d x %d tokens of %d values, on %s",
        *(len(store.slide_ids), len(store.region_ids), store.grid, store.grid, store.dim, device),
    )
    data = TokenData.from_arrays(store.tokens, store.read_ok, device)
    sources = [args.slides, *sorted(map(str, Path(args.features).glob("shard_*.parquet")))]
    return Session(device, store, data, sources)
