"""Networks on bags against torchmil's with the same weights: logits, gradients and losses of their own, in float64.

torchmil has one logit everywhere, so networks are made with one output here, and CLAM's two are subtracted. Bags of 1
to 12 instances are one batch of ours, and go to torchmil one by one. What torchmil has not, or does otherwise:

- CLAM with an attention branch a class, and HIPT, whose blocks normalise after they add, with ReLU (torchmil's
  `TransformerABMIL` does it before, with GELU); of HIPT its self-attention is compared here, and in `test_nets.py` the
  whole with PyTorch's `TransformerEncoderLayer`.
- Where bags have fewer than twice the instances that CLAM's loss takes, torchmil takes the same ones as evidence for
  and against. Its loss of instances is a smooth SVM in 32 bits; here it is given CLAM's other form, cross-entropy.
- DTFD's attention has no gate, and instances are shuffled in the test, too.
- TransMIL lacks the convolution of values and the layer behind the attention. Its attention is an approximation, which
  is exact where every token is a landmark and the pseudo-inverse is: torch's is put in place of torchmil's six steps
  towards it, which are off by 1e-4 where tokens repeat. Gradients through it are of no use, and not compared.
"""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchmil import models
from torchmil.nn import AttentionPool, MaxPool, MeanPool, MultiheadSelfAttention
from torchmil.nn.attention import nystrom_attention

from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.nets.attention import Abmil, PlainAbmil
from workflow_scripts.mil.nets.batch import Batch, Linear, Net, Sizes, draw_weights
from workflow_scripts.mil.nets.clam import ClamSb
from workflow_scripts.mil.nets.dsmil import Dsmil
from workflow_scripts.mil.nets.dtfd import Dtfd
from workflow_scripts.mil.nets.pooling import MaxMil, MeanMil
from workflow_scripts.mil.nets.transformer import SelfAttention
from workflow_scripts.mil.nets.transmil import Transmil
from workflow_scripts.mil.packing import cohort_of, pack

DIM, HIDDEN, ATTENTION, SIZES = 5, 8, 6, (1, 4, 9, 2, 7, 12, 5)


def _batch(net: Net, sizes=SIZES, parts=None) -> tuple[Batch, list[torch.Tensor]]:
    """All bags as our batch, and one by one `[1, m, DIM]`."""
    random = np.random.default_rng(0)
    regions = [random.normal(size=(size, DIM)).astype(np.float32) for size in sizes]
    bags = Bags(np.stack([r.mean(axis=0) for r in regions]), regions, np.zeros(len(sizes), np.int64), 2)
    scale = (torch.zeros(1, DIM), torch.ones(1, DIM))
    made = pack(cohort_of(bags, torch.device("cpu")), np.arange(len(sizes))[None], scale, net.padded, parts)
    return Batch(made.x.double(), made.block, made.owner, made.width, parts=made.parts), [
        torch.from_numpy(region).double()[None] for region in regions
    ]


def _ours(made: type[Net], outputs: int = 1, **own: float) -> Net:
    net = made(Sizes(1, DIM, outputs, HIDDEN, ATTENTION, own))
    draw_weights(net, [3])
    return net.double()


def _give(theirs: nn.Linear, ours: Linear, columns: slice = slice(None)) -> None:
    """Weights of one of our layers, or of some of its outputs."""
    theirs = getattr(theirs, "module", theirs)
    theirs.weight.data = ours.weight.detach()[0, :, columns].T.clone()
    if theirs.bias is not None:
        theirs.bias.data = ours.bias.detach()[0, 0, columns].clone()


def _embedding() -> nn.Sequential:
    return nn.Sequential(nn.Linear(DIM, HIDDEN), nn.ReLU())


def _give_attention(theirs: AttentionPool, ours: nn.Module) -> None:
    """Weights of an attention; the bias of our scores moves all of a bag alike, which a softmax does not see."""
    _give(theirs.fc1, ours.content, slice(0, ATTENTION))
    if theirs.gated:
        _give(theirs.fc_gated, ours.content, slice(ATTENTION, None))
    _give(theirs.fc2, ours.weigh)


def _same(ours: torch.Tensor, theirs: torch.Tensor, net: Net, embedding: nn.Linear) -> None:
    """Values `[B]`, and how they change with the embedding."""
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    assert ours.std() > 0.01
    weights = torch.linspace(0.5, 1.5, len(ours), dtype=torch.float64)
    (mine,) = torch.autograd.grad((ours * weights).sum(), net.embedding.weight)
    (other,) = torch.autograd.grad((theirs * weights).sum(), embedding.weight)
    torch.testing.assert_close(mine[0].T, other, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("gated", [True, False])
def test_abmil(gated):
    net = _ours(Abmil if gated else PlainAbmil)
    theirs = models.ABMIL((DIM,), ATTENTION, gated=gated, feat_ext=_embedding()).double()
    _give(theirs.feat_ext[0], net.embedding)
    _give_attention(theirs.pool, net.score)
    _give(theirs.classifier, net.classify)
    batch, bags = _batch(net)
    _same(net(batch).logits[0, :, 0], torch.cat([theirs(bag) for bag in bags]), net, theirs.feat_ext[0])


@pytest.mark.parametrize(("made", "pool"), [(MeanMil, MeanPool), (MaxMil, MaxPool)])
def test_pooling(made, pool):
    net, embedding, classify = _ours(made), _embedding().double(), nn.Linear(HIDDEN, 1).double()
    _give(embedding[0], net.embedding)
    _give(classify, net.classify)
    batch, bags = _batch(net)
    pooled = torch.cat([pool()(classify(embedding(bag)))[:, 0] for bag in bags])
    _same(net(batch).logits[0, :, 0], pooled, net, embedding[0])


class _CrossEntropy(nn.Module):
    """Mean cross-entropy of logits `[n, 2]`, whose targets torchmil has as floats `[n, 1]`."""

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, target.squeeze(-1).long())


def test_clam_with_one_branch():
    net = _ours(ClamSb, outputs=2, instances=2, instance_weight=0.3)
    theirs = models.CLAM_SB((DIM,), ATTENTION, k_sample=2, gated=True, feat_ext=_embedding()).double()
    theirs.inst_loss_fn = _CrossEntropy()
    _give(theirs.feat_ext[0], net.embedding)
    _give_attention(theirs.pool, net.score)
    for c, of_class in enumerate(theirs.inst_classifiers):
        _give(of_class, net.classify_instances, slice(2 * c, 2 * c + 2))
    single = theirs.classifier.module
    for value, ours in ((single.weight, net.classify.weight), (single.bias, net.classify.bias)):
        value.data = (ours[0, :, 1] - ours[0, :, 0]).detach().view(value.shape)
    batch, bags = _batch(net, (4, 9, 7, 12, 5))
    logits = net(batch).logits[0]
    found = [theirs(bag, return_att=True, return_emb=True) for bag in bags]
    _same(logits[:, 1] - logits[:, 0], torch.cat([logit for logit, *_ in found]), net, theirs.feat_ext[0])
    labels = torch.tensor([0, 1, 1, 0, 1])
    labelled = Batch(batch.x, batch.block, batch.owner, labels=labels[None])
    share, own = net(labelled).own
    losses = [theirs.compute_inst_loss(f, h, label[None]) for (_, f, h), label in zip(found, labels, strict=True)]
    assert share == 0.3
    torch.testing.assert_close(own[0], torch.stack(losses).double() / 2, rtol=1e-6, atol=1e-6)


def test_dsmil():
    net = _ours(Dsmil)
    theirs = models.DSMIL((DIM,), ATTENTION, nonlinear_q=True, feat_ext=_embedding()).double()
    _give(theirs.feat_ext[0], net.embedding)
    _give(theirs.q_nn[0], net.query[0])
    _give(theirs.q_nn[2], net.query[1])
    _give(theirs.inst_classifier, net.classify_instances)
    _give(theirs.bag_classifier, net.classify)
    batch, bags = _batch(net)
    output = net(batch)
    _same(output.logits[0, :, 0], torch.cat([theirs.predict(bag) for bag in bags]), net, theirs.feat_ext[0])
    label = torch.ones(1, dtype=torch.float64)
    losses = [sum(theirs.compute_loss(label, bag)[1].values()) for bag in bags]  # torchmil adds what we average
    ours = sum(share * F.softplus(-logits[0, :, 0, 0]) for share, logits, _ in output.streams)
    torch.testing.assert_close(2 * ours, torch.stack(losses).double(), rtol=1e-6, atol=1e-6)  # torchmil's are float32


def test_dtfd():
    groups = 3
    net = _ours(Dtfd, pseudo_bags=groups)
    theirs = models.DTFDMIL((DIM,), ATTENTION, groups, "afs", _embedding())
    theirs.attention_pool, theirs.u_attention_pool = (AttentionPool(HIDDEN, ATTENTION, gated=True) for _ in range(2))
    theirs = theirs.double()
    _give(theirs.feat_ext[0], net.embedding)
    _give_attention(theirs.attention_pool, net.score)
    _give_attention(theirs.u_attention_pool, net.score_parts)
    _give(theirs.classifier, net.classify_parts)
    _give(theirs.u_classifier, net.classify)
    dealt = []
    for number, size in enumerate(SIZES):  # as torchmil shuffles them by the same seeds
        np.random.seed(number)  # noqa: NPY002
        order = np.arange(size)
        np.random.shuffle(order)  # noqa: NPY002
        part = np.empty(size, np.int64)
        for group, members in enumerate(np.array_split(order, min(size, groups))):
            part[members] = group
        dealt.append(part)
    batch, bags = _batch(net, parts=np.concatenate(dealt)[None])
    found = []
    for number, bag in enumerate(bags):
        np.random.seed(number)  # noqa: NPY002
        found.append(theirs(bag, return_pseudo_pred=True))
    output = net(batch)
    _same(output.logits[0, :, 0], torch.cat([logit for logit, _ in found]), net, theirs.feat_ext[0])
    _, of_parts, valid = output.streams[1]
    assert valid[0].sum(dim=-1).tolist() == [min(size, groups) for size in SIZES]
    torch.testing.assert_close(of_parts[0, ..., 0][valid[0]], torch.cat([parts[0] for _, parts in found]))


def test_transmil(monkeypatch):
    monkeypatch.setattr(nystrom_attention, "moore_penrose_iter_pinv", lambda x, _: torch.linalg.pinv(x, rtol=1e-12))
    net = _ours(Transmil, attention_heads=2)
    for layer in (net.first, net.second):
        _no_last_layer(layer.attention)
        layer.along.weight.data.zero_()
        for norm in (layer.norm.gain, layer.norm.shift):
            norm.data += torch.linspace(-0.4, 0.4, HIDDEN).double()
    batch, bags = _batch(net)
    found = []
    for bag in bags:
        tokens = int(np.ceil(np.sqrt(bag.shape[1]))) ** 2 + 1
        theirs = models.TransMIL((DIM,), HIDDEN, n_heads=2, n_landmarks=tokens, feat_ext=_embedding()).double()
        _give(theirs.feat_ext[0], net.embedding)
        for layer, ours in zip(theirs.layers, (net.first, net.second), strict=True):
            _give(layer.att_module.qkv_nn, ours.attention.qkv)
            _give_norm(layer.norm1, ours.norm)
        position = theirs.pos_layer
        for conv, ours in ((position.proj, net.seven), (position.proj1, net.five), (position.proj2, net.three)):
            conv.weight.data = ours.weight.detach()[0].T.reshape(conv.weight.shape).clone()
            conv.bias.data = ours.bias.detach()[0, 0].clone()
        theirs.cls_token.data = net.token.weight.detach().clone()
        _give_norm(theirs.norm, net.norm)
        _give(theirs.classifier, net.classify)
        found.append(theirs(bag))
    ours = net(batch).logits[0, :, 0]
    torch.testing.assert_close(ours, torch.cat(found), rtol=1e-9, atol=1e-9)
    assert ours.std() > 0.01


def _no_last_layer(attention: SelfAttention) -> None:
    """torchmil has no layer behind its attention where widths are equal."""
    attention.out.weight.data = torch.eye(HIDDEN, dtype=torch.float64)[None]
    attention.out.bias.data = torch.zeros(1, 1, HIDDEN, dtype=torch.float64)


def _give_norm(theirs: nn.LayerNorm, ours: nn.Module) -> None:
    theirs.weight.data, theirs.bias.data = ours.gain.detach()[0].clone(), ours.shift.detach()[0].clone()


def test_self_attention():
    ours, theirs = SelfAttention(1, HIDDEN, 2, bias=False), MultiheadSelfAttention(HIDDEN, None, HIDDEN, 2).double()
    draw_weights(ours, [3])
    ours = ours.double()
    _no_last_layer(ours)
    _give(theirs.qkv_nn, ours.qkv)
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(3, 9, HIDDEN)))
    valid = torch.arange(9) < torch.tensor([9, 4, 1])[:, None]
    found = ours(x[None], valid[None])[0]
    for bag, count in enumerate((9, 4, 1)):
        torch.testing.assert_close(found[bag, :count], theirs(x[bag : bag + 1, :count])[0], rtol=1e-9, atol=1e-12)
