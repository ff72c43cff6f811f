"""The networks on bags as their papers write them, a bag at a time, for the weights of one job `p` (by name).

Linear weights are `[inputs, outputs]`. Each function returns what is predicted `[C]`, what is trained as a list of
(share, logits `[C]`), and the network's own loss with its share.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F


def linear(x, p, name):
    product = x @ p[f"{name}.weight"]
    return product + p[f"{name}.bias"][0] if f"{name}.bias" in p else product


def embed(x, p, keep):
    return F.relu(linear(x, p, "embedding")) * keep


def scores(h, p, name, gated=True):
    content = linear(h, p, f"{name}.content")
    if not gated:
        return linear(torch.tanh(content), p, f"{name}.weigh")
    content, gate = content.chunk(2, dim=-1)
    return linear(torch.tanh(content) * torch.sigmoid(gate), p, f"{name}.weigh")


def weighed(h, p, name="score", gated=True):
    return torch.softmax(scores(h, p, name, gated)[:, 0], dim=0)


def attended(h, p, name="score", gated=True):
    return (weighed(h, p, name, gated)[:, None] * h).sum(dim=0)


def one(logits):
    return logits, [(1.0, logits)], None


def mean_mil(x, p, keep, label, own):
    return one(linear(embed(x, p, keep), p, "classify").mean(dim=0))


def max_mil(x, p, keep, label, own):
    return one(linear(embed(x, p, keep), p, "classify").max(dim=0).values)


def abmil(x, p, keep, label, own):
    return one(linear(attended(embed(x, p, keep), p), p, "classify"))


def abmil_plain(x, p, keep, label, own):
    return one(linear(attended(embed(x, p, keep), p, gated=False), p, "classify"))


def clam(x, p, keep, label, own, branches):
    h = embed(x, p, keep)
    weighed = scores(h, p, "score").softmax(dim=0)  # [m, branches]
    pooled = weighed.T @ h
    w, b = p["classify.weight"], p["classify.bias"][0]
    classes = w.shape[1]
    logits = torch.stack([pooled[c if branches > 1 else 0] @ w[:, c] + b[c] for c in range(classes)])
    if label is None:
        return one(logits)
    k, losses = min(own["instances"], len(x) // 2), []
    for c in range(classes):
        of_class = weighed[:, c if branches > 1 else 0]
        rank = of_class.argsort(descending=True)
        judged = linear(h, p, "classify_instances")[:, 2 * c : 2 * c + 2]
        chosen = [(i, int(c == label)) for i in rank[:k]] + ([(i, 0) for i in rank[len(x) - k :]] if c == label else [])
        terms = [F.cross_entropy(judged[i], torch.tensor(target)) for i, target in chosen]
        losses.append(sum(terms) / max(len(terms), 1))
    share = own["instance_weight"]
    return logits, [(1 - share, logits)], (share, sum(losses) / classes)


def clam_sb(*args):
    return clam(*args, branches=1)


def clam_mb(x, p, keep, label, own):
    return clam(x, p, keep, label, own, branches=p["classify.weight"].shape[1])


def dsmil_weights(h, p):
    of_instances = linear(h, p, "classify_instances")
    query = torch.tanh(linear(F.relu(linear(h, p, "query.0")), p, "query.1"))
    weights = []
    for c in range(of_instances.shape[1]):
        critical = query[of_instances[:, c].argmax()]
        weights.append(torch.softmax(query @ critical / math.sqrt(query.shape[1]), dim=0))
    return of_instances, weights


def dsmil(x, p, keep, label, own):
    h = embed(x, p, keep)
    of_instances, weights = dsmil_weights(h, p)
    pooled = [of_class @ h for of_class in weights]
    bag, largest = linear(torch.cat(pooled), p, "classify"), of_instances.max(dim=0).values
    return (bag + largest) / 2, [(0.5, bag), (0.5, largest)], None


def dtfd(x, p, keep, label, own):
    h, features = embed(x, p, keep), []
    for part in range(own["pseudo_bags"]):
        inside = h[own["parts"] == part]
        if len(inside):
            features.append(attended(inside, p))
    bag = linear(attended(torch.stack(features), p, "score_parts"), p, "classify")
    tier = [(1 / len(features), linear(feature, p, "classify_parts")) for feature in features]
    return bag, [(1.0, bag), *tier], None


def hipt_tokens(x, p, keep, own):
    h, width = embed(x, p, keep), p["embedding.weight"].shape[1]
    for depth in range(own["depth"]):
        layer = nn.TransformerEncoderLayer(width, own["attention_heads"], 4 * width, dropout=0.0, dtype=x.dtype)
        start, names = f"blocks.{depth}", {}
        for ours, theirs in (
            ("attention.qkv", "self_attn.in_proj_"), ("attention.out", "self_attn.out_proj."),
            ("wide", "linear1."), ("narrow", "linear2."),
        ):  # fmt: skip
            names[f"{theirs}weight"] = p[f"{start}.{ours}.weight"].T
            names[f"{theirs}bias"] = p[f"{start}.{ours}.bias"][0]
        for norm in ("norm1", "norm2"):
            names |= {f"{norm}.weight": p[f"{start}.{norm}.gain"], f"{norm}.bias": p[f"{start}.{norm}.shift"]}
        h = torch.func.functional_call(layer, names, (h[:, None],))[:, 0]
    return h


def hipt(x, p, keep, label, own):
    return one(linear(attended(hipt_tokens(x, p, keep, own), p), p, "classify"))


def transmil(x, p, keep, label, own):
    h, heads = embed(x, p, keep), own["attention_heads"]
    side = math.ceil(math.sqrt(len(x)))
    h = torch.cat([h, h[: side * side - len(x)]])
    h = torch.cat([p["token.weight"], h])
    width = h.shape[1]

    def layer(h, name):
        normal = F.layer_norm(h, (width,), p[f"{name}.norm.gain"], p[f"{name}.norm.shift"])
        out = []
        for head, (q, k, v) in enumerate(
            zip(*(t.split(width // heads, dim=1) for t in linear(normal, p, f"{name}.attention.qkv").chunk(3, dim=1)),
                strict=True)
        ):  # fmt: skip
            mixed = torch.softmax(q @ k.T / math.sqrt(q.shape[1]), dim=1) @ v
            kernel = p[f"{name}.along.weight"][:, head]
            along = F.conv1d(v.T[:, None], kernel[None, None], padding=16)[:, 0].T
            out.append(mixed + along)
        return h + linear(torch.cat(out, dim=1), p, f"{name}.attention.out")

    h = layer(h, "first")
    grid = h[1:].T.reshape(1, width, side, side)
    total = grid
    for name, size in (("seven", 7), ("five", 5), ("three", 3)):
        kernel = p[f"{name}.weight"].T.reshape(width, 1, size, size)
        total = total + F.conv2d(grid, kernel, p[f"{name}.bias"][0], padding=size // 2, groups=width)
    h = torch.cat([h[:1], total.reshape(width, -1).T])
    token = layer(h, "second")[0]
    return one(linear(F.layer_norm(token, (width,), p["norm.gain"], p["norm.shift"]), p, "classify"))


PLAIN = {
    "mean_mil": mean_mil, "max_mil": max_mil, "abmil": abmil, "abmil_plain": abmil_plain, "clam_sb": clam_sb,
    "clam_mb": clam_mb, "dsmil": dsmil, "dtfd": dtfd, "hipt": hipt, "transmil": transmil,
}  # fmt: skip


def clam_attention(x, p, keep, own):
    branches = scores(embed(x, p, keep), p, "score")
    return sum(torch.softmax(branches[:, c], dim=0) for c in range(branches.shape[1])) / branches.shape[1]


def dsmil_attention(x, p, keep, own):
    _, weights = dsmil_weights(embed(x, p, keep), p)
    return sum(weights) / len(weights)


def dtfd_attention(x, p, keep, own):
    h = embed(x, p, keep)
    inside = [torch.nonzero(own["parts"] == part)[:, 0] for part in range(own["pseudo_bags"])]
    inside = [places for places in inside if len(places)]
    of_parts = weighed(torch.stack([attended(h[places], p) for places in inside]), p, "score_parts")
    found = torch.zeros(len(x), dtype=x.dtype)
    for share, places in zip(of_parts, inside, strict=True):
        found[places] = share * weighed(h[places], p)
    return found


# weights of a bag's instances, of the networks that pool by some
ATTENTION = {
    "abmil": lambda x, p, keep, own: weighed(embed(x, p, keep), p),
    "abmil_plain": lambda x, p, keep, own: weighed(embed(x, p, keep), p, gated=False),
    "clam_sb": clam_attention, "clam_mb": clam_attention, "dsmil": dsmil_attention, "dtfd": dtfd_attention,
    "hipt": lambda x, p, keep, own: weighed(hipt_tokens(x, p, keep, own), p),
}  # fmt: skip
