import numpy as np
import pytest

from workflow_scripts.demo.plan import CLASSES
from workflow_scripts.demo.render import make_canvases
from workflow_scripts.demo.stains import REFERENCE, Staining, colour_table, draw_staining, match_colour, to_rgb


@pytest.fixture(scope="module")
def colours():
    """Reference colours of each class of one slide."""
    table = colour_table(REFERENCE)
    return {name: to_rgb(canvas, table) for name, canvas in make_canvases(3, "slide").items()}


def test_colour_follows_beer_and_lambert():
    staining = Staining(np.array([[0.5, 0.7, 0.4], [0.2, 0.8, 0.5]]), np.array([240.0, 241.0, 242.0]))
    planes = np.array([[[0, 100, 40]], [[0, 0, 80]]], np.uint8)
    rgb = to_rgb(planes, colour_table(staining))[0]
    assert rgb[0].tolist() == [240, 241, 242]
    assert rgb[1].tolist() == np.rint([240 * np.exp(-0.5), 241 * np.exp(-0.7), 242 * np.exp(-0.4)]).tolist()
    depth = 0.4 * staining.vectors[0] + 0.8 * staining.vectors[1]
    assert np.abs(rgb[2] - staining.white * np.exp(-depth)).max() <= 0.5


def test_matched_canvases_have_the_same_amounts_of_each_stain():
    rng = np.random.default_rng(0)
    first = rng.gamma(2, 10, (2, 200, 200)).clip(0, 255).astype(np.uint8)
    second = rng.normal(60, 20, (2, 200, 200)).clip(0, 255).astype(np.uint8)
    matched = match_colour(first, second)
    for stain in range(2):
        have = [np.quantile(canvas[stain], [0.1, 0.3, 0.5, 0.7, 0.9]) for canvas in matched]
        expected = np.mean(
            [np.quantile(canvas[stain], [0.1, 0.3, 0.5, 0.7, 0.9]) for canvas in (first, second)], axis=0
        )
        assert np.abs(have - expected).max() <= 2.5
    order = first[0].ravel().argsort(kind="stable")
    assert (np.diff(matched[0][0].ravel()[order].astype(int)) >= 0).all()


def test_glands_and_solid_nests_agree_in_mean_colour_and_spread(colours):
    glands, solid = colours["glands"].reshape(-1, 3), colours["solid"].reshape(-1, 3)
    assert np.abs(glands.mean(axis=0) - solid.mean(axis=0)).max() < 2
    assert np.abs(glands.std(axis=0) - solid.std(axis=0)).max() < 2


def test_classes_look_as_named(colours):
    assert set(colours) == set(CLASSES[1:])
    mean = {name: rgb.reshape(-1, 3).mean(axis=0) for name, rgb in colours.items()}
    assert min(mean, key=lambda name: mean[name][0]) == "lymphoid"  # haematoxylin takes the red
    assert max(mean, key=lambda name: mean[name].min()) == "fat"
    assert all(value[1] < min(value[0], value[2]) for value in mean.values())


def test_canvases_wrap(colours):
    for rgb in colours.values():
        grey = rgb.astype(float).mean(axis=2)
        for axis in (0, 1):
            steps = np.abs(np.diff(grey, axis=axis)).mean()
            seam = np.abs(np.take(grey, 0, axis) - np.take(grey, -1, axis)).mean()
            assert seam < 2 * steps


def test_staining_jitter_exceeds_the_difference_of_the_textures():
    canvas = make_canvases(3, "slide")["glands"]
    means = []
    for number in range(8):
        shared, own = np.random.default_rng(number), np.random.default_rng(100 + number)
        rgb = to_rgb(canvas, colour_table(draw_staining(shared, own, number % 2)))
        means.append(rgb.reshape(-1, 3).mean(axis=0))
    assert np.std(means, axis=0).min() > 3
