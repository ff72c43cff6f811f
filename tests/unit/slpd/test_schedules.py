import numpy as np
import pytest

from workflow_scripts.config import Optimiser
from workflow_scripts.slpd.schedules import cosine, step_values


def dino_array(base: float, final: float, epochs: int, per_epoch: int, warmup_epochs: int = 0) -> np.ndarray:
    """The whole schedule as one array: linspace for the warm-up, a half cosine over the rest."""
    warm = np.linspace(0, base, warmup_epochs * per_epoch)
    rest = np.arange(epochs * per_epoch - len(warm))
    return np.concatenate([warm, final + 0.5 * (base - final) * (1 + np.cos(np.pi * rest / max(1, len(rest))))])


@pytest.mark.parametrize(("epochs", "per_epoch", "warmup"), [(10, 7, 3), (100, 3, 10), (5, 4, 0), (6, 1, 1), (4, 3, 4)])
def test_cosine_equals_the_array(epochs, per_epoch, warmup):
    want = dino_array(0.7, 0.1, epochs, per_epoch, warmup)
    got = [cosine(0.7, 0.1, step, epochs * per_epoch, warmup * per_epoch) for step in range(len(want))]
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)


def test_beyond_the_end_it_is_constant():
    assert [cosine(0.7, 0.1, step, 20, 4) for step in (20, 21, 1000)] == [0.1] * 3


def test_step_values_of_the_paper():
    settings, per_epoch, epochs = Optimiser(), 122, 100
    lr = dino_array(5e-4 * 512 / 256, 1e-6, epochs, per_epoch, 10)
    decay, momentum = dino_array(0.04, 0.4, epochs, per_epoch), dino_array(0.996, 1.0, epochs, per_epoch)
    for step in [0, 1, 600, 1219, 1220, 1221, 6000, 12_199]:
        got = step_values(settings, step, per_epoch, epochs)
        assert got.lr == pytest.approx(lr[step], rel=1e-12)
        assert got.weight_decay == pytest.approx(decay[step], rel=1e-12)
        assert got.momentum == pytest.approx(momentum[step], rel=1e-12)
    after = step_values(settings, 12_200, per_epoch, epochs)
    assert (after.lr, after.weight_decay, after.momentum) == (1e-6, 0.4, 1.0)
