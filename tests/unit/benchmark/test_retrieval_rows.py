"""Retrieval as rows of the results: the command, the collected tables, and what they are exported as."""

import json

import numpy as np
import pytest

from tests.unit.benchmark.made import collect, copy_embeddings, fit_heads, split_cohort
from workflow_scripts import measure_retrieval
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.mil.ranking import MEASURES
from workflow_scripts.report.paper_tables import latex_text, markdown_text, retrieval_papers
from workflow_scripts.report.results import retrieval_tables, task_tables


def measure(folder, representation, prototypes=False):
    output = folder / f"{representation}-retrieval.parquet"
    files = ["--labels", f"{folder}/labels.parquet", "--splits", f"{folder}/splits.parquet"]
    files += ["--embeddings", f"{folder}/{representation}/slides.parquet", "--output", str(output)]
    config = json.dumps({"prototypes": prototypes, "seed": 0})
    measure_retrieval.main(["--config", config, "--representation", representation, *files])
    return output


def of(rows, representation, metric="mean_average_precision", head="retrieval_cosine"):
    return next(r for r in rows if (r["representation"], r["head"], r["metric"]) == (representation, head, metric))


def test_rows_have_value_interval_chance_and_pairs_of_their_own_family(cohort):
    split_cohort(cohort, repeats=2)
    heads = [fit_heads(cohort, "logistic", representation=name) for name in ("good", "mean")]
    alone = collect(cohort, *heads)[:2]
    rows, pairs, log = collect(cohort, *heads, retrieval=[measure(cohort, name) for name in ("good", "mean")])
    good, mean = of(rows, "good"), of(rows, "mean")
    assert good["value"] > 0.9 > good["chance"] > 0.4 and mean["value"] < 0.7 and mean["chance"] == good["chance"]
    assert (
        mean["ci_low"] < mean["value"] < mean["ci_high"]
        and good["ci_low"] > 0.6
        and good["headline"]
        and not good["primary"]
    )
    assert (good["n_patients"], good["n_slides"], good["n_repeats"], good["smallest_group"]) == (24, 30, 1, 12)
    assert [r["metric"] for r in rows if r["head"] == "retrieval_cosine"] == [*MEASURES] * 2
    own = [p for p in pairs if p["head"] == "retrieval_cosine" and p["headline"]]
    assert [p["metric"] for p in own] == ["mean_average_precision"] and own[0]["comparisons"] == 1
    assert own[0]["low"] > 0 and own[0]["verdict"] == "better" and not own[0]["primary"]
    assert own[0]["difference"] == pytest.approx(good["value"] - mean["value"])
    assert "retrieval_cosine" in log
    for found, before in zip((rows, pairs), alone, strict=True):  # rows of heads stay what they are
        assert [str(r) for r in found if not r["head"].startswith("retrieval")] == [str(r) for r in before]


def test_the_tables_of_a_paper_have_all_metrics_and_chance(cohort):
    split_cohort(cohort)
    files = [measure(cohort, name) for name in ("good", "mean")]
    rows, _, _ = collect(cohort, retrieval=files)
    assert task_tables(rows, ["t"], ["mean", "good"]) == []
    (paper,) = retrieval_papers(retrieval_tables(rows, ["t"], ["mean", "good"]), [])
    assert paper.representations == ["mean", "good", "chance"]
    good = of(rows, "good")
    assert paper.columns[0].cells[1].text == f"{good['value']:.3f}"
    assert paper.columns[0].cells[2].text == f"{good['chance']:.3f}"
    assert "30 queries of 24 patients" in paper.caption
    markdown = markdown_text([paper])
    assert "| mean average precision | precision at 1 | precision at 5 | precision at 10 |" in markdown
    assert "precision at 10" in latex_text([paper])


def test_sets_of_prototypes_are_matched_too_in_any_order_of_the_set(cohort):
    split_cohort(cohort)
    rows = read_table(cohort / "good" / "regions.parquet").to_pylist()
    sets = {}
    for row in rows:
        sets.setdefault(row["slide_id"], []).append(row["vector"])
    random = np.random.default_rng(0)
    for name, shuffled in (("sets", False), ("shuffled", True)):
        slides = [
            {"slide_id": slide, "vector": np.ravel(random.permutation(own) if shuffled else own).tolist()}
            for slide, own in sets.items()
        ]
        meta = {"pretrained_on": "this cohort", "saw": "all", "dim": 6}
        write_table(cohort / name / "slides.parquet", slides, schemas.SLIDE_EMBEDDINGS, meta)
    rows, _, _ = collect(cohort, retrieval=[measure(cohort, name, prototypes=True) for name in ("sets", "shuffled")])
    one, two = (of(rows, name, head="retrieval_matching") for name in ("sets", "shuffled"))
    assert one["value"] == two["value"] > one["chance"] + 0.2


def test_slides_that_pretraining_saw_are_counted_among_all(cohort):
    split_cohort(cohort)
    copy_embeddings(cohort, "some", ["s1-0", "s2-0", "s0-1"])  # the last has no label
    assert read_meta(measure(cohort, "some"))["saw"] == [[2, 30]]
    rows, _, _ = collect(cohort, retrieval=[measure(cohort, "some")])
    assert (of(rows, "some")["n_test_seen"], of(rows, "some")["n_tested"]) == (2, 30)


def test_a_slide_without_an_embedding_is_told(cohort):
    split_cohort(cohort)
    rows = read_table(cohort / "good" / "slides.parquet").to_pylist()[1:]
    write_table(cohort / "few" / "slides.parquet", rows, schemas.SLIDE_EMBEDDINGS, {"saw": "all", "pretrained_on": ""})
    with pytest.raises(UserError, match="has no embedding of slide s0-0, which the splits list; run embed again"):
        measure(cohort, "few")
