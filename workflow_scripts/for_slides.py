"""Run the command of a short stage for every slide of a chunk: each slide has its own files and its own failure.

What follows `--` is given to the command for every slide. Files that are there and made of the same are kept.
"""

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from workflow_scripts.config.slide_options import OPTIONS, Place
from workflow_scripts.core import schemas
from workflow_scripts.core.chunks import chunk_of
from workflow_scripts.core.claims import names_of_slides
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import read_manifest
from workflow_scripts.core.slide_lists import remove_other_lists
from workflow_scripts.core.slide_work import SlideWork, start_stage
from workflow_scripts.core.tables import write_table
from workflow_scripts.core.worker import Died, Worker
from workflow_scripts.tissue.mask_files import find_masks

# Signals of a decoder that fell over one slide, as it will again. Others come from outside: no memory, an operator.
_CRASHES = {"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"}


def plan_chunk(args: Namespace, settings: list[str]) -> list[SlideWork]:
    """The slides of the chunk, in manifest order, each with the options of the stage's command."""
    rows = read_manifest(args.manifest)
    others = read_manifest(args.other_manifest) if args.other_manifest else []
    masks, _ = find_masks(args.masks, [row.slide_id for row in rows])
    names = names_of_slides((row.slide_id, row.path) for row in [*rows, *others])
    place = Place(args.cohort, args.encoder, masks, names)
    mine = [row for row in rows if chunk_of(row.slide_id, args.chunks) == args.chunk]
    return [SlideWork(row.slide_id, [*settings, *OPTIONS[args.stage](row, place)]) for row in mine]


def run_chunk(jobs: list[SlideWork], worker: Worker, give_up_s: float) -> list[dict[str, Any]]:
    """Rows of `schemas.CHUNK`, in the order of the jobs.

    Raises:
        UserError: slides are left that did not answer, or whose process was killed from outside; the others are done.
    """
    rows, lost = [], []
    for number, job in enumerate(jobs, 1):
        try:
            try:
                rows.append(worker.do(job, give_up_s))
            except Died as death:
                if death.signal not in _CRASHES:
                    raise
                log.warning("slide %s: %s", job.slide_id, death)
                rows.append(worker.do(job._replace(ended=f"{death}: its decoder fails on this file"), give_up_s))
        except Died as death:
            why = ", perhaps for want of memory" if death.signal == "SIGKILL" else ""
            lost.append(f"slide {job.slide_id}: {death}{why}")
        except TimeoutError:
            lost.append(f"slide {job.slide_id} has not answered for {give_up_s:g} s (slides.give_up_s)")
        if number % 10 == 0:
            log.info("%d of %d slides", number, len(jobs))
    if lost:
        raise UserError(
            f"{len(lost)} of {len(jobs)} slides of this job have no result, the others are done: {'; '.join(lost)}; "
            "see that their files can be read, give the job more memory, or take their rows out, and run the same again"
        )
    return rows


def main(argv: list[str] | None = None) -> None:
    own, settings = sys.argv[1:] if argv is None else argv, []
    if "--" in own:
        own, settings = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = entry_parser(__doc__)
    parser.add_argument("stage", choices=list(OPTIONS), help="name of the command")
    parser.add_argument("--manifest", type=Path, required=True, help="slides.csv")
    parser.add_argument("--other-manifest", nargs="?", help="of another cohort, whose slides have names of their own")
    parser.add_argument("--chunk", required=True, help="which chunk of the manifest's slides, a number from 0")
    parser.add_argument("--chunks", type=int, required=True, help="how many there are")
    parser.add_argument("--cohort", required=True, help="name of the cohort")
    parser.add_argument("--encoder", default="", help="name of the features' folder, where they are imported")
    parser.add_argument("--masks", nargs="?", help="folder of the user's masks")
    parser.add_argument("--code", default="", help="digest of the command's code; other code makes anew")
    parser.add_argument("--give-up-s", type=float, default=1800, help="seconds after which a slide is given up")
    parser.add_argument("--output", type=Path, required=True, help="table of the chunk's slides")
    args = parse_entry(parser, own)
    jobs = plan_chunk(args, settings)
    remove_other_lists(args.output, [job.slide_id for job in jobs])
    worker = Worker(start_stage, args.stage, args.code, args.log)
    rows = run_chunk(jobs, worker, args.give_up_s)
    worker.stop()
    write_table(args.output, rows, schemas.CHUNK, {"stage": args.stage})


if __name__ == "__main__":
    run_entry(main)
