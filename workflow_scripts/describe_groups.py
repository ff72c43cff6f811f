"""Describe the groups of a run's prototypes: nearest regions, slides, classes, and agreement with other runs."""

from pathlib import Path
from typing import Any

from workflow_scripts.config import Section
from workflow_scripts.core import schemas
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.region_groups import in_order, read_region_groups
from workflow_scripts.core.tables import read_meta, read_table, write_table

_PLACE = ("x", "y", "size_x", "size_y")


class Settings(Section):
    tasks: dict[str, list[str] | None]
    """Tasks whose labels are classes: the classes in order, null takes them as they are found."""


def add_places(nearest: list[list[dict[str, Any]]], folder: Path) -> None:
    """Give regions their place, level-0 px, from `folder`/{slide}.parquet."""
    places: dict[str, dict[str, Any]] = {}
    for slide_id in sorted({row["slide_id"] for rows in nearest for row in rows}):
        for row in read_table(folder / f"{slide_id}.parquet", ["region_id", *_PLACE]).to_pylist():
            places[row["region_id"]] = {key: row[key] for key in _PLACE}
    for rows in nearest:
        for row in rows:
            row.update(places.get(row["region_id"], {}))


def read_labels(path: Path, classes: list[str] | None) -> tuple[dict[str, str], list[str]]:
    """Class of each labelled slide, and the classes in order."""
    table = read_table(path, ["slide_id", "label"])
    pairs = zip(table["slide_id"].to_pylist(), table["label"].to_pylist(), strict=True)
    labels = {slide: label for slide, label in pairs if label is not None}
    return labels, classes or sorted(set(labels.values()))


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Settings.model_validate_json, required=True, help="JSON: tasks")
    parser.add_argument("--groups", type=Path, required=True, help="groups.parquet of the run")
    parser.add_argument("--assignments", type=Path, required=True, help="assignments.parquet that were grouped")
    parser.add_argument("--regions-folder", type=Path, required=True, help="folder of regions/{slide_id}.parquet")
    parser.add_argument("--labels", type=Path, nargs="*", default=[], help="labels.parquet of the tasks")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="groups and assignments of each other run")
    parser.add_argument("--output", type=Path, required=True, help="atlas.parquet")
    args = parse_entry(parser, argv)
    from workflow_scripts.slpd.atlas_rows import class_rows, group_rows, nearest_rows
    from workflow_scripts.slpd.groups import agreement

    facts = read_meta(args.groups)
    centres = facts.pop("centres")
    regions = read_region_groups(args.assignments, args.groups)
    slides = regions["slide_id"].unique().to_pylist()
    rows = group_rows(read_table(args.groups), regions, slides, centres)
    nearest = nearest_rows(regions, slides, len(centres))
    add_places(nearest, args.regions_folder)
    classes: list[list[dict[str, Any]]] = [[] for _ in rows]
    for path in args.labels:
        task = read_meta(path)["task"]
        labels, names = read_labels(path, args.config.tasks.get(task))
        for found, more in zip(classes, class_rows(task, labels, names, slides, regions, len(centres)), strict=True):
            found += more
    ids = regions["region_id"].to_pylist()
    own, runs = in_order(regions, ids), []
    for groups, assignments in zip(args.others[::2], args.others[1::2], strict=True):
        index, count = agreement(own, in_order(read_region_groups(assignments, groups), ids))
        runs.append({"run": groups.parent.name, "ari": index, "n_regions": count})
        log.info("adjusted Rand index with the groups of run %s: %s, over %d regions", groups.parent.name, index, count)
    for row, near, of_classes in zip(rows, nearest, classes, strict=True):
        row |= {"nearest": near, "classes": of_classes}
        log.info("group %d: %d regions of %d slides", row["group"], row["n_regions"], row["n_slides"])
    meta = {**facts, "run": args.groups.parent.name, "other_runs": runs}
    write_table(args.output, rows, schemas.ATLAS, meta | {"n_slides": len(slides), "n_regions": len(regions)})


if __name__ == "__main__":
    run_entry(main)
