"""Show new slides to a trained model: embeddings, nearest slides of its cohort and a page for each, in one folder.

For a few slides, without manifest or Snakemake, treated as the model's cohort was. For many, and for slides on servers,
there is the target `apply` (docs/apply.md).
"""

import math
import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from workflow_scripts import apply_slides, extract_features
from workflow_scripts.config import Config, load_config, stages
from workflow_scripts.config.slide_options import OPTIONS, Place
from workflow_scripts.core.digest import code_digest
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.gpu import may_have_gpu
from workflow_scripts.core.manifest import SlideRow
from workflow_scripts.core.shown import ALL, NOW, TABLE, add_slides, require_own_folder, require_usable
from workflow_scripts.core.slide_work import SlideWork, start_stage
from workflow_scripts.core.worker import Worker
from workflow_scripts.encoders.as_trained import require_same_encoder
from workflow_scripts.for_slides import run_chunk

_THREADS = min(8, len(os.sched_getaffinity(0)))  # as many as the rule extract_features has
_STAGES = {"check_slide": "slides", "segment_tissue": "tissue", "tile_regions": "regions"}  # and what decides of them


def _parser() -> ArgumentParser:
    parser = entry_parser(__doc__)
    parser.add_argument("model", help="folder of the exported model, e.g. results/demo/pretrain/slpd/model")
    parser.add_argument("slides", nargs="+", help="slide files")
    parser.add_argument("--output", type=Path, default=Path("applied"), help="folder to add to (default: applied)")
    parser.add_argument("--weights", help="the encoder's checkpoint, where no package or hub cache brings it")
    parser.add_argument("--mpp", type=float, help="um/px of these slides, where their files do not tell or tell wrong")
    parser.add_argument("--patient", default="", help="id of their patient, to find slides of the same in the cohort")
    parser.add_argument("--neighbours", type=int, default=5, help="slides of the model's cohort to find for each slide")
    parser.add_argument("--threads", type=int, default=_THREADS, help="of the encoder; their number moves last bits")
    parser.add_argument("--gpu", type=int, default=int(may_have_gpu()), help="GPUs for the encoder; 0 runs on the CPU")
    return parser


def run_stage(stage: str, section: str, rows: list[SlideRow], config: Config, output: Path) -> None:
    """Make the files of a short stage for all slides; those that hold are kept."""
    settings, place = stages.section_settings(config, section), Place(config.cohort.name, "", {}, {}, str(output))
    options = [["--config", stages.as_json(settings), *OPTIONS[stage](row, place)] for row in rows]
    jobs = [SlideWork(row.slide_id, own) for row, own in zip(rows, options, strict=True)]
    worker = Worker(start_stage, stage, code_digest(f"workflow_scripts.{stage}"), output / "logs" / f"{stage}.log")
    run_chunk(jobs, worker, config.slides.give_up_s)
    worker.stop()


def encode(config: Config, args: Namespace) -> None:
    """Encode the patches of all slides, as one shard."""
    for library in ("OMP", "MKL", "OPENBLAS"):  # as Snakemake does; torch is not imported yet
        os.environ[f"{library}_NUM_THREADS"] = str(args.threads)
    regions = stages.as_json(stages.section_settings(config, "regions"))
    argv = ["--config", stages.as_json(stages.section_settings(config, "features") | {"shards": 1})]
    argv += ["--regions-config", regions, "--manifest", f"{args.output}/{NOW}"]
    argv += ["--other-manifest", f"{args.output}/{ALL}"]  # whose features stay
    argv += ["--shard", "0", "--code", code_digest("workflow_scripts.extract_features"), "--gpu", str(args.gpu)]
    argv += ["--check-folder", f"{args.output}/check", "--regions-folder", f"{args.output}/regions"]
    argv += ["--batch-size", str(config.features.batch_size or 0), "--readers", "8"]
    argv += ["--output", f"{args.output}/features/shard_0.parquet", "--log", f"{args.output}/logs/features.log"]
    extract_features.main(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_entry(_parser(), argv)
    if args.mpp is not None and not 0 < args.mpp < math.inf:
        raise UserError(f"--mpp is {args.mpp}; give um/px, a number above 0")
    raw: dict = {"apply": {"model": args.model, "manifest": f"{args.output}/{NOW}", "neighbours": args.neighbours}}
    config = load_config(raw | ({"features": {"weights": args.weights}} if args.weights else {}))
    if config.source.kind:
        raise UserError(f"the model in {args.model} takes features of another tool; use the target apply")
    require_same_encoder(config.features, args.model)
    require_own_folder(args.output, args.model)
    rows = add_slides(args.output, args.slides, args.mpp, args.patient)
    for stage, section in _STAGES.items():
        run_stage(stage, section, rows, config, args.output)
    encode(config, args)
    argv = ["--model", args.model, "--neighbours", str(args.neighbours), "--log", f"{args.output}/logs/apply.log"]
    argv.append("--add")
    places = {"features": "features", "index": "features/shard_0.parquet", "check-folder": "check"}
    places |= {"regions-folder": "regions", "output": TABLE, "manifest": ALL}
    argv += [word for name, at in places.items() for word in (f"--{name}", f"{args.output}/{at}")]
    apply_slides.main(argv)
    log.info("%s/%s, and slides/*/page.html beside it", args.output, TABLE)
    require_usable(args.output / TABLE, [row.slide_id for row in rows], args.mpp)


if __name__ == "__main__":
    run_entry(main)
