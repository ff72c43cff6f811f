"""Put an index of the regions' embeddings of a pretraining run into its model, for search."""

from pathlib import Path

import faiss

from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.model_facts import DIGEST, model_digest
from workflow_scripts.core.tables import read_meta
from workflow_scripts.search.region_index import RECALL_AT, RegionIndex
from workflow_scripts.search.region_vectors import read_region_vectors


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--regions", type=Path, required=True, help="regions.parquet of the run's embeddings")
    parser.add_argument("--output", type=Path, required=True, help="index.safetensors in the model's folder")
    args = parse_entry(parser, argv)
    faiss.omp_set_num_threads(1)  # so that the same embeddings give the same file on every machine
    vectors, slide_ids, region_ids = read_region_vectors(args.regions)
    facts = {"pretrained_on": read_meta(args.regions)["pretrained_on"], DIGEST: model_digest(args.output.parent)}
    index = RegionIndex.build(vectors, slide_ids, region_ids, meta=facts, overwrite=True)
    index.save(args.output)
    kind = f"approximate, recall@{RECALL_AT} {index.meta['recall']:.3f}" if index.approximate else "exact"
    log.info("%d regions, %s", len(index), kind)


if __name__ == "__main__":
    run_entry(main)
