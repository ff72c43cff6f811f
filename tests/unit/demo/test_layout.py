import numpy as np
import pytest
from scipy import ndimage

from workflow_scripts.demo import layout
from workflow_scripts.demo.plan import CLASSES, SUBTYPES

SHAPE = (260, 290)


@pytest.fixture(scope="module")
def labels():
    rng = np.random.default_rng(0)
    return layout.territories(rng, layout.tissue_mask(rng, SHAPE, 0.62))


@pytest.mark.parametrize("seed", range(4))
def test_tissue_is_one_piece_off_the_border_with_the_wanted_coverage(seed):
    mask = layout.tissue_mask(np.random.default_rng(seed), SHAPE, 0.62)
    assert ndimage.label(mask)[1] == 1
    assert abs(mask.mean() - 0.62) < 0.05
    assert not (mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def test_territories_cover_tissue_and_have_the_typical_size(labels):
    mask = layout.tissue_mask(np.random.default_rng(0), SHAPE, 0.62)
    assert np.array_equal(labels > 0, mask)
    area = np.bincount(labels.ravel())[1:] * layout.MPP**2 * 1e-6
    assert area.min() >= 0.08
    assert 0.15 < np.median(area) < 0.8  # mm2; 450 to 1000 um across
    largest = [np.bincount(ndimage.label(labels == n)[0].ravel())[1:].max() for n in range(1, labels.max() + 1)]
    assert sum(largest) > 0.97 * (labels > 0).sum()


def test_borders_equal_a_count_of_unlike_neighbours(labels):
    part = labels[60:160, 60:200]
    _, part = np.unique(part, return_inverse=True)
    part = part.reshape(100, 140) + 1
    expected = np.zeros((part.max(), part.max()))
    for y in range(100):
        for x in range(140):
            for other in ((y + 1, x), (y, x + 1)):
                if other[0] < 100 and other[1] < 140 and part[y, x] != part[other]:
                    a, b = part[y, x] - 1, part[other] - 1
                    expected[a, b] += 1
                    expected[b, a] += 1
    assert np.array_equal(layout.borders(part), expected)


def test_classes_reach_the_wanted_composition(labels):
    wanted = np.array([0.38, 0.14, 0.22, 0.12, 0.06, 0.08])
    classes = layout.assign_classes(np.random.default_rng(1), labels, wanted, SUBTYPES[0])
    area = np.bincount(classes[labels].ravel(), minlength=len(CLASSES))
    assert classes[0] == 0
    assert area[0] == (labels == 0).sum()
    assert np.abs(area[1:] / area[1:].sum() - wanted).max() < 0.12


def test_lymphoid_tissue_borders_tumour_in_the_solid_subtype_only():
    wanted = np.array([0.25, 0.25, 0.20, 0.15, 0.10, 0.05])
    touching = {name: [] for name in SUBTYPES}
    for seed in range(4):
        rng = np.random.default_rng(seed)
        labels = layout.territories(rng, layout.tissue_mask(rng, SHAPE, 0.62))
        for name in SUBTYPES:
            classes = layout.assign_classes(np.random.default_rng(seed), labels, wanted, name)[1:]
            length = layout.borders(labels)
            lymphoid, tumour = classes == 4, np.isin(classes, (1, 2))
            touching[name].append(length[lymphoid][:, tumour].sum() / length[lymphoid][:, ~lymphoid].sum())
    assert np.mean(touching[SUBTYPES[1]]) > np.mean(touching[SUBTYPES[0]]) + 0.3
