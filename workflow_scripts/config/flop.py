"""What training and clustering have to compute, in floating-point operations, by the sizes of the networks alone.

Counted are the matrix products of the method, a multiply and an add as two; norms, activations and the optimiser are
left out, as they are bound by memory.
"""

from workflow_scripts.config.pretrain import PretrainRun

_MULTIPLY_ADD = 2  # FLOP


def _vit_macs(side: int, run: PretrainRun) -> float:
    """Multiply-adds of the region encoder on a crop of `side` tokens: its linear layers and its attention."""
    tokens, dim = side**2 + 1, run.model.dim
    block = (4 + 2 * run.model.mlp_ratio) * dim**2
    return tokens * run.model.depth * (block + 2 * tokens * dim)


def project_macs(run: PretrainRun) -> int:
    """Multiply-adds of the projection head up to its bottleneck: the number of its weights."""
    head = run.head
    return run.model.dim * head.hidden + head.hidden**2 + head.hidden * head.bottleneck


def step_flop(run: PretrainRun, grid: int, in_dim: int, targets: int = 2) -> float:
    """FLOP of a training step, a region: the student forward and backward (3 times its forward), the teacher forward.

    Args:
        run: the run's settings.
        grid: tokens along each side of a region.
        in_dim: width of a patch's features, D.
        targets: prototypes that a region distils, its own and its neighbours'; 0 in the warm-up.
    """
    crops = run.crops
    embedding = grid**2 * in_dim * run.model.dim
    last = run.head.bottleneck * run.head.out_dim
    head = project_macs(run) + last
    wide, narrow = _vit_macs(crops.global_size, run), _vit_macs(crops.local_size, run)
    count = crops.global_count + crops.local_count
    student = crops.global_count * wide + crops.local_count * narrow + embedding + count * head
    teacher = crops.global_count * (wide + head) + embedding + targets * last
    return _MULTIPLY_ADD * (3 * student + teacher)


def cluster_flop(run: PretrainRun, in_dim: int) -> float:
    """FLOP of embedding one region for the clustering: the teacher on its centre crop, up to the bottleneck."""
    side = run.crops.global_size
    return _MULTIPLY_ADD * (side**2 * in_dim * run.model.dim + _vit_macs(side, run) + project_macs(run))
