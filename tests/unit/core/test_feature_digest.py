"""The digest of features: what is learnt from counts, and nothing else."""

import os

import numpy as np
import pyarrow as pa
import pytest

from workflow_scripts.core import feature_digest
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_digest import features_digest
from workflow_scripts.core.feature_file import FEATURE_PARQUET, feature_schema, slide_file
from workflow_scripts.core.tables import table_writer
from workflow_scripts.core.tensors import to_column

GRID, DIM, COUNT = 3, 5, 7
SCHEMA = feature_schema(GRID, DIM)
COMPRESSED = {"compression": "zstd"}


def arrays(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "features": rng.normal(size=(COUNT, GRID, GRID, DIM)).astype(np.float16),
        "read_ok": rng.random((COUNT, GRID, GRID)) < 0.8,
        "tissue": rng.random((COUNT, GRID, GRID)).astype(np.float32),
        "colour": rng.random((COUNT, GRID, GRID, 6)).astype(np.float32),
    }


def write(folder, slide, values, pieces=1, options=FEATURE_PARQUET, note="", prefix=""):
    """A slide's feature file, in row groups."""
    with table_writer(slide_file(folder, slide), SCHEMA, **options) as writer:
        writer.meta = {"fingerprint": note}
        for part in np.array_split(np.arange(COUNT), pieces):
            columns = {name: to_column(value[part], SCHEMA.field(name)) for name, value in values.items()}
            columns |= {"slide_id": [slide] * len(part), "region_id": [f"{prefix}{slide}_{i}" for i in part]}
            writer.write(pa.table({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA))


@pytest.fixture
def folder(tmp_path):
    for seed, slide in enumerate("abc"):
        write(tmp_path, slide, arrays(seed))
    return tmp_path


def test_written_otherwise_with_the_same_content_it_is_the_same(folder):
    base = features_digest(folder, ["a", "b"])
    (folder / "shard_0.parquet").write_bytes(b"an index")
    os.utime(slide_file(folder, "a"))
    assert features_digest(folder, ["a", "b"]) == base
    for changes in ({"pieces": 3}, {"options": COMPRESSED, "pieces": 2}, {"note": "encoded anew"}):
        write(folder, "a", arrays(0), **changes)
        assert features_digest(folder, ["a", "b"]) == base
    write(folder, "a", arrays(0) | {"colour": arrays(5)["colour"]})  # which no training reads
    assert features_digest(folder, ["a", "b"]) == base


@pytest.mark.parametrize("name", ["features", "read_ok", "tissue"])
def test_one_changed_value_is_seen(folder, name):
    """At the last region, with neither the file's size nor its place changed."""
    base, values = features_digest(folder, ["a", "b"]), arrays(1)
    last = values[name][-1, -1, -1]
    values[name][-1, -1, -1] = ~last if name == "read_ok" else last + 1
    write(folder, "b", values)
    assert features_digest(folder, ["a", "b"]) != base


def test_slides_their_order_and_region_ids_are_seen(folder):
    base = features_digest(folder, ["a", "b"])
    assert len({base, *(features_digest(folder, list(slides)) for slides in ("ba", "a", "ac", "abc"))}) == 5
    write(folder, "b", arrays(1), prefix="x")
    assert features_digest(folder, ["a", "b"]) != base


def test_a_file_is_read_once_as_long_as_it_stays_as_it_is(folder, monkeypatch):
    read = []
    original = feature_digest.slide_features_digest
    monkeypatch.setattr(feature_digest, "slide_features_digest", lambda path: read.append(path.stem) or original(path))
    base = features_digest(folder, ["a", "b"])
    assert features_digest(folder, ["a", "b"]) == base and sorted(read) == ["a", "b"]
    features_digest(folder, ["a", "c"])
    assert features_digest(folder, ["a", "b"]) == base and sorted(read) == ["a", "b", "c"]
    # edited in place, and its time set back: size, time and number of the file are as they were
    file = slide_file(folder, "b")
    before = file.stat()
    place = file.read_bytes().index(arrays(1)["features"][0].tobytes())
    with file.open("rb+") as opened:
        opened.seek(place)
        opened.write(b"\x01\x02")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert features_digest(folder, ["a", "b"]) != base and sorted(read) == ["a", "b", "b", "c"]


def test_what_is_stored_of_them_may_be_missing_or_damaged(folder):
    base = features_digest(folder, ["a"])
    (folder / ".digests.json").write_text("{half")
    assert features_digest(folder, ["a"]) == base
    (folder / ".digests.json").unlink()
    assert features_digest(folder, ["a"]) == base


def test_a_missing_file_is_told(folder):
    with pytest.raises(UserError, match=r"slides/d\.parquet does not exist, .*--forcerun extract_features"):
        features_digest(folder, ["a", "d"])
