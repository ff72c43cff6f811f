import numpy as np

from workflow_scripts.demo.fields import cell_edges, lattice, nucleus_kernels, smooth_noise, stamp


def test_noise_wraps_and_is_about_standard_normal():
    noise = np.concatenate([smooth_noise(np.random.default_rng(i), 256, 16) for i in range(8)])
    assert abs(noise.mean()) < 0.1
    assert 0.8 < noise.std() < 1.2
    one = smooth_noise(np.random.default_rng(0), 256, 16)
    steps = np.abs(np.diff(one, axis=0))
    assert np.abs(one[0] - one[-1]).max() <= 1.5 * steps.max()


def test_lattice_fills_the_canvas_and_keeps_points_apart():
    points = lattice(np.random.default_rng(0), 240, 20, 0.1)
    assert points.min() >= 0
    assert points.max() < 240
    gap = np.abs(points[:, None] - points[None])
    gap = np.minimum(gap, 240 - gap)  # wraps around
    distance = np.hypot(gap[..., 0], gap[..., 1]) + 1e9 * np.eye(len(points))
    assert distance.min() > 20 * (0.866 - 2 * 0.1 * np.sqrt(2)) * 0.9
    assert distance.min(axis=1).max() < 24


def test_cell_edges_are_half_the_difference_to_the_two_nearest_points():
    points = lattice(np.random.default_rng(1), 120, 40, 0.2)
    edge, owner = cell_edges(points, 120)
    at = np.array([(y, x) for y in range(2, 120, 4) for x in range(2, 120, 4)])
    gap = np.abs(at[:, None] - points[None])
    gap = np.minimum(gap, 120 - gap)
    distance = np.hypot(gap[..., 0], gap[..., 1])
    nearest = np.sort(distance, axis=1)
    expected = ((nearest[:, 1] - nearest[:, 0]) / 2).reshape(30, 30)
    assert np.array_equal(owner.ravel(), distance.argmin(axis=1))
    # The full canvas is interpolated from cells of 4 px, whose means stay close to their centres.
    assert np.abs(edge.reshape(30, 4, 30, 4).mean(axis=(1, 3)) - expected).mean() < 0.6


def test_stamp_equals_a_loop_over_pixels_and_wraps():
    rng = np.random.default_rng(2)
    kernels = nucleus_kernels(rng, (4, 6), (2, 3), np.array([0.0, 1.0]))
    points = np.array([[0.0, 0.0], [3.2, 38.9], [20.0, 20.0], [21.0, 23.0]])
    which, dark = np.array([0, 1, 0, 1]), np.array([1.0, 0.5, 0.8, 1.2])
    plane = np.zeros((40, 40), np.float32)
    stamp(plane, points, kernels, which, dark)
    expected = np.zeros((40, 40))
    reach = kernels.shape[1] // 2
    for (y, x), kind, strength in zip(np.rint(points).astype(int), which, dark, strict=True):
        for i in range(-reach, reach + 1):
            for j in range(-reach, reach + 1):
                place = (y + i) % 40, (x + j) % 40
                expected[place] = max(expected[place], kernels[kind, i + reach, j + reach] * strength)
    assert np.allclose(plane, expected, atol=1e-6)


def test_kernels_lie_along_their_angle():
    kernels = nucleus_kernels(np.random.default_rng(3), (9, 9), (3, 3), np.array([0.0, np.pi / 2]))
    reach = kernels.shape[1] // 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    spread = [((k * x**2).sum(), (k * y**2).sum()) for k in kernels]
    assert spread[0][0] > 4 * spread[0][1]
    assert spread[1][1] > 4 * spread[1][0]
