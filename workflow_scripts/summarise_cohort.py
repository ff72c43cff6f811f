"""Bring the checks and the feature indices of all slides together, and stop where too much of the cohort is lost."""

from collections import Counter
from pathlib import Path
from typing import Any

from workflow_scripts.core import schemas
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import SlideRow, read_manifest
from workflow_scripts.core.tables import read_meta, read_table, write_table

_STATUS = ("status", "reason", "detail")


def _rows_by_slide(files: list[Path], stage: str) -> dict[str, dict[str, Any]]:
    """Rows of several tables by slide_id."""
    for file in files:
        if not file.is_file():
            raise UserError(f"{file} does not exist; run {stage} first")
    return {
        row["slide_id"]: {**_told_by_source(file).get(row["slide_id"], {}), **row}
        for file in files
        for row in read_table(file).to_pylist()
    }


def _told_by_source(file: Path) -> dict[str, dict[str, Any]]:
    """Size and scale of slides as the tool recorded them whose features were imported (index_features)."""
    return read_meta(file).get("slides", {})


def _artefacts(folder: str | None, slide_id: str) -> dict[str, float | None]:
    meta = read_meta(Path(folder, f"{slide_id}.parquet")) if folder else {}  # which knows neither of an excluded slide
    return {name: meta.get(name) for name in ("pen_fraction", "blurred_fraction")}


def _summary(slide: SlideRow, check: dict[str, Any], features: dict[str, Any]) -> dict[str, Any]:
    """A row of `core.schemas.SLIDES`: facts from the check, the status from the last stage.

    What the check could not learn of a slide counts as its features' source told it (`_told_by_source`).
    """
    measured = {key: value for key, value in check.items() if value is not None and key not in _STATUS}
    known = {**check, **features, **measured, "patient_id": slide.patient_id}
    return {name: known[name] for name in schemas.SLIDES.names}


def join_slides(manifest: list[SlideRow], checks: dict[str, Any], features: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of `core.schemas.SLIDES`, one a manifest row, in manifest order.

    Raises:
        UserError: a slide of the manifest was not checked or is in no feature index.
    """
    for stage, known in (("check_slide", checks), ("extract_features", features)):
        lost = [slide.slide_id for slide in manifest if slide.slide_id not in known]
        if lost:
            raise UserError(
                f"{len(lost)} of {len(manifest)} slides of the manifest, the first {lost[0]}, "
                f"have no row from {stage}; run it again"
            )
    return [_summary(slide, checks[slide.slide_id], features[slide.slide_id]) for slide in manifest]


def judge_cohort(rows: list[dict[str, Any]], max_failed_fraction: float, check_folder: Path) -> None:
    """Refuse a cohort that lost too many slides.

    Raises:
        UserError: no slide is left, or more than `max_failed_fraction` of them are excluded.
    """
    lost = [row for row in rows if row["status"] != "ok"]
    if not lost:
        return
    if all(row["reason"] == "missing_file" for row in rows):
        raise UserError(
            f"none of the {len(rows)} slide files of the manifest exists, the first is {rows[0]['path']}; "
            "check the manifest's column path and the folder that the command is run in"
        )
    (reason, count) = Counter(row["reason"] for row in lost).most_common(1)[0]
    share = f"{len(lost)} of {len(rows)} slides are excluded, most often as {reason} ({count})"
    if len(lost) == len(rows):
        first = f"{lost[0]['slide_id']}: {lost[0]['detail']}"
        raise UserError(f"{share}, so none is left ({first}); {check_folder} and this log say what is wrong with each")
    if len(lost) > max_failed_fraction * len(rows):
        raise UserError(
            f"{share}, more than cohort.max_failed_fraction ({max_failed_fraction:g}) allows; {check_folder} and this "
            "log say what is wrong with each, mend them or raise that key"
        )


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="slides.csv")
    parser.add_argument("--check-folder", type=Path, required=True, help="tables of check_slide")
    parser.add_argument("--tissue-folder", help="tables of segment_tissue; none for features of another tool")
    parser.add_argument("--indices", type=Path, nargs="+", required=True, help="feature index of each shard")
    parser.add_argument("--max-failed-fraction", type=float, required=True, help="largest share excluded, 0..1")
    parser.add_argument("--output", type=Path, required=True, help="slides.parquet")
    args = parse_entry(parser, argv)

    manifest = read_manifest(args.manifest)
    checks = _rows_by_slide([args.check_folder / f"{slide.slide_id}.parquet" for slide in manifest], "check_slide")
    features = _rows_by_slide(args.indices, "extract_features")
    found = {name: row | _artefacts(args.tissue_folder, name) for name, row in features.items()}
    rows = join_slides(manifest, checks, found)
    for row in rows:
        if row["status"] != "ok":
            log.warning("slide %s is excluded: %s, %s", row["slide_id"], row["reason"], row["detail"])
    judge_cohort(rows, args.max_failed_fraction, args.check_folder)
    log.info("%d of %d slides are usable", sum(row["status"] == "ok" for row in rows), len(rows))
    write_table(args.output, rows, schemas.SLIDES, {"max_failed_fraction": args.max_failed_fraction})


if __name__ == "__main__":
    run_entry(main)
