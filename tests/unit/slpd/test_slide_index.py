"""Search over the cohort's sets of prototypes, against scipy's solution of every pair and the rounds' search."""

import json

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from workflow_scripts.config import Neighbours, PretrainRun
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_table, write_table
from workflow_scripts.slpd.neighbours import find_neighbours
from workflow_scripts.slpd.prototypes import SlidePrototypes
from workflow_scripts.slpd.round_tables import prototype_table
from workflow_scripts.slpd.slide_index import SlideIndex

S, D = 30, 7
NAMES = [f"s{i:02d}" for i in range(S)]
OF_MODEL = {"model_sha256": "ab" * 32}


def sets(m: int, seed: int = 0, n: int = S) -> np.ndarray:
    """Float32 `[n, m, D]`, of various lengths."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, m, D)) * rng.uniform(0.5, 2, size=(n, m, 1))).astype(np.float32)


def by_scipy(own: np.ndarray, others: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Similarity and matching of a slide with each of the others."""

    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.linalg.norm(x.astype(np.float64), axis=-1, keepdims=True)

    found = []
    for other in others:
        cosines = unit(own) @ unit(other).T
        rows, columns = linear_sum_assignment(-cosines)
        found.append((cosines[rows, columns].sum(), columns))
    return found


def write_model(folder, vectors: np.ndarray, **loss: float) -> None:
    """Config and tables of a model of S slides."""
    folder.mkdir(exist_ok=True)
    run = PretrainRun.model_validate({"prototypes": {"count": vectors.shape[1]}, "loss": loss})
    facts = {"architecture": {}, "settings": run.model_dump(mode="json"), **OF_MODEL}
    (folder / "config.json").write_text(json.dumps(facts))
    found = SlidePrototypes(vectors, np.ones(len(vectors), dtype=bool), np.empty(0, dtype=np.int64), np.empty(0))
    write_table(
        folder / "prototypes.parquet", prototype_table(found, NAMES, np.empty(0, int)), schemas.PROTOTYPES, OF_MODEL
    )


@pytest.mark.parametrize("m", [1, 2, 4, 6])
def test_the_nearest_are_those_of_every_pair_solved_on_its_own(m):
    cohort, own = sets(m), sets(m, 1, 1)[0]
    found = SlideIndex(NAMES, cohort).nearest(own, 5)
    plain = by_scipy(own, cohort)
    order = sorted(range(S), key=lambda i: -plain[i][0])[:5]
    assert [match.slide_id for match in found] == [NAMES[i] for i in order]
    for match, i in zip(found, order, strict=True):
        assert match.similarity == pytest.approx(plain[i][0], abs=1e-6)
        assert np.array_equal(match.matching, plain[i][1])


@pytest.mark.parametrize("matching", ["optimal", "argmax"])
def test_they_are_those_that_the_rounds_would_give_the_slide(matching):
    cohort, own = sets(4), sets(4, 1, 1)
    settings = Neighbours.model_validate({"count": 6, "matching": matching})
    together = find_neighbours(np.concatenate([own, cohort]), np.ones(S + 1, dtype=bool), settings)
    found = SlideIndex(NAMES, cohort, matching).nearest(own[0], 6)
    assert [match.slide_id for match in found] == [NAMES[i - 1] for i in together.index[0]]
    assert np.array_equal(np.float32([match.similarity for match in found]), together.similarity[0])
    assert np.array_equal([match.matching for match in found], together.matching[0])


def test_a_slide_of_the_cohort_is_not_its_own_neighbour_and_others_can_be_left_out():
    cohort = sets(3)
    index = SlideIndex(NAMES, cohort)
    named = index.nearest("s04", S)
    assert len(named) == S - 1 and "s04" not in [match.slide_id for match in named]
    itself = index.nearest(cohort[4], 1)[0]
    assert itself.slide_id == "s04" and itself.similarity == pytest.approx(3) and itself.matching.tolist() == [0, 1, 2]
    left = [match.slide_id for match in index.nearest("s04", S, leave_out={named[0].slide_id})]
    assert left == [match.slide_id for match in named[1:]]


def test_equal_slides_rank_by_their_place():
    cohort = np.repeat(sets(2, 3, 1), S, axis=0)
    assert [match.slide_id for match in SlideIndex(NAMES, cohort).nearest(cohort[0], 4)] == NAMES[:4]


def test_many_slides_are_compared_in_parts(monkeypatch):
    cohort, own = sets(4), sets(4, 1, 1)[0]
    whole, regions = SlideIndex(NAMES, cohort).nearest(own, S), sets(1, 5, 50)[:, 0]
    nearest = SlideIndex(NAMES, cohort).nearest_prototypes(regions)
    monkeypatch.setattr("workflow_scripts.slpd.slide_index._BYTES", 2000)
    for one, other in zip(whole, SlideIndex(NAMES, cohort).nearest(own, S), strict=True):
        assert one[:2] == other[:2] and np.array_equal(one.matching, other.matching)
    for one, other in zip(nearest, SlideIndex(NAMES, cohort).nearest_prototypes(regions), strict=True):
        assert np.array_equal(one, other)


def test_a_regions_nearest_prototype_has_the_largest_cosine_of_all():
    cohort, regions = sets(4), sets(1, 5, 50)[:, 0]
    found = SlideIndex(NAMES, cohort).nearest_prototypes(regions)
    flat = cohort.reshape(-1, D).astype(np.float64)
    cosines = regions @ flat.T / np.linalg.norm(regions, axis=1)[:, None] / np.linalg.norm(flat, axis=1)
    best = cosines.argmax(axis=1)
    assert np.array_equal(found.slide, best // 4) and np.array_equal(found.prototype, best % 4)
    np.testing.assert_allclose(found.similarity, cosines.max(axis=1), atol=1e-6)
    assert found.similarity.dtype == np.float32


@pytest.mark.parametrize(("part", "rows"), [(4096, 2**24), (7, 300)])
def test_the_nearest_prototype_is_that_of_float64_among_those_that_float32_cannot_tell_apart(monkeypatch, part, rows):
    rng = np.random.default_rng(0)
    cohort = sets(4)
    cohort[7:27] = cohort[7] * (1 + rng.uniform(-1e-6, 1e-6, size=(20, 4, D)))
    cohort[28:] = cohort[27]  # equal ones
    regions = np.concatenate([cohort.reshape(-1, D) + 1e-3 * sets(1, 2, 4 * S)[:, 0], cohort[27], np.zeros((1, D))])
    regions = regions.astype(np.float32)
    monkeypatch.setattr("workflow_scripts.slpd.slide_index._PROTOTYPES", part)
    monkeypatch.setattr("workflow_scripts.slpd.slide_index._BYTES", rows)
    found = SlideIndex(NAMES, cohort).nearest_prototypes(regions)
    flat = cohort.reshape(-1, D).astype(np.float64)
    flat = (flat / np.linalg.norm(flat, axis=1, keepdims=True)).astype(np.float32).astype(np.float64)
    lengths = np.linalg.norm(regions.astype(np.float64), axis=1, keepdims=True)
    cosines = np.round(regions / np.where(lengths > 0, lengths, 1) @ flat.T, 12)
    rough = regions @ flat.astype(np.float32).T
    assert (rough.argmax(axis=1) != cosines.argmax(axis=1)).sum() > 5  # float32 alone would err
    assert np.array_equal(found.slide * 4 + found.prototype, cosines.argmax(axis=1))
    assert np.array_equal(found.similarity, cosines.max(axis=1).astype(np.float32))


def test_a_model_is_loaded(tmp_path):
    cohort = sets(4)
    write_model(tmp_path, cohort)
    index = SlideIndex.load(tmp_path)
    assert index.slide_ids == NAMES and np.array_equal(index.sets, cohort)


def test_what_cannot_be_searched_is_told_in_a_sentence(tmp_path):
    index = SlideIndex(NAMES, sets(4))
    with pytest.raises(UserError, match=r"the prototypes are \[3, 7\]; this model compares \[4, 7\]"):
        index.nearest(sets(3)[0])
    with pytest.raises(UserError, match="slide nobody is none of the cohort's 30 slides"):
        index.nearest("nobody")
    with pytest.raises(UserError, match="too few regions has no prototypes"):
        index.nearest(None)
    with pytest.raises(UserError, match="the slide's prototypes hold NaN or infinity"):
        index.nearest(np.full((4, D), np.nan, dtype=np.float32))
    with pytest.raises(UserError, match="k is 0; ask for at least one slide"):
        index.nearest("s00", 0)
    with pytest.raises(UserError, match=r"the regions are \[2, 3\]; this model compares \[regions, 7\]"):
        index.nearest_prototypes(np.ones((2, 3), dtype=np.float32))
    with pytest.raises(UserError, match="the slide's regions hold NaN or infinity"):
        index.nearest_prototypes(np.full((2, D), np.inf, dtype=np.float32))
    write_model(tmp_path / "old", sets(4))
    (tmp_path / "old/prototypes.parquet").unlink()
    with pytest.raises(UserError, match="exported by an earlier version"):
        SlideIndex.load(tmp_path / "old")
    write_model(tmp_path / "dino", sets(4), intra_weight=0, inter_weight=0)
    (tmp_path / "dino/prototypes.parquet").unlink()
    with pytest.raises(UserError, match="trained without prototypes of slides"):
        SlideIndex.load(tmp_path / "dino")


def test_files_of_another_training_or_damaged_ones_are_told_in_a_sentence(tmp_path):
    write_model(tmp_path, sets(4))
    table = read_table(tmp_path / "prototypes.parquet")
    write_table(tmp_path / "prototypes.parquet", table, schemas.PROTOTYPES)
    with pytest.raises(UserError, match=r"prototypes\.parquet belongs to another training than the model beside it"):
        SlideIndex.load(tmp_path)
    for size in (0, 100):
        (tmp_path / "prototypes.parquet").write_bytes((tmp_path / "prototypes.parquet").read_bytes()[:size])
        with pytest.raises(UserError, match=r"prototypes\.parquet is damaged .*copy the model's folder anew"):
            SlideIndex.load(tmp_path)
    facts = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({key: facts[key] for key in facts if key != "model_sha256"}))
    write_table(tmp_path / "prototypes.parquet", table, schemas.PROTOTYPES)
    with pytest.raises(UserError, match=r"no SHA-256 of the model, as it was exported by an earlier version"):
        SlideIndex.load(tmp_path)
