"""What is known of an encoder before it is built: fields of an entry of the registry, and normalisations. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Triple = tuple[float, float, float]
Fit = Literal["resize", "crop"]
Interpolation = Literal["bilinear", "bicubic"]
Pooling = Literal["class token", "class token and mean of the patch tokens", "mean over the map", "the model's own"]

HALF: tuple[Triple, Triple] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET: tuple[Triple, Triple] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
H_OPTIMUS: tuple[Triple, Triple] = ((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))
LUNIT: tuple[Triple, Triple] = ((0.70322989, 0.53606487, 0.66096631), (0.21716536, 0.26081574, 0.20723464))


@dataclass(frozen=True)
class EncoderFacts:
    """What is published about one encoder, and for those of the registry by what it is built: `timm` or `module`.

    Attributes:
        pretrained_on: data that the weights were trained on.
        licence: licence of the weights.
        normalisation: mean and standard deviation of RGB in 0..1.
        architecture: in words.
        parameters: of the module without a classifier.
        dim: features of a patch, D.
        input_px: width that the model takes, px; None where it takes patches as they are read.
        token_px: width of a ViT's token, px; None for a convolutional network, which takes any width.
        pooling: what of the model's output is the feature.
        registers: register tokens of a ViT.
        fit: how a patch of another width becomes one of `input_px`: `resize` as a whole, or `crop` its centre.
        interpolation: of a resize, always antialiased.
        mpps: scales of the training patches, um/px; empty where they were no slides.
        hub: name on the model hub; None where the weights are published elsewhere.
        gated: whether the hub asks for a login and the acceptance of a licence.
        timm: name of the architecture, which timm builds with `options`.
        options: further arguments of `timm.create_model`; a class of timm's layers is given by its name.
        module: file of `encoders/` that builds it.
        packaged_sha256: digest of the weights that a package brings; None where none does.
        published: where weights are to be had that neither a package nor the hub has.
    """

    pretrained_on: str
    licence: str
    normalisation: tuple[Triple, Triple]
    architecture: str = ""
    parameters: int | None = None
    dim: int | None = None
    input_px: int | None = None
    token_px: int | None = None
    pooling: Pooling = "class token"
    registers: int = 0
    fit: Fit = "resize"
    interpolation: Interpolation = "bilinear"
    mpps: tuple[float, ...] = ()
    hub: str | None = None
    gated: bool = False
    timm: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    module: str | None = None
    packaged_sha256: str | None = None
    published: str | None = None

    @property
    def packaged(self) -> bool:
        """Whether a package brings the weights."""
        return self.packaged_sha256 is not None
