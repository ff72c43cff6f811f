"""Write the embeddings of regions and of slides as AnnData, with places, groups and labels."""

from pathlib import Path
from typing import Any

from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.tables import read_meta, read_table
from workflow_scripts.core.vectors import vectors_of
from workflow_scripts.interchange.anndata_file import require_anndata, write_h5ad
from workflow_scripts.interchange.observations import (
    Columns,
    centres_um,
    group_columns,
    label_columns,
    region_columns,
)

_MPP = ("mpp_x", "mpp_y")


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--embeddings", type=Path, required=True, help="folder embeddings/{representation}")
    parser.add_argument("--regions-folder", type=Path, required=True, help="folder of regions/{slide_id}.parquet")
    parser.add_argument("--slides", type=Path, nargs="+", required=True, help="slides.parquet of one cohort or several")
    parser.add_argument("--labels", type=Path, nargs="*", default=[], help="labels.parquet of the tasks")
    parser.add_argument("--groups", type=Path, nargs="*", default=[], help="groups and assignments of a run")
    parser.add_argument("--cohort", required=True, help="name of the cohort, for the file")
    parser.add_argument("--regions", type=Path, required=True, help="output: .h5ad of the regions")
    parser.add_argument("--output", type=Path, required=True, help="output: .h5ad of the slides")
    args = parse_entry(parser, argv)
    require_anndata()
    of = {row["slide_id"]: row for path in args.slides for row in read_table(path).to_pylist()}
    for name, path in (("regions", args.regions), ("slides", args.output)):
        source = args.embeddings / f"{name}.parquet"
        table, meta = read_table(source), read_meta(source)
        slides = table["slide_id"].to_pylist()
        columns: Columns = {"slide_id": slides, "patient_id": [of[slide]["patient_id"] for slide in slides]}
        facts: dict[str, Any] = {"cohort": args.cohort, "representation": args.embeddings.name, "of": name}
        facts |= {"pretrained_on": meta["pretrained_on"], "n_saw": meta.get("n_saw")}
        names, spatial = slides, None
        if name == "regions":
            names = table["region_id"].to_pylist()
            columns |= {"region_id": names} | region_columns(args.regions_folder, slides, names)
            spatial = centres_um(columns, [tuple(of[slide][key] for key in _MPP) for slide in slides])
            facts |= {"spatial_unit": None if spatial is None else "um", "xy_unit": "px at level 0"}
            if args.groups and (grouped := group_columns(args.groups[0], args.groups[1], slides, names)):
                columns |= grouped
                facts["groups_of"] = args.groups[0].parent.name
            if len(set(names)) < len(names):
                names = [f"{slide}/{region}" for slide, region in zip(slides, names, strict=True)]
        columns |= label_columns(args.labels, slides)
        write_h5ad(path, f"X_{args.embeddings.name}", vectors_of(table), names, columns, facts, spatial)
        log.info("%d %s with %d values each in %s", len(table), name, meta["dim"], path)


if __name__ == "__main__":
    run_entry(main)
