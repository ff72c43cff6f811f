"""Which slide a name belongs to that other tools gave to what they made."""

from workflow_scripts.core.claims import names_of_slides


def test_a_name_is_looked_for_by_id_and_then_by_the_file():
    assert names_of_slides([("s1", "raw/a.svs"), ("b", "raw/b.svs")]) == {"s1": ["s1", "a"], "b": ["b"]}


def test_of_two_slides_of_one_file_name_one_may_own_it_by_its_id():
    found = names_of_slides([("plain", "f1/plain.svs"), ("plain_2", "f2/plain.svs")])
    assert found == {"plain": ["plain"], "plain_2": ["plain_2"]}


def test_a_name_that_two_slides_have_with_equal_right_is_nobodys():
    assert names_of_slides([("s1", "f1/plain.svs"), ("s2", "f2/plain.tif")]) == {"s1": ["s1"], "s2": ["s2"]}
    # the id of one is the file of the other
    assert names_of_slides([("a", "b.svs"), ("c", "a.svs")]) == {"a": ["b"], "c": ["c"]}


def test_names_are_compared_as_the_tool_writes_them():
    plain = {"x/a.svs": "a", "a.svs": "a", "b": "b", "y/a.ome.tiff": "a"}.__getitem__
    assert names_of_slides([("a.svs", "x/a.svs"), ("b", "y/a.ome.tiff")], plain, plain) == {"a.svs": ["a"], "b": ["b"]}


def test_features_of_a_file_of_several_slides_are_nobodys_but_by_id():
    found = names_of_slides([("s1", "x/a.tif#1"), ("s2", "x/a.tif#2"), ("a", "x/a.tif#3")])
    assert found == {"s1": ["s1", "a.tif#1"], "s2": ["s2", "a.tif#2"], "a": ["a", "a.tif#3"]}
