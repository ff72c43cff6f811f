from workflow_scripts.core.spread import spread, spread_by_class


def test_spread_keeps_order_and_ends():
    assert spread(list("abc"), 5) == ["a", "b", "c"]
    assert spread(list(range(100)), 4) == [12, 37, 62, 87]
    assert spread([1, 2], 0) == []


def test_classes_come_in_their_shares_and_slides_without_one_last():
    ids = [f"s{number:02d}" for number in range(20)]
    of = {slide: "tumour" if number % 4 == 1 else "benign" for number, slide in enumerate(ids[:16])}
    assert spread(ids, 4) == ["s02", "s07", "s12", "s17"]  # benign alone
    chosen = spread_by_class(reversed(ids), of, 5)
    assert [of.get(slide) for slide in chosen] == ["benign"] * 3 + ["tumour", None]
    assert chosen == spread_by_class(ids, of, 5) and spread_by_class(ids, {}, 4) == spread(ids, 4)
