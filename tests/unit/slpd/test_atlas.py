"""What groups hold, against plain loops."""

import numpy as np

from workflow_scripts.slpd.atlas import class_counts, least_cosine, nearest_regions, slides_of_groups


def test_no_region_is_farther_from_the_centre_than_is_said():
    rng = np.random.default_rng(0)
    region, prototype, centre = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.normal(size=(3, 5000, 3)))
    bound = least_cosine((region * prototype).sum(axis=1), (prototype * centre).sum(axis=1))
    assert ((region * centre).sum(axis=1) >= bound - 1e-9).all()


def test_the_bound_is_reached_on_a_great_circle():
    assert np.allclose(least_cosine(np.cos([0.3, 2.0]), np.cos([0.4, 1.5])), [np.cos(0.7), -1])
    assert np.allclose(least_cosine(np.array([1.0]), np.array([np.float32(1.0000001)])), 1)


def test_nearest_regions_go_from_slide_to_slide():
    rng = np.random.default_rng(1)
    group, slide = rng.integers(0, 4, 200), rng.integers(0, 6, 200)
    group[group == 2] = 3  # a group without regions
    cosine = rng.integers(0, 20, 200) / 20  # with ties
    found = nearest_regions(group, slide, cosine, 9, 5)
    for number, indices in enumerate(found):
        members = sorted(np.flatnonzero(group == number), key=lambda i: (-cosine[i], i))
        turn = {i: sum(slide[j] == slide[i] for j in members[: members.index(i)]) for i in members}
        assert list(indices) == sorted(members, key=lambda i: (turn[i], -cosine[i], i))[:9]
    assert len(found) == 5 and not len(found[2]) and not len(found[4])


def test_counts_of_classes_add_up():
    rng = np.random.default_rng(2)
    group, slide = rng.integers(0, 3, 150), rng.integers(0, 8, 150)
    class_of = np.array([0, 1, -1, 1, 0, 2, -1, 1])
    found = class_counts(group, slide, class_of, 4, 3)
    for g in range(3):
        for c in range(4):
            inside = [i for i in range(150) if group[i] == g and class_of[slide[i]] == c]
            assert found.regions[g, c] == len(inside) and found.slides[g, c] == len({slide[i] for i in inside})
    assert list(found.class_regions) == [sum(class_of[slide] == c) for c in range(4)]
    assert list(found.class_slides) == [len({s for s in slide if class_of[s] == c}) for c in range(4)]
    assert list(slides_of_groups(group, slide, 4)) == [len(set(slide[group == g])) for g in range(4)]
