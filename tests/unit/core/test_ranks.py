import numpy as np
import pytest

from workflow_scripts.core.ranks import middle_ranks


@pytest.mark.parametrize("n", [0, 1, 2, 7, 40])
def test_a_rank_is_the_share_below_and_half_of_those_that_are_equal(n):
    values = np.random.default_rng(n).integers(0, 10, n).astype(np.float32)
    shares = [((values < one).sum() + (values == one).sum() / 2) / n for one in values]
    np.testing.assert_allclose(middle_ranks(values), shares, rtol=1e-12)
