"""Which slides attention is written of; the maps are those of `slpd.attention_maps`."""

import pytest

from workflow_scripts.core.errors import UserError
from workflow_scripts.map_attention import choose

IDS = [f"s{number}" for number in (3, 1, 2, 0)]


@pytest.mark.parametrize(
    ("count", "names", "wanted"), [(2, [], ["s1", "s3"]), (9, [], sorted(IDS)), (1, ["s3"], ["s3"])]
)
def test_slides_at_even_distances_or_by_name(count, names, wanted):
    assert choose(IDS, count, names, {}) == wanted


def test_classes_have_their_shares():
    assert choose(IDS, 2, [], {"s0": "b", "s1": "a", "s2": "a", "s3": "b"}) == ["s2", "s3"]


def test_a_slide_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="other is no usable slide"):
        choose(IDS, 1, ["s0", "other"], {})
