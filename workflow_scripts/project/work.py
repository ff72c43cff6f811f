"""What an encoder has to compute, and what pretraining has to store, by the sizes of the networks alone."""

from workflow_scripts.config import PretrainRun
from workflow_scripts.config.encoder_facts import EncoderFacts
from workflow_scripts.config.flop import project_macs
from workflow_scripts.project.rates import VITS16_FLOP, VITS16_PARAMETERS, VITS16_TOKENS

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


def network_parameters(run: PretrainRun, in_dim: int) -> int:
    """Parameters of the region encoder with its head."""
    dim, depth, hidden = run.model.dim, run.model.depth, int(run.model.dim * run.model.mlp_ratio)
    block = 4 * dim + (3 * dim**2 + 3 * dim) + (dim**2 + dim) + (2 * dim * hidden + hidden + dim)
    backbone = in_dim * dim + dim + dim + (run.crops.global_size**2 + 1) * dim + depth * block + 2 * dim
    head = run.head
    biases = 2 * head.hidden + head.bottleneck
    return backbone + project_macs(run) + biases + head.bottleneck * head.out_dim


def state_bytes(run: PretrainRun, in_dim: int) -> int:
    """Bytes of a stored training state: student, teacher, and the optimiser's two moments, in float32."""
    return 4 * _FLOAT32 * network_parameters(run, in_dim)


def feature_bytes(regions: float, grid: int, in_dim: int) -> float:
    """Bytes of stored features: each token in half precision, with its colour (6 float32), tissue and flag."""
    return regions * grid**2 * (2 * in_dim + 6 * _FLOAT32 + _FLOAT32 + 1)
