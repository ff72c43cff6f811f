"""What takes long is not done again where a run changes nothing that it depends on: content decides, not time."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.faults.round_commands import content_of
from tests.workflow.tiny import CONFIG, changed, copy_project, planned, snakemake, write_config
from workflow_scripts.core.feature_file import FEATURE_PARQUET
from workflow_scripts.core.tables import read_meta, table_writer
from workflow_scripts.core.tensors import from_column, to_column

RESULTS = Path("results/tiny")
LOGS = ("pretrain/slpd/distill_01", "pretrain/slpd/distill_02", "pretrain/dino/distill_01", "pretrain/dino/distill_02")
LOGS += ("pretrain/slpd/cluster_01", "pretrain/slpd/cluster_02", "embed/slpd", "embed/dino")


def logs(project: Path) -> dict[str, str]:
    """Logs of the jobs that keep their results, by name."""
    (warm_up,) = (project / RESULTS / "logs/pretrain").glob("warm_up_*.log")
    files = {"warm_up": warm_up} | {name: project / RESULTS / f"logs/{name}.log" for name in LOGS}
    return {name: file.read_text() for name, file in files.items()}


def contents(project: Path) -> dict[str, object]:
    """Everything that was learnt and what came of it."""
    folders = [project / RESULTS / name for name in ("pretrain", "embeddings", "benchmark")]
    files = [file for folder in folders for file in folder.rglob("*.*") if ".kept" not in file.parts]
    return {str(file.relative_to(project)): content_of(file) for file in files if file.is_file()}


@pytest.fixture(scope="module")
def dealt(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished project that was run again with its slides dealt to three shards in place of two."""
    project = copy_project(finished, tmp_path_factory.mktemp("kept") / "tiny")
    write_config(project, changed(CONFIG, "features.shards", 3))
    jobs = planned(project)
    assert (jobs["extract_features"], jobs["warm_up"], jobs["distill_round"], jobs["cluster_regions"]) == (3, 1, 4, 2)
    result = snakemake(project)
    assert result.returncode == 0, result.stdout[-3000:]
    return project


def test_other_shards_of_the_same_features_train_nothing_again(dealt: Path, finished: Path) -> None:
    for name, text in logs(dealt).items():
        assert text.count("\n") == 1 and "of the last result, so that is taken back; to have it made anew" in text, name
    found = contents(dealt)
    assert len(found) > 30 and found == contents(finished)
    assert planned(dealt) == {}


def test_the_line_says_what_to_delete(dealt: Path, tmp_path: Path) -> None:
    project = copy_project(dealt, tmp_path / "tiny")
    told = logs(project)["pretrain/slpd/distill_02"]
    folder = told.strip().rpartition("delete ")[2]
    for file in (project / folder).iterdir():
        file.unlink()
    target = f"{folder.removesuffix('.kept')}state.safetensors"
    result = snakemake(project, target, "--forcerun", target)
    assert result.returncode == 0, result.stdout[-3000:]
    assert "training epochs" in logs(project)["pretrain/slpd/distill_02"]
    assert content_of(project / target) == content_of(dealt / target)


def test_a_changed_feature_trains_again(finished: Path, tmp_path: Path) -> None:
    """One value of one slide, of which neither the index nor the notes of the file say anything."""
    project = copy_project(finished, tmp_path / "tiny")
    write_config(project, changed(CONFIG, "features.shards", 3))
    file = sorted((project / RESULTS / "features/lite0/slides").glob("demo_*.parquet"))[0]
    table, meta = pq.read_table(file), read_meta(file)
    values = from_column(table, "features").copy()
    values[0, 0, 0, 0] += np.float16(1)
    place = table.schema.get_field_index("features")
    table = table.set_column(place, table.schema.field(place), to_column(values, table.schema.field(place)))
    with table_writer(file, table.schema, **FEATURE_PARQUET) as writer:
        writer.meta = meta
        writer.write(pa.table(table))
    result = snakemake(project, "pretrain")
    assert result.returncode == 0, result.stdout[-3000:]
    found = logs(project)
    trained = {name for name, text in found.items() if "training epochs" in text}
    assert trained == {"warm_up", *(name for name in LOGS if "distill" in name)}
    assert not any("taken back" in text for name, text in found.items() if "embed" not in name)
    state = RESULTS / "pretrain/slpd/round_02/state.safetensors"
    assert content_of(project / state) != content_of(finished / state)
