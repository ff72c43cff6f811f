"""What pretraining and encoding have to compute and to store, by the sizes of the networks alone."""

from workflow_scripts.config import PretrainRun
from workflow_scripts.config.encoder_facts import EncoderFacts
from workflow_scripts.project.rates import VITS16_FLOP, VITS16_PARAMETERS, VITS16_TOKENS

_MULTIPLY_ADD = 2  # FLOP
_FLOAT32 = 4  # bytes


def encoder_flop(facts: EncoderFacts) -> float:
    """FLOP of a vision transformer on one patch: as a ViT-S/16's, by parameters and tokens (its attention: 11 %).

    Raises:
        ValueError: the encoder is none.
    """
    if not facts.token_px or not facts.input_px or not facts.parameters:
        raise ValueError(f"{facts.architecture} is no vision transformer")
    tokens = (facts.input_px // facts.token_px) ** 2 + 1 + facts.registers
    return VITS16_FLOP * facts.parameters * tokens / VITS16_PARAMETERS / VITS16_TOKENS


def _vit_macs(side: int, run: PretrainRun) -> float:
    """Multiply-adds of the region encoder on a crop of `side` tokens: its linear layers and its attention."""
    tokens, dim = side**2 + 1, run.model.dim
    block = (4 + 2 * run.model.mlp_ratio) * dim**2
    return tokens * run.model.depth * (block + 2 * tokens * dim)


def _project_macs(run: PretrainRun) -> int:
    """Multiply-adds of the projection head up to its bottleneck."""
    head = run.head
    return run.model.dim * head.hidden + head.hidden**2 + head.hidden * head.bottleneck


def step_flop(run: PretrainRun, grid: int, in_dim: int) -> float:
    """FLOP of a training step, a region: the student forward and backward (3 times its forward), the teacher forward.

    Args:
        run: the run's settings.
        grid: tokens along each side of a region.
        in_dim: width of a patch's features, D.
    """
    crops = run.crops
    embedding = grid**2 * in_dim * run.model.dim
    last = run.head.bottleneck * run.head.out_dim
    head = _project_macs(run) + last
    wide, narrow = _vit_macs(crops.global_size, run), _vit_macs(crops.local_size, run)
    count = crops.global_count + crops.local_count
    student = crops.global_count * wide + crops.local_count * narrow + embedding + count * head
    teacher = crops.global_count * (wide + head) + embedding + 2 * last  # 2: logits of two kinds of prototypes
    return _MULTIPLY_ADD * (3 * student + teacher)


def cluster_flop(run: PretrainRun, in_dim: int) -> float:
    """FLOP of embedding one region for the clustering: the teacher on its centre crop, up to the bottleneck."""
    side = run.crops.global_size
    return _MULTIPLY_ADD * (side**2 * in_dim * run.model.dim + _vit_macs(side, run) + _project_macs(run))


def network_parameters(run: PretrainRun, in_dim: int) -> int:
    """Parameters of the region encoder with its head."""
    dim, depth, hidden = run.model.dim, run.model.depth, int(run.model.dim * run.model.mlp_ratio)
    block = 4 * dim + (3 * dim**2 + 3 * dim) + (dim**2 + dim) + (2 * dim * hidden + hidden + dim)
    backbone = in_dim * dim + dim + dim + (run.crops.global_size**2 + 1) * dim + depth * block + 2 * dim
    head = run.head
    biases = 2 * head.hidden + head.bottleneck
    return backbone + _project_macs(run) + biases + head.bottleneck * head.out_dim


def state_bytes(run: PretrainRun, in_dim: int) -> int:
    """Bytes of a stored training state: student, teacher, and the optimiser's two moments, in float32."""
    return 4 * _FLOAT32 * network_parameters(run, in_dim)


def feature_bytes(regions: float, grid: int, in_dim: int) -> float:
    """Bytes of stored features: each token in half precision, with its colour (6 float32), tissue and flag."""
    return regions * grid**2 * (2 * in_dim + 6 * _FLOAT32 + _FLOAT32 + 1)
