"""Measure whether the slides most like a slide have its class, by one representation's vectors or prototypes."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.config import Section
from workflow_scripts.core.budgets import WHOLE
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.schemas import RETRIEVAL
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.core.tasks import KINDS
from workflow_scripts.mil.bags import Bags, slide_vectors
from workflow_scripts.mil.retrieval import Cohort, cosine_likeness, matching_likeness, retrieve
from workflow_scripts.mil.retrieval_cells import retrieval_facts, retrieval_table
from workflow_scripts.mil.units import Units, make_units


class Settings(Section):
    prototypes: bool = False
    """Whether the representation is a set of prototypes, to be matched too."""
    seed: int = 0
    """Of the benchmark; it decides between equally like slides."""


def _cohort(units: Units, splits: pa.Table, design: str) -> tuple[Cohort, list[str]]:
    """Slides that ask and are found: all, or those of the test and the others where one part is held out."""
    bags, n = units.bags, len(units.bags)
    patient_ids, patient = np.unique(np.array(bags.patients, dtype=str), return_inverse=True)
    asks = found = np.ones(n, dtype=bool)
    if design == "held_out":
        part = splits.filter(pc.and_(pc.equal(splits["part"], "test"), pc.equal(splits["budget"], WHOLE)))
        asks = np.isin(np.arange(n), [units.bag_of[name] for name in part["slide_id"].to_pylist()])
        found = ~asks
    by_slide = units.truth["slide_id"].to_pylist()
    names = [slide or owner for slide, owner in zip(by_slide, bags.patients, strict=True)]
    return Cohort(names, bags.target, patient, bags.weights, asks, found), patient_ids.tolist()


def _sets(bags: Bags, width: int) -> np.ndarray:
    return bags.vectors.reshape(len(bags), -1, width)


def _seen(saw: str | list[str], slide_ids: list[str]) -> list[list[int]]:
    """Slides that pretraining saw, of all that are ranked."""
    known = {"all": len(slide_ids), "none": 0}
    return [[known[saw] if isinstance(saw, str) else len(set(saw) & set(slide_ids)), len(slide_ids)]]


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Settings.model_validate_json, required=True, help="JSON: prototypes, seed")
    parser.add_argument("--labels", type=Path, required=True, help="labels.parquet of the task")
    parser.add_argument("--splits", type=Path, required=True, help="splits.parquet of the task")
    parser.add_argument("--representation", required=True, help="its name")
    parser.add_argument("--embeddings", type=Path, required=True, help="slides.parquet of the representation")
    parser.add_argument("--output", type=Path, required=True, help="retrieval.parquet")
    args = parse_entry(parser, argv)
    settings, labels, splits = args.config, read_table(args.labels), read_table(args.splits)
    facts, trained = read_meta(args.splits), read_meta(args.embeddings)
    slide_ids = labels["slide_id"].to_pylist()
    vectors = slide_vectors(slide_ids, read_table(args.embeddings), str(args.embeddings.parent))
    kind, by_patient = KINDS[facts["kind"]], facts["slides_of_patient"] == "bag"
    units = make_units(labels, kind, facts["classes"], by_patient, vectors, list(vectors[:, None]))
    cohort, patient_ids = _cohort(units, splits, facts["design"])
    found = {"retrieval_cosine": retrieve(cohort, cosine_likeness(units.bags, cohort.found), settings.seed)}
    if settings.prototypes:
        likeness = matching_likeness(_sets(units.bags, trained["dim"]))
        found["retrieval_matching"] = retrieve(cohort, likeness, settings.seed)
        del likeness  # a number for each pair of slides
    target = [facts["classes"][number] for number in cohort.target]
    measured, groups = retrieval_facts(found, facts["kind"], target, cohort.patient, patient_ids)
    copied = ("task", "kind", "family", "level", "classes", "n_excluded")
    meta: dict[str, Any] = {name: facts[name] for name in copied} | {
        "representation": args.representation,
        "pretrained_on": trained["pretrained_on"],
        "saw": _seen(trained["saw"], slide_ids),
        "splits": "none, nothing is learnt" if facts["design"] != "held_out" else facts["splits_in_words"],
        "settings": settings.model_dump(mode="json"),
    }
    write_table(args.output, retrieval_table(found, patient_ids, groups), RETRIEVAL, meta | measured)
    for head, one in found.items():
        log.info(
            "task %s on %s, %s: %d queries (%d have no slide of their class to find), mean average precision %.3f, "
            "by chance %.3f",
            *(meta["task"], args.representation, head, one.n_queries, one.n_alone, one.values[0], one.chance[0]),
        )


if __name__ == "__main__":
    run_entry(main)
