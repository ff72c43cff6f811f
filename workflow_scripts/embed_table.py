"""Take another tool's vectors of slides as a representation, whose bags hold one vector each."""

import numpy as np

from workflow_scripts.core.embeddings import save_embeddings
from workflow_scripts.core.entry import entry_parser, parse_entry, run_entry
from workflow_scripts.core.tables import read_table
from workflow_scripts.representations.slide_table import read_vectors


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--table", required=True, help="Parquet or CSV table, or folder of {slide}.h5")
    parser.add_argument("--pretrained-on", required=True, help="data that its encoder has seen")
    parser.add_argument("--slides", nargs="+", required=True, help="slides.parquet of one cohort or several")
    parser.add_argument("--regions-output", required=True, help="output: regions.parquet, a row a slide")
    parser.add_argument("--slides-output", required=True, help="output: slides.parquet")
    args = parse_entry(parser, argv)
    rows = [row for path in args.slides for row in read_table(path, ["slide_id", "status", "path"]).to_pylist()]
    slides, others = (
        [(row["slide_id"], row["path"] or "") for row in rows if (row["status"] == "ok") is ok] for ok in (True, False)
    )
    vectors, ids = read_vectors(args.table, slides, others), [slide_id for slide_id, _ in slides]
    one = np.ones(len(ids), dtype=np.int64)
    outputs = (args.regions_output, args.slides_output)
    save_embeddings(*outputs, vectors, ids, one, ["slide"] * len(ids), args.pretrained_on)


if __name__ == "__main__":
    run_entry(main)
