"""Encode the patches of one shard's slides with a frozen encoder: one feature file a slide, and an index of them."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_scripts.config import Features, Regions
from workflow_scripts.config.fit import refuse_misfit
from workflow_scripts.core import schemas
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.fetched import remove_fetched
from workflow_scripts.core.gpu import lease_devices
from workflow_scripts.core.manifest import read_manifest
from workflow_scripts.core.tables import write_table
from workflow_scripts.encoders.plan import common_digest, plan_shard, remove_leftovers
from workflow_scripts.wsi.region_reader import region_reader

if TYPE_CHECKING:
    from workflow_scripts.encoders.registry import Encoder


def _build(settings: Features, regions: Regions, granted: int) -> "Encoder":
    """The encoder on the device it is to run on; patches that it was not trained for are refused."""
    import torch

    from workflow_scripts.encoders.device import to_device
    from workflow_scripts.encoders.registry import build_encoder

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if granted and device.type == "cpu":
        log.warning("torch sees no GPU here; encoding on the CPU")
    encoder = to_device(build_encoder(settings, regions.patch_px), device)
    refuse_misfit(settings, regions, encoder.published)  # of a plug-in, known only now
    log.info("encoder %s: %s, D %d, on %s", settings.model, encoder.facts["pretrained_on"], encoder.dim, device.type)
    return encoder


def _arguments(argv: list[str] | None) -> Namespace:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Features.model_validate_json, required=True, help="JSON: section features")
    parser.add_argument("--regions-config", type=Regions.model_validate_json, required=True, help="JSON: regions")
    parser.add_argument("--manifest", type=Path, required=True, help="slides.csv")
    parser.add_argument("--other-manifest", nargs="?", help="of another cohort, whose features are beside and stay")
    parser.add_argument("--shard", type=int, required=True, help="which shard, from 0")
    parser.add_argument("--check-folder", type=Path, required=True, help="tables of check_slide")
    parser.add_argument("--regions-folder", type=Path, required=True, help="tables of tile_regions")
    parser.add_argument("--output", type=Path, required=True, help="index of the shard; features go to slides/ beside")
    parser.add_argument("--code", default="", help="digest of the code; slides made by other code are made again")
    parser.add_argument("--batch-size", type=int, default=0, help="patches encoded at once; 0 chooses")
    parser.add_argument("--gpu", type=int, default=0, help="GPUs granted to this job; 0 runs on the CPU")
    parser.add_argument("--readers", type=int, default=2, help="regions read at once, ahead of the encoder")
    parser.add_argument("--give-up-s", type=float, default=1800, help="seconds after which a slide is given up")
    parser.add_argument("--keep-fetched", type=int, default=1, help="0 removes the remote slides that were fetched")
    parser.add_argument("--cohort", default="", help="name of the cohort, whose fetched slides alone are removed")
    args = parse_entry(parser, argv)
    if not args.keep_fetched and not args.cohort:
        raise UserError("--keep-fetched 0 says not whose slides are removed; give --cohort, too")
    return args


def main(argv: list[str] | None = None) -> None:
    args = _arguments(argv)
    settings, regions, folder = args.config, args.regions_config, args.output.parent
    refuse_misfit(settings, regions)

    jobs = plan_shard(
        *(args.manifest, args.shard, settings.shards, args.check_folder, args.regions_folder, folder),
        common_digest(settings, regions, args.code),
    )
    others = {row.slide_id for row in read_manifest(args.other_manifest)} if args.other_manifest else set()
    for slide_id in remove_leftovers(jobs, args.output, args.shard, settings.shards, others):
        log.info("slide %s has left the manifest; its features are removed", slide_id)
    lease_devices(args.gpu)
    from workflow_scripts.encoders.shard import ShardRun  # torch comes with it, after the lease

    run = ShardRun(
        features=settings,
        regions=regions,
        make_encoder=lambda: _build(settings, regions, args.gpu),
        open_pixels=lambda check: region_reader(
            check["slide_id"], check["path"], regions.grid, regions.patch_px, check["bytes"]
        ),
        batch_size=args.batch_size or None,
        threads=max(1, args.readers),
        give_up_s=args.give_up_s,
    )
    rows = run.run(jobs)
    meta = {"encoder": settings.model_dump(mode="json"), "regions": regions.model_dump(mode="json"), "code": args.code}
    write_table(args.output, rows, schemas.FEATURE_INDEX, meta)
    if not args.keep_fetched:
        done = {job.status.slide_id for job in jobs}
        slides = [row for row in read_manifest(args.manifest) if row.slide_id in done]
        removed = sum(remove_fetched(args.cohort, row.slide_id, row.path) for row in slides)
        log.info("%d fetched slides removed", removed)


if __name__ == "__main__":
    run_entry(main)
