import numpy as np
import pytest
from scipy.stats import rankdata

from workflow_scripts.core.ranks import middle_ranks


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_ranks_are_those_of_scipy(n):
    values = np.random.default_rng(n).integers(0, 10, n).astype(np.float32)
    np.testing.assert_allclose(middle_ranks(values), (rankdata(values) - 0.5) / n)
