"""The targets that follow training: groups of prototypes, QuPath, AnnData and figures, on a finished cohort."""

import json
from pathlib import Path

import pytest

from tests.workflow.tiny import CONFIG, changed, copy_project, planned, snakemake, write_config
from workflow_scripts.core.tables import read_meta, read_table

TARGETS = ("atlas", "qupath", "anndata", "figures")
pytestmark = pytest.mark.slow


def test_what_follows_training(finished: Path, tmp_path: Path) -> None:
    pytest.importorskip("anndata", reason="envs/requirements-anndata.txt is not installed")
    project = copy_project(finished, tmp_path / "tiny")
    write_config(project, CONFIG)
    jobs = {"export_qupath": 1, "export_anndata": 3, "draw_figures": 1}  # the report has asked for groups before
    wanted = {**jobs, "qupath": 1, "anndata": 1, "figures": 1}
    assert planned(project, *TARGETS) == wanted  # slpd, dino and mean; nothing is trained again
    result = snakemake(project, *TARGETS)
    assert result.returncode == 0, result.stdout[-3000:]
    folder = project / "results/tiny"
    meta, atlas = (read(folder / "pretrain/slpd/atlas.parquet") for read in (read_meta, read_table))
    clustered = read_table(folder / "pretrain/slpd/round_02/assignments.parquet")
    assert sum(atlas["n_regions"].to_pylist()) == meta["n_regions"] == len(clustered)
    assert meta["round"] == 2 and meta["before"]["round"] == 1 and 1 < meta["groups"] <= 8
    assert {one["task"] for one in atlas["classes"][0].as_py()} == {"subtype"}
    index = read_table(folder / "qupath/index.parquet").to_pylist()
    tiles = json.loads((folder / "qupath" / index[0]["file"]).read_text())["features"]
    assert len(tiles) == index[0]["n_regions"] and "slide: subtype: solid" in tiles[0]["properties"]["measurements"]
    files = {path.name for path in (folder / "export/anndata").iterdir()}
    assert files == {f"{name}_{of}.h5ad" for name in ("slpd", "dino", "mean") for of in ("regions", "slides")}
    assert {"atlas.pdf", "captions.md", "prototype_maps.svg", "results_subtype.png"} <= {
        path.name for path in (folder / "figures").iterdir()
    }
    assert planned(project, *TARGETS) == {}
    write_config(project, changed(CONFIG, "report.groups", 3))
    assert set(planned(project, *TARGETS)) - set(TARGETS) == {*jobs, "group_prototypes", "describe_groups"}
