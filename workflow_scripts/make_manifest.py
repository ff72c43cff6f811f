"""Write a manifest (slides.csv) of all slides under a folder; add columns with your labels to it afterwards."""

import csv
import io
from pathlib import Path

from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_text
from workflow_scripts.wsi.slide_files import find_slides, guess_patient, slide_ids


def manifest_text(folder: Path) -> str:
    """The CSV with the columns slide_id, path, patient_id (known for TCGA barcodes) and mpp (empty).

    Raises:
        UserError: the folder is missing or holds no slide.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; give the folder that holds the slides")
    paths = find_slides(folder)
    if not paths:
        raise UserError(f"{folder} holds no slide (.svs, .tif, .tiff, .ndpi, .mrxs, ...); give another folder")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["slide_id", "path", "patient_id", "mpp"])
    for slide_id, path in zip(slide_ids(paths), paths, strict=True):
        writer.writerow([slide_id, path.as_posix(), guess_patient(slide_id), ""])
    return text.getvalue()


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
    log.info("%d slides in %s; leave mpp empty where the file records it", text.count("\n") - 1, args.output)


if __name__ == "__main__":
    run_entry(main)
