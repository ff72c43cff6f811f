from workflow_scripts.core.spread import spread


def test_spread_keeps_order_and_ends():
    assert spread(list("abc"), 5) == ["a", "b", "c"]
    assert spread(list(range(100)), 4) == [12, 37, 62, 87]
    assert spread([1, 2], 0) == []
