"""The workflow on real slides and every kind of broken file, in one cohort."""

import csv
from pathlib import Path

import pytest

from tests.workflow.tiny import CONFIG, changed, snakemake, write_config
from workflow_scripts.core.tables import read_table

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
    "blank_glass_no_tissue.tiff": "no_tissue",
    "corrupt_one_tile.svs": "",
    "appmag40_contradicts_mpp0.499.svs": "",
    "mpp_decimal_comma.svs": "",
    "wrong_ext_svs_named.jpg": "",
    "wrong_ext_svs_named.tiff": "",
}


def real_manifest(data: Path, bad: Path, path: Path) -> None:
    """Eight lymph node slides with labels, two other slides, a fluorescence slide, and the broken files."""
    rows = []
    composed = data / "composed" / "ln_c16_cc0"
    with (composed / "labels.csv").open(newline="") as file:
        for record in csv.DictReader(file):
            name = next(value for key, value in record.items() if key.startswith("slide"))
            file_path = next(p for p in composed.glob(f"{Path(name).stem}.*") if p.suffix in (".svs", ".tiff"))
            rows.append((file_path.stem, file_path, "", record["label"]))
    rows.append(("cmu", data / "slides" / "CMU-1-Small-Region.svs", "", ""))
    rows.append(("tcga", data / "slides" / "tcga-cr-7395-01a-01-ts1.svs", "0.5", ""))
    rows.append(("fluorescence", data / "slides" / "test3-TRITC-2-560.ndpi", "", ""))
    for number, name in enumerate(BAD):
        file_path = bad / name if (bad / name).exists() else data / "bad" / name
        rows.append((f"bad_{number:02d}", file_path, "", ""))
    lines = ["slide_id,path,mpp,label"] + [",".join(map(str, row)) for row in rows]
    path.write_text("\n".join(lines) + "\n")


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
    found = {Path(row["path"]).name: row["reason"] or "" for row in rows.values()}
    assert {name: found[name] for name in BAD} == BAD
    assert rows["fluorescence"]["reason"] == "not_brightfield"
    assert all(row["detail"] for row in rows.values() if row["status"] == "excluded")
    assert rows["tcga"]["status"] == "ok" and rows["tcga"]["mpp_source"] == "manifest"
    good = [row for name, row in rows.items() if name.startswith("ln_") or name == "cmu"]
    assert len(good) == 9 and all(row["status"] == "ok" and row["n_regions"] > 0 for row in good)


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
