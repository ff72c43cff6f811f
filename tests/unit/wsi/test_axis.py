import math

from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.wsi.axis import Axis, plan_strips


@settings(deadline=None, max_examples=300)
@given(draw=st.data())
def test_strips_give_every_output_once_and_read_every_pixel_once(draw):
    size, tile = draw.draw(st.integers(50, 5000)), draw.draw(st.integers(1, 300))
    scale = draw.draw(st.one_of(st.integers(1, 8).map(float), st.floats(0.6, 9.0)))
    count = draw.draw(st.integers(1, int(size / scale)))
    first = draw.draw(st.floats(0, size - count * scale))
    if draw.draw(st.booleans()):
        first = float(math.floor(first))
    axis = Axis(first, min(first + count * scale, size), count, size)
    strips = plan_strips(axis, axis.is_whole, tile, draw.draw(st.integers(0, 2000)))
    assert [s.top for s in strips] == [0] + [s.bottom for s in strips[:-1]] and strips[-1].bottom == count
    end = strips[-1].last
    read = strips[0].first
    for strip in strips:
        assert strip.top < strip.bottom and 0 <= strip.first < strip.last <= strip.until <= size
        assert strip.until % tile == 0 or strip.until == end
        # What the outputs cover is there, and nothing between two strips is left out.
        assert strip.first <= axis.first + strip.top * axis.scale + 0.26
        assert strip.last >= axis.first + strip.bottom * axis.scale - 0.26
        assert strip.first <= read < strip.until or strip.until == end
        read = strip.until


def test_what_counts_as_whole():
    assert Axis(4, 104, 50, 200).is_whole and Axis(4, 104, 100, 200).is_copy
    assert not Axis(4.5, 104.5, 50, 200).is_whole and not Axis(4, 105, 50, 200).is_whole
    # 0.00009 px off at each output adds up: over 10,000 outputs the end would be off by 0.9 px.
    assert Axis(0, 1000.09, 1000, 20_000).is_whole and not Axis(0, 10_000.9, 10_000, 20_000).is_whole
    assert not Axis(0, 40, 100, 200).is_whole  # finer than the level
