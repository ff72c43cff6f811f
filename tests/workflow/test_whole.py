"""The whole workflow on a tiny cohort."""

from pathlib import Path

from workflow_scripts.core.tables import read_meta, read_table


def test_every_good_slide_reaches_embeddings_and_the_missing_one_keeps_its_row(finished: Path) -> None:
    results = finished / "results" / "tiny"
    rows = {row["slide_id"]: row for row in read_table(results / "slides.parquet").to_pylist()}
    assert len(rows) == 9
    assert rows["gone"]["status"] == "excluded" and rows["gone"]["reason"] == "missing_file"
    good = {name for name, row in rows.items() if row["status"] == "ok"}
    assert good == set(rows) - {"gone"}
    for representation in ("mean", "slpd", "dino"):
        table = read_table(results / "embeddings" / representation / "slides.parquet")
        assert set(table["slide_id"].to_pylist()) == good


def test_report_names_the_excluded_slide_and_its_reason(finished: Path) -> None:
    html = (finished / "results" / "tiny" / "report.html").read_text(encoding="utf-8")
    assert "gone" in html and "missing_file" in html


def test_results_state_what_each_representation_was_pretrained_on(finished: Path) -> None:
    rows = read_table(finished / "results" / "tiny" / "benchmark" / "results.parquet").to_pylist()
    stated = {row["representation"]: row["pretrained_on"] for row in rows}
    assert "ImageNet" in stated["mean"]
    assert "cohort tiny" in stated["slpd"] and "cohort tiny" in stated["dino"]


def test_embeddings_state_whether_pretraining_saw_the_slides(finished: Path) -> None:
    folder = finished / "results" / "tiny" / "embeddings"
    seen = {name: read_meta(folder / name / "slides.parquet")["saw"] for name in ("mean", "slpd", "dino")}
    assert seen == {"mean": "none", "slpd": "all", "dino": "all"}


def test_the_page_and_the_exported_tables_tell_of_every_pair_and_representation(finished: Path) -> None:
    results = finished / "results" / "tiny"
    html = (results / "report.html").read_text(encoding="utf-8")
    pairs = read_table(results / "benchmark" / "comparisons.parquet").to_pylist()
    assert {(row["first"], row["second"]) for row in pairs} == {("slpd", "dino"), ("slpd", "mean"), ("dino", "mean")}
    for row in pairs:
        for head in ("knn", "logistic"):
            assert f'data-pair="subtype|{head}|{row["first"]}|{row["second"]}"' in html
    for name in ("results.csv", "results.md", "results.tex"):
        text = (results / "benchmark" / name).read_text(encoding="utf-8")
        assert all(representation in text for representation in ("mean", "slpd", "dino"))


def test_no_patient_is_in_two_parts_of_a_fold(finished: Path) -> None:
    splits = read_table(finished / "results" / "tiny" / "benchmark" / "subtype" / "splits.parquet").to_pylist()
    parts: dict[tuple, set] = {}
    for row in splits:
        parts.setdefault((row["budget"], row["repeat"], row["fold"], row["patient_id"]), set()).add(row["part"])
    assert parts and all(len(part) == 1 for part in parts.values())
