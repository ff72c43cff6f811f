"""Weights cast once a step against weights cast at each use."""

from collections.abc import Callable

import pytest
import torch

from workflow_scripts.slpd.network import Network
from workflow_scripts.slpd.shadow import Shadow
from workflow_scripts.slpd.state import new_state

from . import cohort, plain

SETTINGS = plain.tiny_run()


def network() -> Network:
    torch.manual_seed(1)
    found = new_state(SETTINGS, cohort.DIM, cohort.CPU).student
    for parameter in found.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return found


def features(use: Callable[[], Network]) -> torch.Tensor:
    """Two uses of the backbone's weights, and one of the head's."""
    generator = torch.Generator().manual_seed(2)
    large, small = (torch.randn(6, side, side, cohort.DIM, generator=generator).bfloat16() for side in (3, 2))
    found = use().backbone(large) + use().backbone(small)
    return use().head(found)


def test_values_and_gradients_are_those_of_casting_at_each_use():
    plainly, shadowed = network(), network()
    shadow = Shadow(shadowed, torch.bfloat16)
    shadow.refresh()
    for step in range(2):
        want, got = features(lambda: plainly), features(shadow.use)
        assert torch.equal(want, got)
        weights = torch.randn(want.shape, generator=torch.Generator().manual_seed(step))
        (want * weights).sum().backward()
        (got * weights).sum().backward()
        for (name, parameter), other in zip(plainly.named_parameters(), shadowed.parameters(), strict=True):
            assert parameter.grad is not None and parameter.grad.any(), name
            assert parameter.grad.dtype == torch.float32
            assert torch.equal(parameter.grad, other.grad), name
        for changed in (plainly, shadowed):  # the copies follow once they are told to
            with torch.no_grad():
                for parameter in changed.parameters():
                    parameter.mul_(1.5)
        assert not torch.equal(features(lambda: plainly), features(shadow.use))
        shadow.refresh()


def test_a_shadow_takes_no_gradient_where_its_network_takes_none():
    frozen = network().requires_grad_(False)
    shadow = Shadow(frozen, torch.bfloat16)
    shadow.refresh()
    assert not features(shadow.use).requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_in_its_own_arithmetic_it_uses_the_parameters_themselves(dtype):
    own = network().to(dtype)
    shadow = Shadow(own, dtype)
    shadow.refresh()
    used = shadow.use()
    assert all(one is other for one, other in zip(own.parameters(), used.parameters(), strict=True))


def test_the_network_itself_stays_as_it_is():
    own = network()
    names = [name for name, _ in own.named_parameters()]
    Shadow(own, torch.bfloat16)
    assert [name for name, _ in own.named_parameters()] == names
    assert all(parameter.dtype == torch.float32 for parameter in own.parameters())
