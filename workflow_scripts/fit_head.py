"""Fit heads on one representation over all splits of a task, and predict every test slide."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from workflow_scripts.config import Section
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.gpu import lease_devices
from workflow_scripts.core.heads import HEADS
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.core.tasks import KINDS
from workflow_scripts.mil.attention import ATTENTION
from workflow_scripts.mil.bags import pair_embeddings, slide_vectors
from workflow_scripts.mil.crossval import by_fold, fits_in_words, predict_heads, results_in_words
from workflow_scripts.mil.jobs import budget_facts, require_unseen, seen_in_tests
from workflow_scripts.mil.predictions import PREDICTIONS
from workflow_scripts.mil.units import Units, make_units
from workflow_scripts.representations.patch_bags import bags_with_room


class Settings(Section):
    heads: dict[str, dict[str, Any]] = Field(min_length=1)
    """Settings of each head."""
    seeds: int = Field(1, ge=1)
    """Seeds of the heads that have chance in them, derived from `seed`."""
    seed: int = 0


def _embeddings(
    folder: Path, slide_ids: list[str], bags: bool, memory_mb: int | None
) -> tuple[np.ndarray, Sequence[np.ndarray], pa.Table | None]:
    """Vectors and bags of the slides, those of patches only if heads want bags, and the regions that instances are."""
    slides, regions = (read_table(folder / f"{name}.parquet") for name in ("slides", "regions"))
    features = read_meta(folder / "regions.parquet").get("features")
    if features is None:
        return pair_embeddings(slide_ids, slides, regions, str(folder))
    vectors = slide_vectors(slide_ids, slides, str(folder))
    return vectors, bags_with_room(folder / features, slide_ids, memory_mb) if bags else list(vectors[:, None]), None


def _units(folder: Path, labels: pa.Table, facts: dict[str, Any], bags: bool, memory_mb: int | None) -> Units:
    """Bags of the labelled slides by the embeddings of a folder."""
    vectors, matrices, regions = _embeddings(folder, labels["slide_id"].to_pylist(), bags, memory_mb)
    kind, by_patient = KINDS[facts["kind"]], facts["slides_of_patient"] == "bag"
    return make_units(labels, kind, facts["classes"], by_patient, vectors, matrices, facts["times"], regions)


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Settings.model_validate_json, required=True, help="JSON: heads, seeds, seed")
    parser.add_argument("--labels", type=Path, required=True, help="labels.parquet of the task")
    parser.add_argument("--splits", type=Path, required=True, help="splits.parquet of the task")
    parser.add_argument("--representation", required=True, help="its name")
    parser.add_argument("--embeddings", type=Path, nargs="+", required=True, help="its folder, or one for each fold")
    parser.add_argument("--output", type=Path, required=True, help="predictions.parquet")
    parser.add_argument("--attention", type=Path, required=True, help="attention.parquet, of heads that attend")
    parser.add_argument("--gpu", type=int, default=0, help="GPUs granted to this job; 0 runs on the CPU")
    parser.add_argument("--memory-mb", type=int, help="of this job, for bags held without a GPU; else no limit")
    args = parse_entry(parser, argv)
    lease_devices(args.gpu)
    settings, labels, splits = args.config, read_table(args.labels), read_table(args.splits)
    facts, trained = read_meta(args.splits), [read_meta(folder / "slides.parquet") for folder in args.embeddings]
    saw = seen_in_tests(splits, [meta["saw"] for meta in trained])
    if args.embeddings[0].name != args.representation:  # trained for each fold
        require_unseen(args.representation, saw)
    bags, room = not all(HEADS[head].light for head in settings.heads), None if args.gpu else args.memory_mb
    parts = by_fold([_units(folder, labels, facts, bags, room) for folder in args.embeddings], splits)
    log.info(fits_in_words(settings.heads, splits, settings.seeds))
    found, failures = predict_heads(settings.heads, facts["kind"], parts, settings.seed, settings.seeds)
    patient_of = dict(zip(labels["slide_id"].to_pylist(), labels["patient_id"].to_pylist(), strict=True))
    copied = ("task", "kind", "family", "level", "classes", "counts", "n_excluded", "excluded", "times", "balanced")
    meta = {name: facts[name] for name in copied} | {
        "n_slides": pc.count_distinct(splits.filter(pc.equal(splits["part"], "test"))["slide_id"]).as_py(),
        "heads": list(settings.heads),
        "failures": failures,
        "representation": args.representation,
        "pretrained_on": trained[0]["pretrained_on"] + (" (for fold 0, others alike)" if len(trained) > 1 else ""),
        "saw": saw,
        "width": parts[0].units.bags.vectors.shape[1],
        "splits": facts["splits_in_words"],
        "budgets": budget_facts(splits, patient_of, facts["design"]),
        "settings": settings.model_dump(mode="json"),
    }
    write_table(args.output, found.predictions, PREDICTIONS, meta)
    write_table(args.attention, found.attention, ATTENTION, {name: meta[name] for name in ("task", "representation")})
    log.info("task %s on %s: %s", meta["task"], meta["representation"], results_in_words(found, failures))


if __name__ == "__main__":
    run_entry(main)
