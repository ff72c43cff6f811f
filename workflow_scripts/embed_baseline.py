"""Embed regions and slides without pretraining: patch features pooled, or the patches' colour."""

import numpy as np

from workflow_scripts.core.embeddings import save_embeddings
from workflow_scripts.core.entry import entry_parser, parse_entry, run_entry
from workflow_scripts.core.feature_store import add_feature_arguments, feature_facts, slide_file, usable_slides
from workflow_scripts.core.tables import read_table
from workflow_scripts.core.tensors import from_column
from workflow_scripts.representations.pooling import POOLS


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--baseline", choices=sorted(POOLS), required=True)
    add_feature_arguments(parser)
    parser.add_argument("--regions-output", required=True, help="output: regions.parquet")
    parser.add_argument("--slides-output", required=True, help="output: slides.parquet")
    args = parse_entry(parser, argv)
    column = "colour" if args.baseline == "colour" else "features"
    slides, pooled, regions, counts = usable_slides(*args.slides), [], [], []
    for slide in slides:  # one slide at a time: the features of a cohort need not fit in memory
        table = read_table(slide_file(args.features, slide), ["region_id", "read_ok", column])
        pooled.append(POOLS[args.baseline](from_column(table, column), from_column(table, "read_ok")))
        regions += table["region_id"].to_pylist()
        counts.append(len(table))
    facts = feature_facts(args.features, slides[0])
    pretrained_on = "nothing" if column == "colour" else facts["encoder"]["pretrained_on"]
    save_embeddings(
        args.regions_output,
        args.slides_output,
        np.concatenate([one.regions for one in pooled]),
        slides,
        np.array(counts),
        regions,
        pretrained_on,
        np.stack([one.slide for one in pooled]),
    )


if __name__ == "__main__":
    run_entry(main)
