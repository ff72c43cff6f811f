"""Show new slides to a trained model: embeddings, nearest slides of its cohort and a page for each, in one folder.

For a few slides, without manifest or Snakemake, treated as the model's cohort was. For many, and for slides on servers,
there is the target `apply` (docs/apply.md).
"""

import csv
import io
from argparse import ArgumentParser, Namespace
from pathlib import Path

from workflow_scripts import apply_slides, extract_features
from workflow_scripts.config import Config, load_config, stages
from workflow_scripts.config.slide_options import OPTIONS, Place
from workflow_scripts.core.digest import code_digest
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_text
from workflow_scripts.core.gpu import may_have_gpu
from workflow_scripts.core.manifest import SlideRow, id_of_path, read_manifest
from workflow_scripts.core.series import slide_exists
from workflow_scripts.core.slide_work import SlideWork, start_stage
from workflow_scripts.core.tables import read_table
from workflow_scripts.core.worker import Worker
from workflow_scripts.for_slides import run_chunk

_STAGES = {"check_slide": "slides", "segment_tissue": "tissue", "tile_regions": "regions"}  # and what decides of them


def _parser() -> ArgumentParser:
    parser = entry_parser(__doc__)
    parser.add_argument("model", help="folder of the exported model, e.g. results/demo/pretrain/slpd/model")
    parser.add_argument("slides", nargs="+", help="slide files")
    parser.add_argument("--output", type=Path, default=Path("applied"), help="folder to write into (default: applied)")
    parser.add_argument("--weights", help="the encoder's checkpoint, where no package or hub cache brings it")
    parser.add_argument("--mpp", type=float, help="um/px of these slides, where their files do not tell or tell wrong")
    parser.add_argument("--neighbours", type=int, default=5, help="slides of the model's cohort to find for each slide")
    parser.add_argument("--gpu", type=int, default=int(may_have_gpu()), help="GPUs for the encoder; 0 runs on the CPU")
    return parser


def write_manifest(args: Namespace) -> list[SlideRow]:
    """Write the slides' manifest into the output folder, by which the target `apply` would do the same; its rows.

    Raises:
        UserError: a file is missing, or two have one name.
    """
    if missing := [path for path in args.slides if not slide_exists(path)]:
        raise UserError(f"{missing[0]} does not exist; give files of slides on this machine")
    text, path = io.StringIO(), args.output / "slides.csv"
    csv.writer(text).writerows([("slide_id", "path", "mpp"), *((id_of_path(p), p, args.mpp) for p in args.slides)])
    write_text(path, text.getvalue())
    return read_manifest(path)


def run_stage(stage: str, section: str, rows: list[SlideRow], config: Config, output: Path) -> None:
    """Make the files of a short stage for all slides; those that hold are kept."""
    settings = ["--config", stages.as_json(stages.section_settings(config, section))]
    place = Place(config.cohort.name, "", {}, {}, str(output))
    jobs = [SlideWork(row.slide_id, [*settings, *OPTIONS[stage](row, place)]) for row in rows]
    worker = Worker(start_stage, stage, code_digest(f"workflow_scripts.{stage}"), output / "logs" / f"{stage}.log")
    run_chunk(jobs, worker, config.slides.give_up_s)
    worker.stop()


def encode(config: Config, args: Namespace) -> None:
    """Encode the patches of all slides, as one shard."""
    features = stages.as_json(stages.section_settings(config, "features") | {"shards": 1})
    regions = stages.as_json(stages.section_settings(config, "regions"))
    argv = ["--config", features, "--regions-config", regions, "--manifest", f"{args.output}/slides.csv"]
    argv += ["--shard", "0", "--code", code_digest("workflow_scripts.extract_features"), "--gpu", str(args.gpu)]
    argv += ["--check-folder", f"{args.output}/check", "--regions-folder", f"{args.output}/regions"]
    argv += ["--batch-size", str(config.features.batch_size or 0), "--readers", "8"]
    argv += ["--output", f"{args.output}/features/shard_0.parquet", "--log", f"{args.output}/logs/features.log"]
    extract_features.main(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_entry(_parser(), argv)
    raw: dict = {"apply": {"model": args.model, "manifest": f"{args.output}/slides.csv"}}
    config = load_config(raw | ({"features": {"weights": args.weights}} if args.weights else {}))
    if config.source.kind:
        raise UserError(f"the model in {args.model} takes features of another tool; use the target apply")
    rows = write_manifest(args)
    for stage, section in _STAGES.items():
        run_stage(stage, section, rows, config, args.output)
    encode(config, args)
    argv = ["--model", args.model, "--neighbours", str(args.neighbours), "--features", f"{args.output}/features"]
    argv += ["--index", f"{args.output}/features/shard_0.parquet", "--check-folder", f"{args.output}/check"]
    argv += ["--regions-folder", f"{args.output}/regions", "--output", f"{args.output}/slides.parquet"]
    apply_slides.main([*argv, "--log", f"{args.output}/logs/apply.log"])
    found = read_table(args.output / "slides.parquet").to_pylist()
    if refused := [f"{row['slide_id']}: {row['reason']}, {row['detail']}" for row in found if row["status"] != "ok"]:
        raise UserError(f"{len(refused)} of {len(found)} slides cannot be used: {'; '.join(refused)} (or --mpp)")
    log.info("%s/slides.parquet, and slides/*/page.html beside it", args.output)


if __name__ == "__main__":
    run_entry(main)
