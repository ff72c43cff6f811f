import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from workflow_scripts.assign_neighbours import main
from workflow_scripts.config import Neighbours
from workflow_scripts.core.tables import read_table


def _assign(folder, vectors: dict[str, np.ndarray], patients: dict[str, str], settings: Neighbours) -> list[dict]:
    rows = [(slide, number, row) for slide, part in vectors.items() for number, row in enumerate(part)]
    table = {
        "slide_id": pa.array([row[0] for row in rows], pa.string()),
        "prototype": pa.array([row[1] for row in rows], pa.int32()),
        "n_regions": pa.array([9 for _ in rows], pa.int64()),
        "vector": pa.array([row[2].tolist() for row in rows], pa.list_(pa.float32())),
    }
    pa.parquet.write_table(pa.table(table), folder / "prototypes.parquet")
    slides = {"slide_id": list(patients), "patient_id": list(patients.values())}
    pa.parquet.write_table(pa.table(slides), folder / "slides.parquet")
    names = {"slides": "slides", "prototypes": "prototypes", "neighbours": "neighbours"}
    files = [part for key, name in names.items() for part in (f"--{key}", str(folder / f"{name}.parquet"))]
    main(["--config", settings.model_dump_json(), "--threads", "2", "--log", str(folder / "log"), *files])
    return read_table(folder / "neighbours.parquet").to_pylist()


@pytest.fixture
def three() -> dict[str, np.ndarray]:
    """Slides a and b are alike with their prototypes swapped, c is like neither."""
    a = np.eye(4, dtype=np.float32)[:2]
    return {"a": a, "b": 3 * a[::-1], "c": (np.eye(4)[2:] + 0.1 * np.eye(4)[0]).astype(np.float32)}


def test_nearest_slide_its_similarity_and_the_matching(tmp_path, three):
    rows = _assign(tmp_path, three, {"a": "p", "b": "q", "c": "r", "unclustered": "s"}, Neighbours())
    assert [(row["slide_id"], row["rank"], row["neighbour_id"]) for row in rows[:2]] == [("a", 1, "b"), ("b", 1, "a")]
    assert [row["matching"] for row in rows[:2]] == [[1, 0], [1, 0]]
    assert rows[0]["similarity"] == 2
    assert rows[2]["neighbour_id"] == "a"  # as near as b
    assert rows[2]["similarity"] == pytest.approx(0.1 / 1.01**0.5)
    assert "same patient" not in (tmp_path / "log").read_text()


def test_neighbours_of_the_same_patient_are_told(tmp_path, three):
    patients = {"a": "p", "b": "p", "c": "r"}
    _assign(tmp_path, three, patients, Neighbours())
    log = (tmp_path / "log").read_text()
    assert "2 of 3 neighbours" in log
    assert "neighbours.exclude_same_patient" in log
    rows = _assign(tmp_path, three, patients, Neighbours(exclude_same_patient=True))
    assert [row["neighbour_id"] for row in rows] == ["c", "c", "a"]
    assert "same patient" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("slides", [[], ["a"], [""]])  # "": the cohort's prototypes
def test_no_slide_or_one_gives_an_empty_table(tmp_path, three, slides):
    assert _assign(tmp_path, {slide: three["a"] for slide in slides}, {"a": "p", "b": "q"}, Neighbours()) == []
