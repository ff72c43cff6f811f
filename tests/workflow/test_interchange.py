"""The workflow on features of another tool, without any slide: from their files to embeddings, and out again."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from tests.workflow.tiny import CONFIG, changed, planned, snakemake, write_config
from workflow_scripts import export_cohort
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_store import load_features
from workflow_scripts.core.tables import read_table

SLIDES = [f"s{number}" for number in range(3)]
FEATURES = "results/tiny/features/lite0"


def write_source(path: Path, seed: int, dim: int = 8) -> None:
    """A TRIDENT file of 16 x 16 patches of 32 um less every tenth, of two kinds of tissue."""
    rng = np.random.default_rng(seed)
    ys, xs = np.nonzero(rng.random((16, 16)) > 0.1)
    values = rng.normal(size=(len(xs), dim)) + 4 * (xs > 7)[:, None] * (1 + seed % 2)
    with h5py.File(path, "w") as file:
        file["features"] = values.astype(np.float32)
        file["coords"] = np.stack([xs * 64, ys * 64], axis=1)
        told = {"patch_size": 64, "patch_size_level0": 64, "level0_magnification": 20, "target_magnification": 20}
        for key, value in {**told, "overlap": 0}.items():
            file["coords"].attrs[key] = value


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slides of which there are features alone, one of them without even these."""
    folder = tmp_path_factory.mktemp("interchange")
    (folder / "theirs").mkdir()
    lines = ["slide_id,path,patient_id,mpp,subtype"]
    for seed, name in enumerate(SLIDES):
        write_source(folder / f"theirs/{name}.h5", seed)
        lines.append(f"{name},gone/{name}.svs,{name},0.5,{('glandular', 'solid')[seed % 2]}")
    lines.append("lost,gone/lost.svs,lost,0.5,solid")
    (folder / "slides.csv").write_text("\n".join(lines) + "\n")
    config = changed(CONFIG, "source", {"kind": "trident", "folder": "theirs"})
    config = changed(changed(config, "pretrain.defaults.rounds", 1), "pretrain.runs", {"slpd": {}, "dino": None})
    write_config(folder, config)
    result = snakemake(folder, "embed", "export")
    assert result.returncode == 0, result.stdout[-6000:]
    return folder


def test_slides_with_features_alone_reach_embeddings(project: Path) -> None:
    rows = {row["slide_id"]: row for row in read_table(project / "results/tiny/slides.parquet").to_pylist()}
    assert [name for name, row in rows.items() if row["status"] == "ok"] == SLIDES
    assert rows["lost"]["reason"] == "no_features"
    assert all(rows[name]["n_regions"] == 16 and rows[name]["width"] for name in SLIDES)
    for representation in ("mean", "slpd"):
        table = read_table(project / f"results/tiny/embeddings/{representation}/slides.parquet")
        assert table["slide_id"].to_pylist() == SLIDES
        assert np.isfinite(np.array(table["vector"].to_pylist())).all()


def test_export_gives_the_files_content_back(project: Path) -> None:
    store = load_features(project / FEATURES, SLIDES)
    assert store.read_ok.sum() == sum(len(_content(project / f"theirs/{name}.h5")) for name in SLIDES)
    for name in SLIDES:
        exported = project / f"results/tiny/export/lite0/trident/features_lite0/{name}.h5"
        assert _content(exported) == _content(project / f"theirs/{name}.h5")


def test_the_command_writes_what_the_target_does(project: Path, tmp_path: Path) -> None:
    export_cohort.main([str(project / "results/tiny"), "--output", str(tmp_path)])
    for name in SLIDES:
        file = f"trident/features_lite0/{name}.h5"
        assert _content(tmp_path / file) == _content(project / "results/tiny/export/lite0" / file)
    with pytest.raises(UserError, match="features of lite0; give one of them"):
        export_cohort.main([str(project / "results/tiny"), "--encoder", "uni"])
    with pytest.raises(UserError, match="holds no features"):
        export_cohort.main([str(tmp_path)])


def _content(path: Path) -> dict[tuple[int, int], bytes]:
    """Features in half precision by place."""
    with h5py.File(path) as file:
        values = file["features"][:].astype(np.float16)
        return {tuple(place): row.tobytes() for place, row in zip(file["coords"][:].tolist(), values, strict=True)}


def test_nothing_is_computed_twice_and_an_edited_file_reruns_its_slide(project: Path) -> None:
    assert planned(project, "embed", "export") == {}
    write_source(project / "theirs/s2.h5", 9)
    jobs = planned(project, "features")
    assert jobs == {"features": 1, "import_features": 1, "index_features": 1, "summarise_cohort": 1}


def test_no_file_at_all_is_told_before_anything_runs(project: Path) -> None:
    path = project / "config" / "config.yaml"
    before = path.read_text()
    write_config(project, changed(yaml.safe_load(before), "source.folder", "elsewhere"))
    result = snakemake(project, "-n", "features")
    path.write_text(before)
    assert result.returncode != 0
    assert "elsewhere/s0.h5" in result.stdout and "source.folder" in result.stdout
