"""Networks on bags against plain loops with the same weights: logits, loss and gradients."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.unit.mil.plain_nets import ATTENTION, PLAIN
from workflow_scripts.core.heads import HEADS
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.heads import nets as heads
from workflow_scripts.mil.nets.batch import Sizes, draw_weights
from workflow_scripts.mil.objectives import Classes
from workflow_scripts.mil.packing import cohort_of, deal_parts, pack
from workflow_scripts.mil.training import batch_loss

NETS = [name for name, head in HEADS.items() if head.module == "nets"]
OWN = {
    "clam_sb": {"instances": 3, "instance_weight": 0.3}, "clam_mb": {"instances": 3, "instance_weight": 0.3},
    "dtfd": {"pseudo_bags": 3}, "hipt": {"depth": 2, "attention_heads": 2}, "transmil": {"attention_heads": 2},
}  # fmt: skip
JOBS, DIM, CLASSES, HIDDEN = 3, 5, 3, 8


def _cohort(sizes=(1, 4, 9, 2, 7, 12, 5)):
    random = np.random.default_rng(0)
    regions = [random.normal(size=(size, DIM)).astype(np.float32) for size in sizes]
    bags = Bags(np.stack([r.mean(axis=0) for r in regions]), regions, np.arange(len(sizes)) % CLASSES, CLASSES)
    return bags, cohort_of(bags, torch.device("cpu"))


def _net(name):
    of_head = getattr(heads, HEADS[name].name)
    made = getattr(import_module(f"workflow_scripts.mil.nets.{of_head.module}"), of_head.name)
    net = made(Sizes(JOBS, DIM, CLASSES, HIDDEN, 6, OWN.get(name, {})))
    draw_weights(net, [11, 12, 13])
    return net.double()


def _batch(net, bags, cohort, chosen, keep, labels=True):
    counts = cohort.counts[chosen]
    width = int(counts.max()) if net.padded else 0
    parts = None
    if net.parts:
        dealt = [deal_parts(own, net.parts, width, np.random.default_rng(i)) for i, own in enumerate(counts)]
        parts = np.stack([np.pad(own, (0, max(map(len, dealt)) - len(own))) for own in dealt])
    scale = (torch.zeros(JOBS, DIM), torch.ones(JOBS, DIM))
    made = pack(cohort, chosen, scale, net.padded, parts)
    label = torch.from_numpy(bags.target[chosen]) if labels else None
    return replace(made, x=made.x.double(), keep=keep, labels=label)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("name", NETS)
def test_networks_equal_plain_loops(name, labelled):
    """Bags of 1 to 12 instances, other ones in each of three jobs, with dropout and weights."""
    bags, cohort = _cohort()
    random = torch.Generator().manual_seed(0)
    chosen = np.array([[0, 1, 2, 5], [3, 3, 4, 6], [5, 0, 6, 1]])
    keep = torch.randint(0, 2, (JOBS, 4, HIDDEN), generator=random).double() * 2
    weights = torch.rand(JOBS, 4, generator=random).double()
    net = _net(name)
    if net.padded:
        keep = torch.randint(0, 2, (JOBS, 4, 12, HIDDEN), generator=random).double().flatten(1, 2) * 2
    batch = _batch(net, bags, cohort, chosen, keep, labelled)
    targets = torch.from_numpy(bags.target[chosen][..., None]).double()
    loss = batch_loss(net, Classes(CLASSES), batch, targets, weights)
    loss.sum().backward()
    logits = net(batch).logits
    for job in range(JOBS):
        p = {n: v.detach()[job].requires_grad_() for n, v in net.named_parameters()}
        total, first = torch.zeros((), dtype=torch.float64), 0
        for place, bag in enumerate(chosen[job]):
            own = dict(OWN.get(name, {}))
            if batch.parts is not None:
                own["parts"] = batch.parts[job, first : first + cohort.counts[bag]]
                first += cohort.counts[bag]
            label = int(bags.target[bag]) if labelled else None
            x = torch.from_numpy(bags.regions[bag]).double()
            dropped = keep[job, 12 * place : 12 * place + len(x)] if net.padded else keep[job, place]
            predicted, trained, extra = PLAIN[name](x, p, dropped, label, own)
            torch.testing.assert_close(logits[job, place], predicted, rtol=1e-9, atol=1e-9)
            losses = [share * F.cross_entropy(of, torch.tensor(bags.target[bag])) for share, of in trained]
            losses += [extra[0] * extra[1]] if extra else []
            total = total + weights[job, place] * sum(losses)
        torch.testing.assert_close(loss[job], total, rtol=1e-9, atol=1e-9)
        total.backward()
        for parameter, value in net.named_parameters():
            plain = p[parameter].grad if p[parameter].grad is not None else torch.zeros_like(p[parameter])
            stacked = torch.zeros_like(value) if value.grad is None else value.grad
            torch.testing.assert_close(
                stacked[job], plain, rtol=1e-6, atol=1e-9, msg=lambda m, n=parameter: f"{n}: {m}"
            )


def test_every_network_has_a_plain_loop():
    assert set(PLAIN) == set(NETS)
    assert set(ATTENTION) == {name for name in NETS if HEADS[name].attends}


@pytest.mark.parametrize("name", NETS)
def test_attention_is_what_a_plain_loop_weighs_instances_by(name):
    """It sums to 1 over the instances of each bag, and is nothing for those of others; other networks tell none."""
    bags, cohort = _cohort()
    chosen = np.array([[0, 1, 2, 5], [3, 3, 4, 6], [5, 0, 6, 1]])
    net = _net(name)
    batch = _batch(net, bags, cohort, chosen, None, labels=False)
    found = net(batch).attention
    if not HEADS[name].attends:
        assert found is None
        return
    for job, places in enumerate(chosen):
        p = {parameter: value.detach()[job] for parameter, value in net.named_parameters()}
        for place, bag in enumerate(places):
            inside, own = batch.block[job, place], dict(OWN.get(name, {}))
            if batch.parts is not None:
                own["parts"] = batch.parts[job][inside]
            expected = ATTENTION[name](torch.from_numpy(bags.regions[bag]).double(), p, 1.0, own)
            torch.testing.assert_close(found[job, place][inside], expected, rtol=1e-9, atol=1e-12)
            assert expected.sum().item() == pytest.approx(1) and (len(expected) == 1 or expected.std() > 1e-4)
            assert not found[job, place][~inside].any()


@pytest.mark.parametrize("name", NETS)
def test_a_job_starts_from_its_own_seed(name):
    net = _net(name)
    alone = type(net)(Sizes(1, DIM, CLASSES, HIDDEN, 6, OWN.get(name, {})))
    draw_weights(alone, [12])
    for (parameter, value), other in zip(net.named_parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(value[1].float(), other[0].detach(), msg=parameter)
        assert value.shape[-1] == 1 or "norm" in parameter or not torch.equal(value[0], value[1])


def test_parts_are_dealt_evenly_within_bags():
    counts = np.array([10, 3, 1])
    for width in (0, 12):
        dealt = deal_parts(counts, 4, width, np.random.default_rng(0))
        bags = np.split(dealt, [12, 24]) if width else np.split(dealt, [10, 13])
        for bag, count in zip(bags, counts, strict=True):
            sizes = np.bincount(bag[:count], minlength=4)
            assert sizes.max() - sizes.min() <= 1
    assert deal_parts(counts, 4, 0, None)[:10].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]


@pytest.mark.parametrize("padded", [True, False])
def test_packing_scales_and_tells_bags_apart(padded):
    bags, cohort = _cohort()
    chosen = np.array([[2, 0], [1, 4]])
    weights = np.array([1.0, 0.5, 0.25])
    scale = cohort.scaling(np.array([0, 2, 5]), weights)
    every = np.concatenate([bags.regions[i] for i in (0, 2, 5)]).astype(float)
    counted = np.repeat(weights, [1, 9, 12])
    mean = np.average(every, axis=0, weights=counted)
    deviation = np.sqrt(np.average((every - mean) ** 2, axis=0, weights=counted))
    np.testing.assert_allclose(scale[0], mean, atol=1e-6)
    np.testing.assert_allclose(1 / scale[1], deviation, rtol=1e-6)
    batch = pack(cohort, chosen, tuple(torch.stack([s, s]) for s in scale), padded, None)
    for job in range(2):
        for place, bag in enumerate(chosen[job]):
            expected = (bags.regions[bag] - mean) / deviation
            np.testing.assert_allclose(batch.x[job][batch.block[job, place]], expected, atol=1e-5)
    assert batch.width == (9 if padded else 0)
    assert batch.block.sum() == 9 + 1 + 4 + 7


def test_a_constant_feature_only_loses_its_mean():
    bags, _ = _cohort()
    for region in bags.regions:
        region[:, 0], region[:, 1] = 0.1, 0
    mean, inverse = cohort_of(bags, torch.device("cpu")).scaling(np.arange(7), np.ones(7))
    np.testing.assert_allclose(mean[:2], [0.1, 0], atol=1e-8)
    np.testing.assert_allclose(inverse[:2], [1, 1])
