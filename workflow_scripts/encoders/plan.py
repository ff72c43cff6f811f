"""What a shard has to do: which slides are its own and which are up to date. No torch here."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from workflow_scripts.config import Features, Regions, result_settings
from workflow_scripts.config.model_name import parse_model
from workflow_scripts.core.content import slide_digest, table_digest
from workflow_scripts.core.digest import value_digest
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_file import slide_file
from workflow_scripts.core.fetched import read_record
from workflow_scripts.core.manifest import read_manifest, shard_of
from workflow_scripts.core.slide_lists import remove_other_lists
from workflow_scripts.core.status import SlideStatus, excluded
from workflow_scripts.core.tables import read_meta, read_status, read_table
from workflow_scripts.encoders.digests import file_digest
from workflow_scripts.encoders.hub import own_weights
from workflow_scripts.encoders.plug_in import plug_in_digest
from workflow_scripts.encoders.speed import speed_file

# Where results go and how weights are found does not change them; the weights' own digest is counted instead.
_NOT_COUNTED = ("encoder", "shards", "allow_network", "allow_mismatch", "hub_folder", "weights", "weights_sha256")


@dataclass(frozen=True)
class SlideJob:
    """One slide of the shard.

    Attributes:
        status: as the regions stage left it.
        check: the slide's row of its check table.
        regions: the slide's regions table.
        tissue_mm2: as the regions stage measured it.
        file: the slide's feature file.
        fingerprint: digest of everything that its content depends on.
    """

    status: SlideStatus
    check: dict[str, Any]
    regions: pa.Table
    tissue_mm2: float | None
    file: Path
    fingerprint: str

    def _stored(self) -> dict[str, Any]:
        """Facts in the feature file; none where it is missing or cut off, so that it is made again."""
        try:
            return read_meta(self.file) if self.file.is_file() else {}
        except (OSError, pa.ArrowInvalid):
            return {}

    @property
    def up_to_date(self) -> bool:
        """Whether the feature file exists with this fingerprint; what could not be read before is tried again."""
        stored = self._stored()
        lost = self.status.ok and stored.get("status", {}).get("status") != "ok"
        return stored.get("fingerprint") == self.fingerprint and not lost

    @property
    def kept(self) -> bool:
        """Whether the slide's file is gone (an archive, a folder not mounted) but its features are there to keep."""
        return (
            self.status.reason in ("missing_file", "fetch_failed")
            and self._stored().get("status", {}).get("status") == "ok"
        )

    def patches_to_encode(self, encode_glass: bool) -> int:
        """Patches that are encoded one by one if all can be read."""
        if not self.status.ok:
            return 0
        return int(sum((tissue > 0).sum() if not encode_glass else tissue.size for tissue in self.tissue()))

    def tissue(self) -> list[np.ndarray]:
        """Tissue fractions of each region's patches, float32 `[g*g]` each."""
        return [np.asarray(values, np.float32) for values in self.regions["patch_tissue"].to_pylist()]


def _weights_digest(settings: Features) -> str | None:
    """Of the checkpoint that is a file of the user's; what the hub publishes is known by its name and revision."""
    file = own_weights(settings)
    return file_digest(file) if file else None


def common_digest(settings: Features, regions: Regions, code: str) -> str:
    """Digest of what every slide of a run has in common.

    Raises:
        UserError: the weights file, or the module of a plug-in, does not exist.
    """
    counted = {key: value for key, value in result_settings(settings).items() if key not in _NOT_COUNTED}
    scale = {"mpp": regions.mpp, "patch_px": regions.patch_px, "grid": regions.grid}
    parts = {"features": counted, "regions": scale, "code": code, "weights": _weights_digest(settings)}
    if parse_model(settings.model).kind == "plug_in":
        parts["plug_in"] = plug_in_digest(settings.model)
    return value_digest(parts)


def _slide_identity(check: dict[str, Any]) -> list[Any]:
    path = check["path"]
    fetched = read_record(path) if path else None
    if fetched:  # known by its record, for the file may be removed
        return [path, check["width"], check["height"], fetched.sha256]
    on_disk = slide_digest(Path(path)) if path else None
    return [path, check["width"], check["height"], on_disk]


def _check_row(folder: Path, slide_id: str) -> dict[str, Any]:
    file = folder / f"{slide_id}.parquet"
    rows = read_table(file).to_pylist() if file.is_file() else []
    if len(rows) != 1:
        raise UserError(f"{file} does not hold the one row of slide {slide_id}; run check_slide for it")
    return rows[0]


def _job(slide_id: str, check_folder: Path, regions_folder: Path, features_folder: Path, common: str) -> SlideJob:
    file = regions_folder / f"{slide_id}.parquet"
    if not file.is_file():
        raise UserError(f"{file} does not exist; run tile_regions for slide {slide_id}")
    check, table, status = _check_row(check_folder, slide_id), read_table(file), read_status(file)
    if status.ok and not len(table):
        status = excluded(slide_id, "no_regions", f"{file.name} lists no region; see regions.min_tissue_fraction")
    parts = [common, _slide_identity(check), table_digest(table), status.status, status.reason, status.detail]
    return SlideJob(
        status=status,
        check=check,
        regions=table,
        tissue_mm2=read_meta(file).get("tissue_mm2"),
        file=slide_file(features_folder, slide_id),
        fingerprint=value_digest(parts),
    )


def plan_shard(
    manifest: Path,
    shard: int,
    shards: int,
    check_folder: Path,
    regions_folder: Path,
    features_folder: Path,
    common: str,
) -> list[SlideJob]:
    """Jobs of the shard's slides, in manifest order.

    Args:
        manifest: slides.csv.
        shard: which shard, from 0.
        shards: how many there are.
        check_folder: tables of check_slide.
        regions_folder: tables of tile_regions.
        features_folder: `features/{encoder}`.
        common: from `common_digest`.

    Raises:
        UserError: a table of an earlier stage is missing.
    """
    slide_ids = [row.slide_id for row in read_manifest(manifest) if shard_of(row.slide_id, shards) == shard]
    return [_job(slide_id, check_folder, regions_folder, features_folder, common) for slide_id in slide_ids]


def remove_leftovers(
    jobs: list[SlideJob], index: Path, shard: int, shards: int, kept: Collection[str] = ()
) -> list[str]:
    """Remove feature files of slides of this shard that are no longer in the manifest, and what a killed job left.

    Indices of another number of shards that name its slides go, too (`core.slide_lists`).

    Args:
        jobs: of the shard's slides.
        index: of the shard, which is to be written, in `features/{encoder}`.
        shard: which shard, from 0.
        shards: how many there are.
        kept: ids of slides of another manifest, whose files stay.

    Returns:
        Ids of the slides whose files were removed.
    """
    remove_other_lists(index, [job.status.slide_id for job in jobs])
    features_folder, wanted = index.parent, {job.file.name for job in jobs}
    removed = []
    for file in sorted((features_folder / "slides").glob("*.parquet")):
        slide_id = file.name.removesuffix(".parquet")
        if file.name not in wanted and slide_id not in kept and shard_of(slide_id, shards) == shard:
            file.unlink()
            speed_file(file).unlink(missing_ok=True)
            removed.append(slide_id)
    for name in wanted:
        for partial in (features_folder / "slides").glob(f".{name}.*.partial"):
            partial.unlink()
    return removed
