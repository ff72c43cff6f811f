"""Embed regions and slides without pretraining: the mean of patch features, or the patches' colour."""

import numpy as np

from workflow_scripts.core.embeddings import save_embeddings
from workflow_scripts.core.entry import entry_parser, parse_entry, run_entry
from workflow_scripts.core.feature_store import add_feature_arguments, feature_facts, slide_file, usable_slides
from workflow_scripts.core.tables import read_table
from workflow_scripts.core.tensors import from_column

COLUMNS = {"mean": "features", "colour": "colour"}


def region_means(values: np.ndarray, read_ok: np.ndarray) -> np.ndarray:
    """Mean over the readable tokens of each region: `[N, g, g, D]` and bool `[N, g, g]` to float32 `[N, D]`."""
    weights = read_ok.astype(np.float32)[..., None]
    total = (values.astype(np.float32) * weights).sum(axis=(1, 2))
    return total / np.maximum(weights.sum(axis=(1, 2)), 1)


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--baseline", choices=sorted(COLUMNS), required=True)
    add_feature_arguments(parser)
    parser.add_argument("--regions-output", required=True, help="output: regions.parquet")
    parser.add_argument("--slides-output", required=True, help="output: slides.parquet")
    args = parse_entry(parser, argv)
    column = COLUMNS[args.baseline]
    slides = usable_slides(args.slides)
    vectors, regions, counts = [], [], []
    for slide in slides:  # one slide at a time: the features of a cohort need not fit in memory
        table = read_table(slide_file(args.features, slide), ["region_id", "read_ok", column])
        vectors.append(region_means(from_column(table, column), from_column(table, "read_ok")))
        regions += table["region_id"].to_pylist()
        counts.append(len(table))
    colour = args.baseline == "colour"
    pretrained_on = "nothing" if colour else feature_facts(args.features, slides[0])["encoder"]["pretrained_on"]
    outputs = (args.regions_output, args.slides_output)
    save_embeddings(*outputs, np.concatenate(vectors), slides, np.array(counts), regions, pretrained_on)


if __name__ == "__main__":
    run_entry(main)
