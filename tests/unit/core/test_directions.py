"""Directions of vectors, against scikit-learn."""

import numpy as np
import pytest
from sklearn.preprocessing import normalize

from workflow_scripts.core.directions import unit_vectors


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_vector_has_length_1_and_zeros_stay(dtype):
    vectors = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(dtype)
    vectors[1, 2] = 0
    found = unit_vectors(vectors)
    assert found.dtype == dtype and not found[1, 2].any()
    np.testing.assert_allclose(found.reshape(12, 5), normalize(vectors.reshape(12, 5)), rtol=1e-6)
