"""Settings of one pretraining run: the model, the crops, the losses, the rounds."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from workflow_scripts.config.base import Count, Fraction, Name, Positive, Section, free
from workflow_scripts.core.digest import value_digest
from workflow_scripts.core.loss_terms import SELF, TERMS, LossTerm, Targets


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
    proto_center: Literal["joint", "shared", "separate", "dino", "none"] = "joint"
    """Centre of the prototypes' logits: `joint` (one, updated once a step from all targets), `shared` (one, updated by
    L_intra and then again by L_inter: official code), `separate` (one each), `dino` (that of L_self), `none`."""
    skip_same_index: bool = False
    """Leave crop i out of the loss of a region's i-th target, as the official code does by oversight."""

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


class PretrainRun(Section):
    seed: int = 0
    """Seed of initialisation, sampling, crops and k-means."""
    seeds: Annotated[int, Field(ge=1, le=99)] = 1
    """Trainings by as many seeds, from `seed` on; the benchmark gives their mean, and their spread enters its
    intervals."""
    train_only: Name | None = None
    """Task for each of whose folds the run is trained anew, on the slides of the fold's training patients alone; it is
    benchmarked in that task. Costs as many pretrainings as there are folds."""
    fold: Annotated[int, Field(ge=0)] | None = None
    """Which fold of that task; train_only sets it."""
    init: str | None = None
    """Where training starts: null (from scratch), the state.safetensors or model.safetensors of an earlier run, or
    HIPT's vit4k_xs_dino.pth."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the network in training; `auto` is bfloat16 where the processor or GPU multiplies in it."""
    compile: Literal["auto"] | bool = free("auto")
    """Training through torch.compile and as a CUDA graph, which gives the same to rounding; `auto` does so on a GPU,
    and compiles in jobs of a million regions times epochs and more alone, for it takes a while."""
    deterministic: bool = free(False)
    """The same bits from every training on the same GPU, by slower kernels and without compiling or recording; on a CPU
    the same machine with as many threads gives them anyway."""
    mask_glass: bool = False
    """Hide tokens without any tissue from the network; the paper keeps them."""
    model: Model = Model()
    head: Head = Head()
    crops: Crops = Crops()
    optimiser: Optimiser = Optimiser()
    loss: Loss = Loss()
    prototypes: Prototypes = Prototypes()
    neighbours: Neighbours = Neighbours()
    warmup_epochs: int = Field(21, ge=1)
    """Epochs of L_self alone before the first round (the official code's `epoch > 20`)."""
    rounds: int = Field(79, ge=1, le=99)
    """Rounds of cluster, assign and distill."""
    epochs_per_round: Count = 1
    """Epochs of distillation in each round."""
    recluster_every: Count = 1
    """Rounds from one clustering to the next; the rounds between go on with the same prototypes."""
    stop_agreement: Annotated[float, Field(gt=0, le=1)] | None = None
    """Rounds end early once successive assignments agree this well (mean adjusted Rand index over slides)."""
    schedule_epochs: Count = 100
    """Length of the schedules; adding rounds within it reruns nothing that is done."""

    @model_validator(mode="after")
    def _consistent(self) -> "PretrainRun":
        total = self.warmup_epochs + self.rounds * self.epochs_per_round
        if total > self.schedule_epochs:
            raise ValueError(
                f"schedule_epochs ({self.schedule_epochs}) must cover "
                f"warmup_epochs + rounds * epochs_per_round ({total})"
            )
        if self.model.dim % self.model.heads:
            raise ValueError(f"model.dim ({self.model.dim}) must be a multiple of model.heads ({self.model.heads})")
        if self.crops.local_size > self.crops.global_size:
            raise ValueError("crops.local_size must not exceed crops.global_size")
        if not self.loss.uses("crops") and not self.uses_prototypes:
            raise ValueError("loss: at least one weight must be above 0 (prototypes.level global has no L_inter)")
        if self.train_only is not None and self.seeds > 1:
            raise ValueError("train_only and seeds above 1 are not offered together; drop one of the two")
        if self.optimiser.lr_warmup_epochs > self.schedule_epochs:
            raise ValueError(
                f"optimiser.lr_warmup_epochs ({self.optimiser.lr_warmup_epochs}) must not exceed "
                f"schedule_epochs ({self.schedule_epochs})"
            )
        return self

    @property
    def uses_prototypes(self) -> bool:
        """Whether any term on prototypes takes part in the rounds."""
        by_slide = self.prototypes.level == "slide"  # prototypes of the whole cohort have no neighbours
        return self.loss.uses("own") or (self.loss.uses("neighbours") and by_slide)

    @property
    def has_slide_sets(self) -> bool:
        """Whether every slide gets a set of prototypes of its own."""
        return self.uses_prototypes and self.prototypes.level == "slide"

    def clustered_in(self, number: int) -> int:
        """Round (from 1) whose prototypes round `number` distils."""
        return number - (number - 1) % self.recluster_every

    def _settings_of(self, *sections: str, **fixed: int) -> dict[str, Any]:
        """Settings of one step: what it depends on, all else at fixed values, still a valid PretrainRun."""
        neutral = {"warmup_epochs": 1, "rounds": 1, "epochs_per_round": 1}
        return neutral | fixed | self.model_dump(mode="json", include={*sections, "precision", "mask_glass"})

    def warm_up_settings(self) -> dict[str, Any]:
        """Settings on which the warm-up depends; runs in which they are equal share one."""
        sections = ("seed", "init", "model", "head", "crops", "optimiser", "loss", "warmup_epochs", "schedule_epochs")
        settings = self._settings_of(*sections)
        # there are no prototypes yet, and without them L_self counts fully
        unused = {term.weight for term in TERMS if term.on_prototypes or term == SELF}
        unused |= {"proto_center", "skip_same_index"}
        settings["loss"] = {key: value for key, value in settings["loss"].items() if key not in unused}
        # of other slides; left out elsewhere, for the warm-ups of runs on all slides are named without them
        return settings | ({"train_only": self.train_only, "fold": self.fold} if self.train_only else {})

    def cluster_settings(self) -> dict[str, Any]:
        """Settings on which the clustering of a round depends, besides the state."""
        sections = ("seed", "model", "head", "crops", "prototypes", "stop_agreement")
        return self._settings_of(*sections, schedule_epochs=100)

    def distill_settings(self) -> dict[str, Any]:
        """Settings on which the distillation of a round depends, besides state and prototypes."""
        sections = ("seed", "model", "head", "crops", "optimiser", "loss", "warmup_epochs", "epochs_per_round")
        settings = self._settings_of(*sections, "schedule_epochs")
        kind = {"level": self.prototypes.level, "features": self.prototypes.features}
        return settings | {"prototypes": kind}

    def warm_up_key(self) -> str:
        """Name of the warm-up's folder."""
        return value_digest(self.warm_up_settings())[:8]
