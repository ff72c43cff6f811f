"""Embed slides as bags of their patches: the features stay where they are, and the slide is the mean of its patches."""

import os
from pathlib import Path

import numpy as np

from workflow_scripts.core.embeddings import seen_facts
from workflow_scripts.core.entry import entry_parser, parse_entry, run_entry
from workflow_scripts.core.feature_store import add_feature_arguments, feature_facts, usable_slides
from workflow_scripts.core.schemas import REGION_EMBEDDINGS, SLIDE_EMBEDDINGS
from workflow_scripts.core.tables import write_table
from workflow_scripts.representations.patch_bags import tissue_patches


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    add_feature_arguments(parser)
    parser.add_argument("--regions-output", type=Path, required=True, help="output: regions.parquet, which has no rows")
    parser.add_argument("--slides-output", required=True, help="output: slides.parquet")
    args = parse_entry(parser, argv)
    slides = usable_slides(*args.slides)
    vectors = [tissue_patches(args.features, name).mean(axis=0, dtype=np.float64).astype(np.float32) for name in slides]
    meta = {
        "pretrained_on": feature_facts(args.features, slides[0])["encoder"]["pretrained_on"],
        "dim": len(vectors[0]),
        **seen_facts([], slides),
        "features": os.path.relpath(args.features, args.regions_output.parent),
    }
    write_table(args.regions_output, [], REGION_EMBEDDINGS, meta)
    write_table(args.slides_output, {"slide_id": slides, "vector": vectors}, SLIDE_EMBEDDINGS, meta)


if __name__ == "__main__":
    run_entry(main)
