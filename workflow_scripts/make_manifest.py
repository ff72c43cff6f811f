"""Write a manifest (slides.csv) of all slides under a folder; add columns with your labels to it afterwards."""

import csv
import io
from pathlib import Path

from workflow_scripts.core.cells import first_few
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_text
from workflow_scripts.wsi.slide_files import Found, find_slides
from workflow_scripts.wsi.slide_names import guess_patient, slide_ids, tcga_kinds

_NAMED = 5


def manifest_text(folder: Path) -> str:
    """The CSV with the columns slide_id, path, patient_id (known for barcodes of TCGA and CPTAC) and mpp (empty).

    What was left out and which ids differ from their files' names goes to the log.

    Raises:
        UserError: the folder is missing or holds no slide.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; give the folder that holds the slides")
    found = find_slides(folder)
    if not found.slides:
        raise UserError(
            f"{folder} holds no slide (.svs, .tif, .tiff, .ndpi, .mrxs, .dcm, ...){_but(found)}; give another folder"
        )
    ids = slide_ids(found.slides, folder)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["slide_id", "path", "patient_id", "mpp"])
    for slide_id, path in zip(ids, found.slides, strict=True):
        writer.writerow([slide_id, path.as_posix(), guess_patient(path), ""])
    _tell(found, ids, folder)
    return text.getvalue()


def _but(found: Found) -> str:
    parts = [
        f"{len(paths)} {reason} ({first_few(path.name for path in paths)})" for reason, paths in found.left_out.items()
    ]
    return f", but {', '.join(parts)}" if parts else ""


def _tell(found: Found, ids: list[str], folder: Path) -> None:
    for reason, paths in found.left_out.items():
        named = first_few((path.relative_to(folder).as_posix() for path in paths), _NAMED)
        log.info("left out %d files, %s: %s", len(paths), reason, named)
    pairs = zip(ids, found.slides, strict=True)
    other = [f"{name} ({path.name!r})" for name, path in pairs if not path.name.startswith(name)]
    if other:
        log.info("%d ids differ from the names of their files: %s", len(other), first_few(other, 4 * _NAMED))
    for kind, count in tcga_kinds(found.slides).items():
        if count:
            log.info(
                "%d of %d slides are %s, by their TCGA barcodes; take out what you do not want", count, len(ids), kind
            )


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("folder", type=Path, help="folder that is searched, with all folders in it")
    parser.add_argument("--output", type=Path, required=True, help="the manifest, e.g. slides.csv")
    parser.add_argument("--force", action="store_true", help="write over an existing manifest")
    args = parse_entry(parser, argv)
    if args.output.exists() and not args.force:
        raise UserError(f"{args.output} exists; give another --output, or --force to write over it")
    text = manifest_text(args.folder)
    write_text(args.output, text)
    count = sum(1 for _ in csv.reader(io.StringIO(text))) - 1  # a name may hold a line break
    log.info("%d slides in %s; leave mpp empty where the file records it", count, args.output)


if __name__ == "__main__":
    run_entry(main)
