"""Sections of one pretraining run: the model, the crops, the optimiser, the losses, the prototypes, the neighbours."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from workflow_scripts.config.base import Count, Fraction, Positive, Section, merge
from workflow_scripts.core.loss_terms import TERMS, LossTerm, Targets


class Model(Section):
    dim: Count = 192
    """Width of the region encoder (vit4k_xs: 192)."""
    depth: Count = 6
    """Transformer blocks."""
    heads: Count = 6
    """Attention heads."""
    mlp_ratio: Positive = 4.0
    """Width of the MLP over the width of the model."""
    drop_path: Fraction = 0.1
    """Stochastic depth of the student's last block, linear over the blocks."""


class Head(Section):
    hidden: Count = 2048
    """Width of the projection head's hidden layers."""
    bottleneck: Count = 256
    """Width of the L2-normalised feature that is clustered."""
    out_dim: Count = 65536
    """Number of output units."""


class Crops(Section):
    global_size: Count = 14
    """Side of a global crop, tokens."""
    global_count: Annotated[int, Field(ge=2)] = 2
    """Global crops a region; the teacher sees these only."""
    local_size: Count = 6
    """Side of a local crop, tokens."""
    local_count: Annotated[int, Field(ge=0)] = 8
    """Local crops a region."""
    flip: Fraction = 0.5
    """Probability of a horizontal flip of each crop."""
    min_tissue: Fraction = 0.0
    """Least tissue fraction of a crop; a region that has no such window gives its fullest. 0 takes any (published)."""


class Optimiser(Section):
    batch_size: Count = 512
    """Regions a step, over all devices together."""
    lr: Positive = 0.0005
    """Learning rate for a batch of 256; scaled linearly with the batch."""
    lr_min: float = Field(1.0e-6, ge=0)
    """Learning rate at the end of the schedule."""
    lr_warmup_epochs: int = Field(10, ge=0)
    """Epochs of linear warm-up of the learning rate."""
    weight_decay: float = Field(0.04, ge=0)
    """Weight decay at the start; none for biases and 1-D parameters."""
    weight_decay_end: float = Field(0.4, ge=0)
    """Weight decay at the end (cosine)."""
    clip_grad: float = Field(3.0, ge=0)
    """Largest gradient norm of each parameter tensor on its own; 0 switches clipping off."""
    teacher_momentum: Fraction = 0.996
    """Momentum of the teacher at the start; rises to 1 (cosine)."""
    freeze_last_layer_epochs: int = Field(1, ge=0)
    """Epochs during which the head's last layer gets no gradient."""


class Loss(Section):
    self_weight: float = Field(1.0, ge=0)
    """Weight of L_self, self-distillation between crops (DINO)."""
    intra_weight: float = Field(1.0, ge=0)
    """Weight of L_intra, distillation of the region's own prototype."""
    inter_weight: float = Field(1.0, ge=0)
    """Weight of L_inter, distillation of the matched prototypes of the nearest slides."""
    teacher_temp: Positive = 0.04
    """Temperature of the teacher's softmax."""
    student_temp: Annotated[float, Field(ge=0.02)] = 0.1
    """Temperature of the student's softmax."""
    center_momentum: Fraction = 0.9
    """Momentum of the centres of the teacher's and the prototypes' logits."""
    proto_center: Literal["joint", "shared", "separate", "dino", "none", "sinkhorn"] = "joint"
    """Centre of the prototypes' logits: `joint` (one, updated once a step from all targets), `shared` (one, updated by
    L_intra and then again by L_inter: official code), `separate` (one each), `dino` (that of L_self), `none` (a plain
    softmax), `sinkhorn` (the targets of each step are balanced over the output units, as SwAV does)."""
    skip_same_index: bool = False
    """Leave crop i out of the loss of a region's i-th target, as the official code does by oversight."""
    neighbour_temp: float = Field(0.0, ge=0)
    """Nearer slides count more in L_inter: by exp(mean cosine of the matched prototypes / this); 0 counts all alike."""
    soft_temp: float = Field(0.0, ge=0)
    """A region distils a mixture of its slide's prototypes, shares by softmax(cosine / this); 0 takes its own alone."""

    def weight(self, term: LossTerm) -> float:
        """Weight of a term in a step with prototypes."""
        return float(getattr(self, term.weight))

    def uses(self, targets: Targets) -> bool:
        """Whether a term on such targets has a weight above 0."""
        return any(self.weight(term) > 0 for term in TERMS if term.targets == targets)


class Prototypes(Section):
    count: Annotated[int, Field(ge=2, le=16)] = 4
    """Prototypes a slide (published: NSCLC 4, BRCA 2)."""
    min_regions: Count = 32
    """Slides with fewer regions get L_self alone (published: NSCLC 32, BRCA 16)."""
    iterations: Count = 10
    """Iterations of k-means."""
    restarts: Count = 5
    """Restarts of k-means; the best is kept."""
    view: Literal["centre", "full"] = "centre"
    """Tokens a region is clustered by: the centre crop of global_size, or the whole grid."""
    level: Literal["slide", "global"] = "slide"
    """Cluster the regions of each slide (SLPD), or those of the whole cohort at once (ablation; no L_inter)."""
    global_count: Annotated[int, Field(ge=2)] = 64
    """Prototypes of the cohort where level is `global`."""
    features: Literal["bottleneck", "backbone"] = "bottleneck"
    """What is clustered: the head's unit bottleneck feature, or the backbone's (prototypes then pass the head)."""
    kmeans: Literal["euclidean", "spherical"] = "euclidean"
    """Centroids during k-means: plain means (published), or means brought back to unit length."""
    mask_glass: bool = True
    """Hide tokens without any tissue where regions are clustered, as `mask_glass` of the run does everywhere; false as
    published."""
    min_tissue: Fraction = 0.0
    """Least tissue fraction of the regions that form prototypes; at least the `min_regions` fullest of a slide do."""
    others: Literal["assign", "none"] = "assign"
    """Regions below min_tissue belong to their nearest prototype, or to none, so that L_self alone trains them."""
    weighting: Literal["none", "tissue"] = "none"
    """Weights of regions in the centroids: equal (published), or their tissue fraction."""
    adjust: Literal["none", "tissue"] = "none"
    """Cluster features as they are (published), or without what the tissue fraction tells of them linearly."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the matched prototypes of the clustering before in a moving average; 0 takes the new ones alone."""

    @property
    def uses_tissue(self) -> bool:
        """Whether the clustering looks at the tissue fraction of regions."""
        return self.min_tissue > 0 or self.weighting == "tissue" or self.adjust == "tissue"

    @model_validator(mode="after")
    def _enough_regions(self) -> "Prototypes":
        if self.min_regions < self.count:
            raise ValueError(f"min_regions ({self.min_regions}) must be at least count ({self.count})")
        return self


class Neighbours(Section):
    count: Count = 1
    """Nearest slides whose prototypes a slide distils (published: 1)."""
    matching: Literal["optimal", "argmax"] = "optimal"
    """Prototype correspondence: the optimal matching, or each prototype's most similar one (official code)."""
    exclude_same_patient: bool = False
    """Never take another slide of the same patient as a neighbour."""


# Keys that are younger than results and warm-ups that users have, with the value that asks for what was done before
# there was the key: left out of what names these where they have it.
_YOUNGER: dict[str, dict[str, Any]] = {
    "loss": {"neighbour_temp": 0.0, "soft_temp": 0.0},
    "crops": {"min_tissue": 0.0},
    "prototypes": {
        **{"mask_glass": False, "min_tissue": 0.0, "others": "assign", "weighting": "none", "adjust": "none"},
        "momentum": 0.0,
    },
}


def with_younger(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a step or a model with the younger keys that they lack, as it was before there were these."""
    return merge(_YOUNGER, settings)


def without_younger(name: str, settings: Any) -> Any:
    """A section's settings without its younger keys that ask for what was done before them."""
    before = _YOUNGER.get(name)
    if before is None:
        return settings
    return {key: value for key, value in settings.items() if key not in before or value != before[key]}
