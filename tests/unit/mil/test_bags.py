"""Embedding tables become slide vectors and region matrices of the wanted slides."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tasks import KINDS, Column
from workflow_scripts.mil.bags import Bags, pair_embeddings, target_array, vector_matrix


def _slides(**vectors):
    rows = [{"slide_id": name, "vector": vector} for name, vector in vectors.items()]
    return pa.Table.from_pylist(rows, schema=schemas.SLIDE_EMBEDDINGS)


def _regions(*rows):
    rows = [{"slide_id": slide, "region_id": f"r{i}", "vector": vector} for i, (slide, vector) in enumerate(rows)]
    return pa.Table.from_pylist(rows, schema=schemas.REGION_EMBEDDINGS)


def test_order_is_that_of_the_wanted_slides():
    slides = _slides(a=[1.0, 1.0], b=[2.0, 2.0], c=[3.0, 3.0])
    regions = _regions(("b", [4.0]), ("a", [5.0]), ("b", [6.0]), ("c", [7.0]))
    vectors, bags = pair_embeddings(["c", "b"], slides, regions, "emb")
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


def test_labels_become_class_indices_fields_or_numbers():
    classes = target_array(KINDS["classification"], ["b", "a", "b"], ["a", "b", "c"])
    assert (classes.dtype, classes.tolist()) == (np.int64, [1, 0, 1])
    survival = target_array(KINDS["survival"], [(3.5, True), (2.0, False)], [])
    assert (survival["time"].dtype, survival["time"].tolist()) == (np.float64, [3.5, 2.0])
    assert (survival["event"].dtype, survival["event"].tolist()) == (np.bool_, [True, False])
    number = replace(KINDS["survival"], truth=(Column("value", "float64"),))
    assert target_array(number, [1.0, 2.5], []).tolist() == [1.0, 2.5]
