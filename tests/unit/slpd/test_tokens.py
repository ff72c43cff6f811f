"""Tokens in batches: every placement gives the bits that numpy gives from the arrays as written."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from workflow_scripts.core.feature_file import FEATURE_PARQUET, feature_schema, slide_file
from workflow_scripts.core.feature_store import load_features
from workflow_scripts.core.tables import table_writer
from workflow_scripts.core.tensors import to_column
from workflow_scripts.slpd import tokens as module
from workflow_scripts.slpd.ring import Ring
from workflow_scripts.slpd.tokens import InMemory, TokenData, choose_placement, open_tokens

GRID, DIM = 4, 6
COUNTS = {"a": 40, "empty": 0, "b": 3, "c": 33}
REGIONS = 76
CPU = torch.device("cpu")
DEVICES = [
    pytest.param(CPU, id="cpu"),
    pytest.param(
        torch.device("cuda"), id="cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    ),
]
PLACEMENTS = ["auto", "device", "pinned", "mapped"]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Folder of features with every bit pattern of a half float, and the arrays written, slides in order."""
    folder, schema, rng = tmp_path_factory.mktemp("features"), feature_schema(GRID, DIM), np.random.default_rng(3)
    arrays = {
        "features": rng.integers(0, 2**16, (REGIONS, GRID, GRID, DIM), dtype=np.uint16).view(np.float16),
        "read_ok": rng.random((REGIONS, GRID, GRID)) < 0.8,
        "tissue": np.maximum(0, rng.random((REGIONS, GRID, GRID), dtype=np.float32) - 0.5),
        "colour": np.zeros((REGIONS, GRID, GRID, 6), np.float32),
    }
    arrays["tissue"][[5, 42]] = 0  # nothing but glass
    first = 0
    for name, count in COUNTS.items():
        with table_writer(slide_file(folder, name), schema, **FEATURE_PARQUET) as writer:
            for start in range(first, first + count, 16):
                rows = slice(start, min(start + 16, first + count))
                columns = {key: to_column(values[rows], schema.field(key)) for key, values in arrays.items()}
                number = rows.stop - rows.start
                columns |= {"slide_id": [name] * number, "region_id": [f"{name} {i}" for i in range(number)]}
                writer.write(pa.table({key: columns[key] for key in schema.names}, schema=schema))
        first += count
    return folder, arrays


def _bits(values: torch.Tensor) -> np.ndarray:
    return values.cpu().view(torch.int16).numpy().view(np.uint16)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_every_placement_gives_the_bits_that_were_written(cohort, placement, device):
    folder, arrays = cohort
    store, data = open_tokens(folder, list(COUNTS), device, placement=placement)
    expected = arrays["features"].reshape(REGIONS, GRID * GRID, DIM).view(np.uint16)
    flags = arrays["read_ok"].reshape(REGIONS, -1)
    assert (len(data), data.grid, data.dim, data.device.type) == (REGIONS, GRID, DIM, device.type)
    assert (store.slide_ids, store.counts.tolist()) == (["a", "b", "c"], [40, 3, 33])
    assert data.valid.device.type == "cpu"
    np.testing.assert_array_equal(data.valid.numpy(), flags)
    for seed in range(3):
        index = torch.from_numpy(np.random.default_rng(seed).integers(0, REGIONS, 50))
        found, valid = data.take(index)
        assert (found.dtype, found.device.type, valid.device.type) == (torch.float16, device.type, device.type)
        np.testing.assert_array_equal(_bits(found), expected[index])
        np.testing.assert_array_equal(valid.cpu().numpy(), flags[index])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("size", [1, 30, 76, 100])
def test_batches_are_all_regions_in_order(cohort, placement, device, size):
    folder, arrays = cohort
    _, data = open_tokens(folder, list(COUNTS), device, placement=placement)
    parts = list(data.batches(size))
    assert [len(part) for part, _ in parts[:-1]] == [size] * (len(parts) - 1)
    found, valid = torch.cat([part for part, _ in parts]), torch.cat([flags for _, flags in parts])
    assert _bits(found).tobytes() == arrays["features"].tobytes()
    assert valid.cpu().numpy().tobytes() == arrays["read_ok"].tobytes()


def test_on_a_cpu_resident_tokens_are_not_copied():
    tokens = np.random.default_rng(0).normal(size=(7, 2, 2, 3)).astype(np.float16)
    data = TokenData.from_arrays(tokens, np.ones((7, 2, 2), bool), CPU)
    tokens[4] = 9  # seen through the data, so there is one array
    assert (data.take(torch.tensor([4]))[0] == 9).all()
    assert (next(data.batches(7))[0][4] == 9).all()


def test_a_device_may_be_named_with_its_number_or_without():
    rows = torch.arange(24.0).reshape(3, 4, 2)
    source = InMemory(rows, torch.device("cpu:0"))  # equal to no tensor's device, as "cuda" is not
    assert torch.equal(source.take(torch.tensor([2, 0])), rows[[2, 0]])
    assert source.span(1, 3).data_ptr() == rows[1].data_ptr()


@pytest.mark.parametrize("device", DEVICES)
def test_arrays_give_the_same_as_files(cohort, device):
    folder, arrays = cohort
    index = torch.tensor([75, 0, 40, 40, 12])
    _, filed = open_tokens(folder, list(COUNTS), device)
    given = TokenData.from_arrays(arrays["features"], arrays["read_ok"], device)
    for one, other in zip(filed.take(index), given.take(index), strict=True):
        assert one.cpu().numpy().tobytes() == other.cpu().numpy().tobytes()
    assert not given.all_valid
    assert TokenData.from_arrays(arrays["features"], np.ones_like(arrays["read_ok"]), device).all_valid


def test_glass_is_hidden_but_never_a_whole_region(cohort):
    folder, arrays = cohort
    _, data = open_tokens(folder, list(COUNTS), CPU, mask_glass=True)
    for region in range(REGIONS):
        readable = arrays["read_ok"][region]
        tissue = np.array([[t > 0 and ok for t, ok in zip(*row, strict=True)]
                           for row in zip(arrays["tissue"][region], readable, strict=True)])  # fmt: skip
        expected = tissue if tissue.any() else readable
        assert data.valid[region].tolist() == expected.ravel().tolist()
    assert (data.valid[[5, 42]].numpy() == arrays["read_ok"][[5, 42]].reshape(2, -1)).all()
    assert torch.equal(open_tokens(folder, list(COUNTS), CPU)[1].valid, torch.from_numpy(arrays["read_ok"]).flatten(1))


def test_tissue_of_tokens_is_there_where_it_is_asked_for(cohort):
    folder, arrays = cohort
    _, data = open_tokens(folder, list(COUNTS), CPU, with_tissue=True)
    expected = torch.from_numpy(arrays["tissue"] * arrays["read_ok"]).flatten(1)
    assert data.tissue is not None and torch.equal(data.tissue, expected)
    assert open_tokens(folder, list(COUNTS), CPU)[1].tissue is None


def test_features_that_fit_are_in_memory_and_others_mapped(cohort, monkeypatch):
    assert choose_placement(1000, CPU) == "device"
    monkeypatch.setattr(module, "available_memory", lambda: 10_000)
    assert choose_placement(6_000, CPU) == "device"
    assert choose_placement(6_001, CPU) == "mapped"
    _, data = open_tokens(cohort[0], list(COUNTS), CPU)
    assert isinstance(data.source, module.Mapped)


def test_mapped_tokens_are_not_read_before_they_are_taken(cohort):
    store = load_features(cohort[0], ["a", "b"])
    assert not {"tokens", "tissue"} & set(vars(store))
    _, data = open_tokens(cohort[0], ["a", "b"], CPU, placement="mapped")
    data.take(torch.tensor([0, 41]))
    assert "tokens" not in vars(data.source.store)


@pytest.mark.parametrize("rows", [1, 7, 16, 40, 64, 100])
def test_any_block_of_regions_is_read_by_itself(cohort, rows):
    """Blocks that begin and end within row groups and slides, as they go to a GPU."""
    folder, arrays = cohort
    store = load_features(folder, list(COUNTS))
    tokens = torch.zeros(REGIONS, GRID * GRID, DIM, dtype=torch.float16)
    Ring(rows, tokens, pin=False).send(tokens, store.read_into)
    assert _bits(tokens).tobytes() == arrays["features"].tobytes()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("placement", ["device", "pinned", "mapped"])
def test_the_host_does_not_wait_for_the_gpu(cohort, placement):
    folder, _ = cohort
    _, data = open_tokens(folder, list(COUNTS), torch.device("cuda"), placement=placement)
    data.take(torch.arange(8))
    torch.cuda.set_sync_debug_mode("error")
    try:
        data.take(torch.tensor([3, 1, 70]))
        list(data.batches(32))
    finally:
        torch.cuda.set_sync_debug_mode("default")
