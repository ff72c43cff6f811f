"""The configuration: one model a stage, the only source of validation, defaults and documentation.

Every field is described and unknown keys are refused. Fields marked with `free()` cannot change a result
(workers, batch size of a frozen encoder): editing them reruns nothing.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from workflow_scripts.core.digest import value_digest
from workflow_scripts.core.errors import UserError

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


def free(default: Any, **options: Any) -> Any:
    """Field that cannot change a result, kept out of what decides a rerun."""
    return Field(default, json_schema_extra={"free": True}, **options)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, frozen=True)


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Recursive update of nested dicts; neither argument is changed."""
    merged = dict(base)
    for key, value in over.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if nested else value
    return merged


def _without_dropped(named: Any) -> Any:
    """Named entries without those set to null, so that a config layered on top can drop one."""
    if not isinstance(named, dict):
        return named
    return {name: entry for name, entry in named.items() if entry is not None}


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


class Cohort(Section):
    name: Name = "demo"
    """Name of the cohort; results go to results/{name}/."""
    manifest: str = "config/demo/slides.csv"
    """CSV with the columns slide_id and path, and optionally patient_id, mpp and label columns."""
    max_failed_fraction: Fraction = free(0.5)
    """The run stops after the features when more than this fraction of the slides is excluded."""


class Demo(Section):
    directory: str = "resources/demo"
    """Slides of the manifest under this folder are synthetic and made by the workflow."""
    seed: int = 7
    """Seed of the synthetic slides; config/demo/slides.csv belongs to the default."""


class Slides(Section):
    mpp_min: Positive = 0.05
    """Finest plausible scale in um/px; a slide outside mpp_min..mpp_max is excluded."""
    mpp_max: Positive = 5.0
    """Coarsest plausible scale in um/px."""
    mpp_from_objective: bool = False
    """Where no scale is recorded, guess it as 10 / objective power (20x: 0.5 um/px); recorded as a guess."""


class Tissue(Section):
    method: Literal["saturation", "optical_density"] = "saturation"
    """What is thresholded: HSV saturation, or mean optical density."""
    mpp: Positive = 8.0
    """Scale at which the slide is segmented, um/px, the same for every slide."""
    threshold: Literal["otsu"] | float = "otsu"
    """`otsu` (one threshold a slide), or a fixed value: saturation 0..1, optical density from 0."""
    threshold_min: float = 0.04
    """Otsu's threshold is never taken below this, so that clean glass gives no tissue."""
    smooth_um: float = Field(16.0, ge=0)
    """Width of the median filter before thresholding, um; 0 switches it off."""
    closing_um: float = Field(32.0, ge=0)
    """Radius of the morphological closing, um."""
    min_area_um2: float = Field(50_000.0, ge=0)
    """Tissue pieces smaller than this are dropped, um2."""
    min_hole_um2: float = Field(50_000.0, ge=0)
    """Holes smaller than this are filled, um2."""


class Regions(Section):
    mpp: Positive = 0.5
    """Scale at which regions are read, um/px."""
    patch_px: Annotated[int, Field(ge=16)] = 256
    """Width of a patch at that scale, px."""
    grid: Annotated[int, Field(ge=2, le=64)] = 16
    """Patches along each side of a region: 16 patches of 256 px are the paper's 4096 px region."""
    min_tissue_fraction: Fraction = 0.1
    """Regions with less tissue than this are left out."""
    stride_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Step between regions as a fraction of their width; below 1 they overlap."""


class Features(Section):
    encoder: Name = "vits16"
    """Name of the encoder's folder under features/, of your choosing."""
    model: str = "vit_small_patch16_224"
    """A name of the registry (workflow_scripts/encoders), a timm name, or `hf-hub:owner/model`."""
    weights: str | None = None
    """Local checkpoint (.safetensors, or .pth with plain tensors); null for weights from a package or the hub."""
    weights_sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    """Digest that the checkpoint must have."""
    allow_network: bool = False
    """Allow timm to fetch weights from the hub at run time."""
    input_px: int | None = Field(None, ge=16)
    """Size to which patches are resized before encoding; null keeps patch_px."""
    mean: tuple[float, float, float] | None = None
    """Normalisation mean; null takes the encoder's own."""
    std: tuple[float, float, float] | None = None
    """Normalisation standard deviation; null takes the encoder's own."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the encoder."""
    encode_glass: bool = False
    """Encode patches without tissue one by one; otherwise they share the token of a white patch."""
    max_unreadable_fraction: Fraction = 0.1
    """A slide with a larger fraction of unreadable patches is excluded."""
    shards: Count = 4
    """GPU jobs that the slides are dealt to, by a stable hash of slide_id."""
    batch_size: Count = free(64)
    """Patches encoded at once."""


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
    student_temp: Positive = 0.1
    """Temperature of the student's softmax."""
    center_momentum: Fraction = 0.9
    """Momentum of the centres of the teacher's and the prototypes' logits."""


class Prototypes(Section):
    count: Annotated[int, Field(ge=2, le=16)] = 4
    """Prototypes a slide (M in the paper's text; NSCLC 4, BRCA 2)."""
    min_regions: Count = 32
    """Slides with fewer regions get L_self alone (NSCLC 32, BRCA 16)."""
    iterations: Count = 10
    """Iterations of k-means."""
    restarts: Count = 5
    """Restarts of k-means; the best is kept."""
    view: Literal["centre", "full"] = "centre"
    """Tokens a region is clustered by: the centre crop of global_size, or the whole grid."""

    @model_validator(mode="after")
    def _enough_regions(self) -> "Prototypes":
        if self.min_regions < self.count:
            raise ValueError(f"min_regions ({self.min_regions}) must be at least count ({self.count})")
        return self


class Neighbours(Section):
    count: Count = 1
    """Nearest slides whose prototypes a slide distils (K in the paper's text)."""
    matching: Literal["optimal", "argmax"] = "optimal"
    """Prototype correspondence: the optimal matching, or each prototype's most similar one (official code)."""
    exclude_same_patient: bool = False
    """Never take another slide of the same patient as a neighbour."""


class PretrainRun(Section):
    seed: int = 0
    """Seed of initialisation, sampling, crops and k-means."""
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
        if self.loss.self_weight + self.loss.intra_weight + self.loss.inter_weight == 0:
            raise ValueError("loss: at least one of the three weights must be above 0")
        return self

    @property
    def uses_prototypes(self) -> bool:
        return self.loss.intra_weight > 0 or self.loss.inter_weight > 0

    def _settings_of(self, *sections: str, **fixed: int) -> dict[str, Any]:
        """Settings of one step: what it depends on, all else at fixed values, still a valid PretrainRun."""
        neutral = {"warmup_epochs": 1, "rounds": 1, "epochs_per_round": 1}
        return neutral | fixed | self.model_dump(mode="json", include=set(sections))

    def warm_up_settings(self) -> dict[str, Any]:
        """Settings on which the warm-up depends; runs in which they are equal share one."""
        sections = ("seed", "model", "head", "crops", "optimiser", "loss", "warmup_epochs", "schedule_epochs")
        settings = self._settings_of(*sections)
        for weight in ("self_weight", "intra_weight", "inter_weight"):
            del settings["loss"][weight]
        return settings

    def cluster_settings(self) -> dict[str, Any]:
        """Settings on which the clustering of a round depends, besides the state."""
        return self._settings_of("seed", "model", "head", "crops", "prototypes", schedule_epochs=2)

    def distill_settings(self) -> dict[str, Any]:
        """Settings on which the distillation of a round depends, besides state and prototypes."""
        sections = ("seed", "model", "head", "crops", "optimiser", "loss", "warmup_epochs", "epochs_per_round")
        return self._settings_of(*sections, "schedule_epochs")

    def warm_up_key(self) -> str:
        """Name of the warm-up's folder."""
        return value_digest(self.warm_up_settings())[:8]


class Pretrain(Section):
    defaults: PretrainRun = PretrainRun()
    """Settings of every run."""
    runs: dict[Name, dict[str, Any]] = Field(
        {"slpd": {}, "dino": {"loss": {"intra_weight": 0, "inter_weight": 0}}}, min_length=1
    )
    """Named runs; each is the defaults with the keys given here replaced. null drops a run of a config below."""

    @field_validator("runs", mode="before")
    @classmethod
    def _drop_runs(cls, value: Any) -> Any:
        return _without_dropped(value)

    @model_validator(mode="after")
    def _runs_are_valid(self) -> "Pretrain":
        for name in self.runs:
            try:
                self.run(name)
            except ValidationError as error:
                raise ValueError(f"run {name}: {_first_problem(error)}") from None
        return self

    def run(self, name: str) -> PretrainRun:
        """Settings of one run, overrides merged into the defaults."""
        return PretrainRun.model_validate(merge(self.defaults.model_dump(), self.runs[name]))


class Embed(Section):
    baselines: list[Literal["mean", "colour"]] = ["mean", "colour"]
    """Representations without pretraining: mean of patch features; mean and deviation of the patches' colour."""


class Task(Section):
    kind: Literal["classification", "ordinal", "survival"]
    """classification, ordinal (grades in the order of `classes`), or survival."""
    label: str | None = None
    """Column of the manifest with the class (classification, ordinal)."""
    classes: list[str] | None = None
    """Class names in order; null takes the sorted values of the column."""
    time: str | None = None
    """Column with the time to event or censoring (survival)."""
    event: str | None = None
    """Column with 1 for an event and 0 for censoring (survival)."""

    @model_validator(mode="after")
    def _columns(self) -> "Task":
        missing = [
            k for k in (("time", "event") if self.kind == "survival" else ("label",)) if getattr(self, k) is None
        ]
        if missing:
            raise ValueError(f"a {self.kind} task needs the key {' and '.join(missing)}")
        return self


class Benchmark(Section):
    tasks: dict[Name, Task] = {"subtype": Task(kind="classification", label="subtype")}
    """Tasks by name. null drops a task of a config below."""
    heads: dict[Literal["classification", "ordinal", "survival"], list[str]] = {
        "classification": ["knn", "logistic", "abmil"],
        "ordinal": ["knn", "logistic", "abmil"],
        "survival": ["cox"],
    }
    """Heads of each kind of task; names of the registry in workflow_scripts/mil."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Patient-level stratified folds."""
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Fraction of a fold's training patients held out as part `val`."""
    seed: int = 0
    """Seed of folds, heads and bootstrap."""
    bootstraps: Annotated[int, Field(ge=100)] = 1000
    """Patient bootstraps for the 95 % intervals."""
    baseline: Name = "mean"
    """Representation that the others are compared with, paired by patient."""
    region_truth: str | None = None
    """Folder with a map of tissue classes per slide ({slide_id}.npz), to score the prototypes against."""

    @field_validator("tasks", mode="before")
    @classmethod
    def _drop_tasks(cls, value: Any) -> Any:
        return _without_dropped(value)


class Report(Section):
    title: str = "SLPD cohort report"
    """Title of report.html."""
    example_slides: Annotated[int, Field(ge=0)] = 4
    """Slides shown with their map of prototypes and nearest regions."""


class Config(Section):
    cohort: Cohort = Cohort()
    demo: Demo = Demo()
    slides: Slides = Slides()
    tissue: Tissue = Tissue()
    regions: Regions = Regions()
    features: Features = Features()
    pretrain: Pretrain = Pretrain()
    embed: Embed = Embed()
    benchmark: Benchmark = Benchmark()
    report: Report = Report()

    @field_validator("pretrain")
    @classmethod
    def _run_names(cls, value: Pretrain) -> Pretrain:
        clash = {"mean", "colour"} & set(value.runs)
        if clash:
            raise ValueError(f"runs: {sorted(clash)[0]} is the name of a baseline; choose another")
        return value

    @model_validator(mode="after")
    def _crops_fit_grid(self) -> "Config":
        for name in self.pretrain.runs:
            size = self.pretrain.run(name).crops.global_size
            if size > self.regions.grid:
                raise ValueError(
                    f"pretrain run {name}: crops.global_size ({size}) exceeds regions.grid ({self.regions.grid})"
                )
        known = [*self.embed.baselines, *self.pretrain.runs]
        if self.benchmark.baseline not in known:
            raise ValueError(f"benchmark.baseline: {self.benchmark.baseline} is none of {', '.join(known)}")
        return self


def load_config(raw: dict[str, Any]) -> Config:
    """Validate a whole configuration.

    Raises:
        UserError: one sentence with the first wrong key.
    """
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise UserError(f"configuration: {_first_problem(error)}; see config/README.md") from None


def result_settings(section: BaseModel) -> dict[str, Any]:
    """A section's values without its free fields: what decides whether a stage runs again."""
    free_fields = {
        name for name, field in type(section).model_fields.items() if (field.json_schema_extra or {}).get("free")
    }
    return section.model_dump(mode="json", exclude=free_fields)
