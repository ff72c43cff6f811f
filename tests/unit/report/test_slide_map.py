import numpy as np
import pytest
from sklearn.decomposition import PCA

from workflow_scripts.core import schemas
from workflow_scripts.core.tables import write_table
from workflow_scripts.report.inputs import Results
from workflow_scripts.report.slide_map import first_components, slide_maps


@pytest.mark.parametrize("shape", [(40, 7), (9, 30), (3, 2)])
def test_the_plane_is_that_of_scikit_learn_up_to_signs(shape):
    vectors = np.random.default_rng(0).normal(size=shape) * np.arange(1, shape[1] + 1) + 3
    ours, theirs = first_components(vectors), PCA(2, svd_solver="full").fit(vectors)
    expected = theirs.transform(vectors)
    signs = np.sign((ours.places * expected).sum(0))
    np.testing.assert_allclose(ours.places * signs, expected, atol=1e-9)
    np.testing.assert_allclose(ours.shares, theirs.explained_variance_ratio_[:2], atol=1e-12)


def test_the_sign_is_settled_so_that_mirrored_axes_cannot_come_out():
    vectors = np.random.default_rng(1).normal(size=(20, 5))
    whole, turned = first_components(vectors), first_components(vectors[::-1])
    np.testing.assert_allclose(whole.places, turned.places[::-1], atol=1e-9)


@pytest.mark.parametrize("vectors", [np.ones((5, 4)), np.eye(2), np.arange(6.0)[:, None]])
def test_slides_that_do_not_differ_or_are_too_few_have_no_map(vectors):
    assert first_components(vectors) is None


def test_points_stand_for_rows_of_the_table(tmp_path):
    vectors = np.random.default_rng(2).normal(size=(5, 4)).astype(np.float32)
    vectors[4, 0] = np.nan
    rows = [{"slide_id": name, "vector": v.tolist()} for name, v in zip("edcba", vectors, strict=True)]
    write_table(tmp_path / "embeddings/slpd/slides.parquet", rows, schemas.SLIDE_EMBEDDINGS)
    (found,) = slide_maps(Results(tmp_path), {"slpd": "slpd, one of two", "gone": ""}, ["a", "x", "c", "d", "e"])
    assert found["name"] == "slpd" and found["rows"] == [4, 3, 2]  # a is not finite, b is not in the table
    assert max(map(abs, found["x"] + found["y"])) == 100
    assert sum(found["shares"]) == pytest.approx(100, abs=0.2)  # three points lie in a plane
