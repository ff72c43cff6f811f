"""Signs of collapse: every region embedded alike, or every target alike. Numbers only, no files.

Where the limits lie, measured on the demo cohort with the teacher's backbone features of all regions: fresh and
trained states have a mean cosine of at most 0.81 (0.9992 where all patch features share a part of 20 deviations) and
an effective rank of at least 4; collapsed ones (10 times the learning rate without centring, 100 times with or
without) have a rank of at most 1.25, or a cosine of at least 0.9998.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from workflow_scripts.core.errors import UserError

MAX_COSINE = 0.9997  # mean over pairs of regions
ALIKE_COSINE = 0.9
MIN_RANK = 1.5  # of the centred features
MIN_MARGINAL = 0.05  # nats: 1.05 output units in use
MIN_SHARPNESS = 0.001  # 1 - entropy / log C
MIN_INFORMATION = 0.001  # nats that a target tells about its region
MIN_REGIONS = 16  # fewer say nothing about rank
MIN_UNITS = 64  # of fewer output units, one may well be right for all regions

_KNOBS = (
    "lower pretrain.defaults.optimiser.lr or lengthen optimiser.lr_warmup_epochs, bring loss.center_momentum towards "
    "0.9, raise loss.teacher_temp (where targets are uniform, lower it: it belongs below loss.student_temp)"
)


def effective_rank(features: Tensor) -> float:
    """Effective number of directions in which features `[N, d]` differ, from 1 to min(N - 1, d).

    exp of the entropy of the eigenvalues of the centred covariance, brought to sum 1; 1 where all rows are equal.
    Roy & Vetterli (EUSIPCO 2007) take singular values of the matrix itself where this takes variances.
    """
    x = features.double()
    x = x - x.mean(dim=0)
    # the smaller of the two Gram matrices has the same eigenvalues
    gram = x.T @ x if x.shape[1] <= x.shape[0] else x @ x.T
    values = torch.linalg.eigvalsh(gram).clamp(min=0)
    total = values.sum()
    if total <= 0:
        return 1.0
    share = values / total
    return math.exp(torch.special.entr(share).sum().item())


def mean_cosine(features: Tensor) -> float:
    """Mean cosine over all pairs of different rows of `[N, d]`, N >= 2, from the sum of the unit rows: O(N d).

    Sum over all pairs of u_i . u_j is |sum u|^2; the N pairs of a row with itself are taken off.
    """
    unit = F.normalize(features.double(), dim=1)
    n = len(unit)
    return (((unit.sum(dim=0) ** 2).sum() - (unit**2).sum()) / (n * (n - 1))).item()


def check_features(features: Tensor, where: str, kept: str = "") -> None:
    """Refuse representations that have collapsed.

    Args:
        features: `[N, d]` of N regions, backbone or bottleneck.
        where: what they are of, for the message: "round 3 of run slpd", "epoch 12".
        kept: file of the last good state, if there is one.

    Raises:
        UserError: values that are no finite numbers; or, from 16 regions on, all regions embedded nearly alike
            (mean cosine above 0.9997), or along one line (effective rank below 1.5 at a mean cosine above 0.9).
    """
    if not bool(torch.isfinite(features).all()):
        raise UserError(collapse_message(f"the representations of {where} hold values that are no numbers", kept))
    if len(features) < MIN_REGIONS:
        return
    cosine, rank = mean_cosine(features), effective_rank(features)
    # a cohort of two clear kinds of tissue has a low rank too, but not regions that are all alike
    if cosine > MAX_COSINE or (rank < MIN_RANK and cosine > ALIKE_COSINE):
        told = f"mean cosine of two regions {cosine:.4f}, effective rank {rank:.2f} of {features.shape[1]}"
        raise UserError(collapse_message(f"the representations of {where} have collapsed ({told})", kept))


def entropy(probabilities: Tensor) -> Tensor:
    """Entropy (nats) of distributions `[..., C]`; near 0 or near log C it tells of collapse."""
    return torch.special.entr(probabilities).sum(dim=-1)


def check_targets(entropy: float, marginal_entropy: float, out_dim: int) -> str | None:
    """What is wrong with the teacher's targets of an epoch, or None; for `collapse_message`.

    The first epoch says little: the centre starts at 0, far from the logits' mean.

    Args:
        entropy: mean entropy (nats) of single targets.
        marginal_entropy: entropy (nats) of the mean target of a batch, mean over batches.
        out_dim: number C of output units.
    """
    if not (math.isfinite(entropy) and math.isfinite(marginal_entropy)):
        return "the teacher's targets hold values that are no numbers"
    if out_dim < MIN_UNITS:
        return None
    told = f"entropy {entropy:.4f}, of the mean {marginal_entropy:.4f}, at most {math.log(out_dim):.4f} nats"
    if marginal_entropy < MIN_MARGINAL:
        return f"the teacher gives every region the same one output unit ({told})"
    if 1 - entropy / math.log(out_dim) < MIN_SHARPNESS:
        return f"the teacher's targets are uniform ({told})"
    if marginal_entropy - entropy < MIN_INFORMATION:
        return f"the teacher's targets are alike for all regions ({told})"
    return None


def collapse_message(problem: str, kept: str = "") -> str:
    """One sentence: the problem, where the last good state is, and which knobs to turn."""
    state = f"; the last good state is kept in {kept}" if kept else ""
    return f"{problem}{state}; {_KNOBS}, and run again"
