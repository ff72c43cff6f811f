"""Find the nearest slides of every slide by the set similarity of prototypes, and match their prototypes."""

import time

from workflow_scripts.config import Neighbours
from workflow_scripts.core import schemas
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.tables import read_table, write_table


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Neighbours.model_validate_json, required=True, help="settings, JSON")
    parser.add_argument("--slides", required=True, help="slides.parquet")
    parser.add_argument("--prototypes", required=True, help="prototypes.parquet")
    parser.add_argument("--threads", type=int, default=1, help="tiles of slides compared at once")
    parser.add_argument("--neighbours", required=True, help="output: neighbours.parquet")
    args = parse_entry(parser, argv)
    from workflow_scripts.slpd.neighbours import count_same_patient, find_neighbours
    from workflow_scripts.slpd.round_tables import neighbour_table, read_prototypes

    table = read_table(args.prototypes)
    slide_ids = list(dict.fromkeys(table["slide_id"].to_pylist()))
    slides = read_table(args.slides, ["slide_id", "patient_id"])
    owner = dict(zip(slides["slide_id"].to_pylist(), slides["patient_id"].to_pylist(), strict=True))
    prototypes = read_prototypes(table, None, slide_ids, [])
    patients = [owner.get(slide, slide) for slide in slide_ids]  # prototypes of the cohort belong to no slide
    began = time.perf_counter()
    found = find_neighbours(prototypes.vectors, prototypes.valid, args.config, patients, args.threads)
    log.info("compared %d slides in %.2f s", len(slide_ids), time.perf_counter() - began)
    same = count_same_patient(found.index, patients)
    if same:
        log.warning(
            "%d of %d neighbours are slides of the same patient; neighbours.exclude_same_patient: true leaves them out",
            same,
            (found.index >= 0).sum(),
        )
    write_table(args.neighbours, neighbour_table(found, slide_ids), schemas.NEIGHBOURS)


if __name__ == "__main__":
    run_entry(main)
