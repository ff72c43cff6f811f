"""The true size of another tool's patches, and whether it is the size that regions are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_scripts.config import Regions, Slides, Source
from workflow_scripts.core.status import SlideError
from workflow_scripts.interchange.lattice import patch_width
from workflow_scripts.interchange.patches import SourcePatches

# Above this a token shows other tissue than the encoder and the regions are meant for; TRIDENT's magnification buckets
# are off by up to that, slide2vec and hs2p allow the same by default.
LARGEST_MISMATCH = 0.05


@dataclass(frozen=True)
class Placed:
    """Patches in level-0 px with their true size.

    Attributes:
        coords: float64 `[N, 2]`, level-0 px.
        size: width and height of a patch, level-0 px.
        um: width and height of a patch, um.
        mpp: um/px at level 0, x and y.
        mpp_source: where that is from.
    """

    coords: np.ndarray
    size: tuple[float, float]
    um: tuple[float, float]
    mpp: tuple[float, float]
    mpp_source: str


def level0_scale(
    patches: SourcePatches, check: dict[str, Any], manifest_mpp: float | Sequence[float] | None, slides: Slides
) -> tuple[float, float, str] | None:
    """um/px at level 0 in x and y and its source, from the slide, else the manifest, else the tool's files.

    The tool's magnification is a guess (10 / power) and counts only where `slides.mpp_from_objective` allows one.

    Args:
        patches: as the tool wrote them.
        check: the slide's row of `core.schemas.CHECK`; without a scale where the slide could not be opened.
        manifest_mpp: um/px of both axes, or of x and y.
        slides: section of the configuration: plausible scales, and whether a magnification counts.

    Raises:
        SlideError: `implausible_mpp`: outside `slides.mpp_min` to `mpp_max`.
    """
    if check.get("mpp_x"):
        return check["mpp_x"], check["mpp_y"], check["mpp_source"]
    if manifest_mpp:
        x, y = manifest_mpp if isinstance(manifest_mpp, Sequence) else (manifest_mpp, manifest_mpp)
        origin = "manifest"
    elif patches.mpp:
        x, y, origin = patches.mpp, patches.mpp, "source"
    elif patches.magnification and slides.mpp_from_objective:
        x = y = 10 / patches.magnification
        origin = "objective_guess"
    else:
        return None
    for mpp in (x, y):
        if not slides.mpp_min <= mpp <= slides.mpp_max:
            raise SlideError(
                "implausible_mpp",
                f"{mpp:g} um/px ({origin}) is outside {slides.mpp_min:g} to {slides.mpp_max:g}; give the column mpp "
                "in the manifest",
            )
    return x, y, origin


def place(patches: SourcePatches, known: tuple[float, float, str] | None, source: Source, regions: Regions) -> Placed:
    """Patches in level-0 px with their true size.

    Where patches are in um and nothing tells the scale of level 0, their positions are in px of `regions.mpp`.

    Args:
        patches: as the tool wrote them.
        known: from `level0_scale`.
        source: section of the configuration: the size of a patch where nothing else tells it.
        regions: section of the configuration: the scale of regions.

    Raises:
        SlideError: `no_mpp`: nothing tells how large a patch is.
    """
    stated = source.mpp * source.patch_px if source.mpp and source.patch_px else None
    um = patches.size_um or stated
    if patches.unit == "um":
        mpp_x, mpp_y, origin = known or (regions.mpp, regions.mpp, "none")
        assert um is not None  # the reader refuses files without it
        scale = np.array([mpp_x, mpp_y])
        return Placed(patches.coords / scale, (um / mpp_x, um / mpp_y), (um, um), (mpp_x, mpp_y), origin)
    px = patches.size_px or patch_width(patches.file, patches.coords)
    if known is None:
        if um is None:
            raise SlideError(
                "no_mpp",
                f"neither the slide nor {patches.file} tells a scale; give the column mpp in the manifest, or "
                "source.mpp and source.patch_px",
            )
        known = (um / px, um / px, "source" if patches.size_um else "config")
    mpp_x, mpp_y, origin = known
    return Placed(patches.coords, (px, px), (px * mpp_x, px * mpp_y), (mpp_x, mpp_y), origin)


def check_scale(file: str, um: tuple[float, float], regions: Regions) -> None:
    """Refuse patches whose width or height is more than 5 % off that of a patch of the regions.

    Raises:
        SlideError: `scale_mismatch`.
    """
    wanted = regions.patch_px * regions.mpp
    if max(abs(width / wanted - 1) for width in um) > LARGEST_MISMATCH:
        raise SlideError(
            "scale_mismatch",
            f"a patch of {file} is {um[0]:.4g} x {um[1]:.4g} um, one of the regions {wanted:g} um; extract with "
            f"patches of {wanted:g} um, or set regions.mpp and regions.patch_px to what was extracted",
        )
