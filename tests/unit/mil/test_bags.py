"""Embedding tables become slide vectors and region matrices of the wanted slides."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tasks import KINDS, Column
from workflow_scripts.mil.bags import Bags, JoinedBags, bag_lengths, pair_embeddings, target_array, vector_matrix
from workflow_scripts.mil.packing import cohort_of, pack


def _slides(**vectors):
    rows = [{"slide_id": name, "vector": vector} for name, vector in vectors.items()]
    return pa.Table.from_pylist(rows, schema=schemas.SLIDE_EMBEDDINGS)


def _regions(*rows):
    rows = [{"slide_id": slide, "region_id": f"r{i}", "vector": vector} for i, (slide, vector) in enumerate(rows)]
    return pa.Table.from_pylist(rows, schema=schemas.REGION_EMBEDDINGS)


def test_order_is_that_of_the_wanted_slides():
    slides = _slides(a=[1.0, 1.0], b=[2.0, 2.0], c=[3.0, 3.0])
    regions = _regions(("b", [4.0]), ("a", [5.0]), ("b", [6.0]), ("c", [7.0]))
    vectors, bags, named = pair_embeddings(["c", "b"], slides, regions, "emb")
    assert named.to_pylist() == [{"slide_id": s, "region_id": r} for s, r in (("c", "r3"), ("b", "r0"), ("b", "r2"))]
    np.testing.assert_array_equal(vectors, [[3, 3], [2, 2]])
    assert [bag.tolist() for bag in bags] == [[[7.0]], [[4.0], [6.0]]]
    assert vectors.dtype == bags[0].dtype == np.float32


def test_chunked_tables_read_alike():
    table = pa.concat_tables([_slides(a=[1.0, 2.0]), _slides(b=[3.0, 4.0])])
    np.testing.assert_array_equal(vector_matrix(table.slice(1), "emb"), [[3, 4]])


def test_a_slide_without_embedding_is_named():
    with pytest.raises(UserError, match="emb has no embedding of slide b"):
        pair_embeddings(["a", "b"], _slides(a=[1.0], b=[1.0]), _regions(("a", [1.0])), "emb")


def test_wrong_vectors_are_refused():
    with pytest.raises(UserError, match=r"emb/slides\.parquet: vectors have different lengths \(1 to 2\)"):
        vector_matrix(_slides(a=[1.0], b=[1.0, 2.0]), "emb/slides.parquet")
    with pytest.raises(UserError, match="slide b is not finite"):
        vector_matrix(_slides(a=[1.0], b=[float("nan")]), "emb/slides.parquet")


def test_take_accepts_indices_and_masks():
    regions = [np.full((i + 1, 2), i, np.float32) for i in range(3)]
    bags = Bags(np.eye(3), regions, np.arange(3), 3)
    for index in (np.array([2, 0]), np.array([True, False, True])):
        taken = bags.take(index)
        assert sorted(taken.target.tolist()) == [0, 2]
        assert [len(region) - 1 for region in taken.regions] == taken.target.tolist()


class _Asked(list):
    """Bags that count how often each is asked for, and tell their lengths without."""

    def __init__(self, bags):
        super().__init__(bags)
        self.asked = Counter()

    def __getitem__(self, index):
        self.asked[index] += 1
        return super().__getitem__(index)

    def lengths(self):
        return np.array([len(bag) for bag in list.__iter__(self)])


def test_bags_of_a_patient_are_joined_when_they_are_asked_for():
    parts = _Asked([np.full((i + 1, 2), i, np.float16) for i in range(4)])
    bags = JoinedBags(parts, [[2, 0], np.array([1]), [3]])
    assert bag_lengths(bags).tolist() == [4, 2, 4] and not parts.asked
    assert bags[0][:, 0].tolist() == [2, 2, 2, 0] and parts.asked == {2: 1, 0: 1}
    assert bags[1:][0].tolist() == [[1, 1], [1, 1]] and [len(bag) for bag in bags] == [4, 2, 4]


def test_a_cohort_of_patches_is_read_once_and_kept_as_stored():
    random = np.random.default_rng(0)
    parts = _Asked([random.normal(3, 2, size=(4 + i, 3)).astype(np.float16) for i in range(5)])
    half = Bags(np.zeros((5, 1), np.float32), parts, np.arange(5) % 2, 2)
    whole = Bags(half.vectors, [bag.astype(np.float32) for bag in list.__iter__(parts)], half.target, 2)
    kept = cohort_of(half.take(np.arange(5)), torch.device("cpu"))
    assert kept.x.dtype == torch.float16 and all(parts.asked[i] == 1 for i in range(1, 5))  # the first tells the width
    other = cohort_of(whole, torch.device("cpu"))
    assert other.x.dtype == torch.float32
    chosen = np.array([[3, 1], [4, 0]])
    batches = []
    for cohort in (kept, other):
        scales = [cohort.scaling(np.arange(5), half.weights) for _ in range(2)]
        scale = torch.stack([s[0] for s in scales]), torch.stack([s[1] for s in scales])
        batches.append([pack(cohort, chosen, scale, padded, None).x for padded in (False, True)])
    for ours, plain in zip(*batches, strict=True):
        assert ours.dtype == torch.float32 and torch.equal(ours, plain)


def test_labels_become_class_indices_fields_or_numbers():
    classes = target_array(KINDS["classification"], ["b", "a", "b"], ["a", "b", "c"])
    assert (classes.dtype, classes.tolist()) == (np.int64, [1, 0, 1])
    survival = target_array(KINDS["survival"], [(3.5, True), (2.0, False)], [])
    assert (survival["time"].dtype, survival["time"].tolist()) == (np.float64, [3.5, 2.0])
    assert (survival["event"].dtype, survival["event"].tolist()) == (np.bool_, [True, False])
    number = replace(KINDS["survival"], truth=(Column("value", "float64"),))
    assert target_array(number, [1.0, 2.5], []).tolist() == [1.0, 2.5]
