"""The configuration of the stages from a slide to its features."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from workflow_scripts.config.base import (
    Count,
    Fraction,
    Name,
    Positive,
    Section,
    free,
    known,
    names_in,
    without_repeats,
)
from workflow_scripts.core.own_function import own_function


class Slides(Section):
    mpp_min: Positive = 0.05
    """Finest plausible scale in um/px; a slide outside mpp_min..mpp_max is excluded."""
    mpp_max: Positive = 5.0
    """Coarsest plausible scale in um/px."""
    mpp_from_objective: bool = False
    """Where no scale is recorded, guess it as 10 / objective power (20x: 0.5 um/px); recorded as a guess."""
    mpp_of_regions: Positive | None = None
    """Exclude slides that would be enlarged to this scale, um/px; null takes them. `apply` sets that of the model."""
    keep_fetched: bool = free(True)
    """Keep remote slides; false removes each after its features, and fetches it again only if it is needed again."""
    per_job: Count | None = None
    """Slides that one job checks, segments or tiles one after another, about; null takes 4 to 64, by the cohort."""
    give_up_s: float = free(1800.0, gt=0, le=1_000_000)
    """Seconds after which such a job, or one of features, gives up a slide that does not answer, and takes the next."""


# CLAM's presets (https://github.com/mahmoodlab/CLAM, presets/*.csv and the defaults of create_patches_fp.py): sthresh,
# mthresh, close, a_t, a_h, max_n_holes. They count pixels of the level nearest to 64 and areas in patches of 512 px at
# level 0; both are taken at 0.25 um/px (40x), so a pixel of the mask is 16 um and a patch 128 um wide.
_CLAM = {
    "generic": (8, 7, 4, 100, 16, 8),
    "tcga": (8, 7, 4, 16, 4, 8),
    "bwh_biopsy": (15, 11, 2, 1, 1, 2),
    "bwh_resection": (15, 11, 4, 100, 16, 8),
}
_CLAM_PX_UM, _CLAM_PATCH_UM = 64 * 0.25, 512 * 0.25


def clam_preset(name: str) -> dict[str, Any]:
    """Values of section `tissue` that stand for one of CLAM's presets, in physical units."""
    sthresh, mthresh, close, area, hole, holes = _CLAM[name]
    return {
        "threshold": sthresh / 255,
        "smooth_um": mthresh * _CLAM_PX_UM,
        "closing_um": close * _CLAM_PX_UM / 2,
        "min_area_um2": area * _CLAM_PATCH_UM**2,
        "min_hole_um2": hole * _CLAM_PATCH_UM**2,
        "max_holes": holes,
    }


class Tissue(Section):
    method: str = "saturation"
    """`saturation` (HSV), `optical_density` (mean), `clam` (CLAM's recipe), or your own `module:function`."""
    preset: Literal["generic", "tcga", "bwh_biopsy", "bwh_resection"] | None = None
    """CLAM's preset (method clam): it sets threshold, smooth_um, closing_um, min_area_um2, min_hole_um2, max_holes."""
    masks: str | None = None
    """Folder with masks of your own, {slide_id}.geojson (QuPath) or .png, .tif, .tiff; they replace segmentation."""
    mpp: Positive = 8.0
    """Scale at which the slide is segmented, um/px, the same for every slide."""
    threshold: Literal["otsu"] | float = "otsu"
    """`otsu` (one threshold a slide; 0.5 of a function of your own), or a value: 0..1, optical density from 0."""
    threshold_min: float = 0.04
    """Otsu's threshold is never taken below this, so that clean glass gives no tissue."""
    pale_factor: Annotated[float, Field(gt=0, le=1)] = 0.55
    """Away from dense tissue, this fraction of Otsu's threshold suffices, as fat needs; 1 switches it off."""
    smooth_um: float = Field(16.0, ge=0)
    """Width of the smoothing before the threshold, um: a Gaussian (clam: the median filter); 0 switches it off."""
    closing_um: float = Field(32.0, ge=0)
    """Radius of the morphological closing, um."""
    min_area_um2: float = Field(50_000.0, ge=0)
    """Tissue pieces smaller than this are dropped, um2."""
    min_hole_um2: float = Field(50_000.0, ge=0)
    """Holes smaller than this are filled, um2."""
    max_holes: Annotated[int, Field(ge=0)] | None = None
    """Holes kept in each piece, the largest; null keeps all."""
    max_unreadable_fraction: Fraction = 0.1
    """A slide of which a larger fraction cannot be read is excluded, unless it has a mask of yours."""
    remove_pen: bool = True
    """Pen ink is not counted as tissue, unless most of the tissue has its colour and is not drawn in strokes."""
    focus_min: float = Field(0.012, ge=0)
    """Fields of tissue with a focus measure below this count as blurred; 0 switches the measure off."""
    focus_fields: Count = 100
    """Fields of 256 um that are measured, at most, spread over the tissue."""

    @field_validator("method")
    @classmethod
    def _known_method(cls, value: str) -> str:
        return value if own_function("tissue.method", value) else known("method", value, names_in("tissue", "method_"))

    @model_validator(mode="before")
    @classmethod
    def _fill_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        preset = values.get("preset")
        if preset is not None and values.get("method") != "clam":
            raise ValueError("preset: the presets are CLAM's; set method: clam, or preset: null")
        # It wins over the keys: a config that is laid over another cannot take that one's keys away.
        return {**values, **clam_preset(preset)} if preset in _CLAM else values


class Regions(Section):
    mpp: Positive = 0.5
    """Scale at which regions are read, um/px."""
    patch_px: Annotated[int, Field(ge=16)] = 256
    """Width of a patch at that scale, px."""
    grid: Annotated[int, Field(ge=2, le=64)] = 16
    """Patches along each side of a region: 16 patches of 256 px are the paper's 4096 px region."""
    min_tissue_fraction: Fraction = 0.1
    """Regions with less tissue than this are left out."""
    min_patch_tissue: Fraction = 0.0
    """Patches with less tissue than this count as glass: they take the glass token, and their fraction is 0."""
    stride_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Step between regions as a fraction of their width; below 1 they overlap."""
    max_per_slide: Count | None = None
    """Regions kept of a slide at most, drawn by chance among those with enough tissue; null keeps all."""
    seed: int = 0
    """Seed of that draw, which depends on the slide's own regions alone."""


class Features(Section):
    encoder: Name = "hipt_vits16"
    """Name of the encoder's folder under features/, of your choosing; where only `model` is named, that one's name."""
    model: str = "hipt_vits16_256"
    """A name of the registry (docs/encoders.md), a timm name, `hf-hub:owner/model`, or your own `module:function`."""
    weights: str | None = None
    """Local checkpoint (.safetensors, or .pth/.bin with plain tensors) or a model's folder as the hub gives it."""
    weights_sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    """Digest that the checkpoint must have."""
    allow_network: bool = False
    """Allow weights to be fetched from the hub at run time."""
    hub_folder: str | None = None
    """The hub's cache, used without a network too; null takes the hub's own place (HF_HOME)."""
    input_px: int | None = Field(None, ge=16)
    """Width that the encoder is given, px; null takes the registry's own, and patch_px for other models."""
    fit: Literal["resize", "crop"] | None = None
    """How patches of another width reach input_px: `resize` them, or `crop` their centre; null takes the encoder's."""
    allow_mismatch: bool = False
    """Accept a um/px or an input size that the encoder was not trained for; otherwise it is refused."""
    mean: tuple[float, float, float] | None = None
    """Normalisation mean; null takes the encoder's own."""
    std: tuple[float, float, float] | None = None
    """Normalisation standard deviation; null takes the encoder's own."""
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    """Arithmetic of products; `auto` takes bfloat16 for a transformer where the hardware multiplies in it."""
    compile: bool = False
    """Compile the encoder first: minutes that a large cohort earns back; a CPU needs a C++ compiler for it."""
    encode_glass: bool = False
    """Encode patches without tissue one by one; otherwise they share the token of a white patch."""
    max_unreadable_fraction: Fraction = 0.1
    """A slide with a larger fraction of unreadable patches is excluded."""
    shards: Count = 4
    """GPU jobs that the slides are dealt to, by a stable hash of slide_id."""
    batch_size: Count | None = free(None)
    """Patches encoded at once; null takes 16 on a CPU and the fastest found on a GPU. Moves last bits at most."""

    @model_validator(mode="before")
    @classmethod
    def _name_the_folder(cls, values: Any) -> Any:
        """Features must not lie under the name of another encoder because only the model was named."""
        if not isinstance(values, dict) or not isinstance(values.get("model"), str) or values.get("encoder"):
            return values
        return {**values, "encoder": re.sub(r"[^A-Za-z0-9]+", "_", values["model"]).strip("_") or "encoder"}


class Source(Section):
    kind: Literal["trident", "clam", "slide2vec", "stamp"] | None = None
    """Tool whose patch features are taken instead of computing them; null computes them here."""
    folder: str | None = None
    """Folder with that tool's feature files, named by slide_id or as the slide's file."""
    coords_folder: str | None = None
    """Folder with its coordinate files; null looks where the tool puts them."""
    mpp: Positive | None = None
    """Scale at which its patches were read, um/px; used where neither slides nor files tell their true size."""
    patch_px: Annotated[int, Field(ge=1)] | None = None
    """Width of its patches at that scale, px; given together with mpp."""

    @model_validator(mode="after")
    def _complete(self) -> "Source":
        if self.kind and not self.folder:
            raise ValueError(f"folder: {self.kind} features need source.folder, where their files are")
        if (self.mpp is None) != (self.patch_px is None):
            raise ValueError("mpp and patch_px belong together; give both or neither")
        return self


class Export(Section):
    formats: Annotated[list[Literal["trident", "clam"]], AfterValidator(without_repeats)] = Field(
        ["trident"], min_length=1
    )
    """Layouts that the target `export` writes: HDF5 as TRIDENT's; HDF5 and .pt as CLAM's."""
