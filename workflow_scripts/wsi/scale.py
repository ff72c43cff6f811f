"""The true scale of a slide in um/px, where it comes from, and whether it can be believed."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from workflow_scripts.config import Slides
from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.ome_xml import ome_images
from workflow_scripts.wsi.units import parse_quantity, um_of

_MEND = "give the true value in the column mpp of the manifest"
_OBJECTIVE_MPP = 10.0  # um/px times objective power, the common rule: 20x is 0.5, 40x is 0.25
_OBJECTIVE_FACTOR = 1.5  # 40x scanners record 0.17 to 0.27, 20x ones 0.44 to 0.52: half way to the next power
_DISAGREE_FACTOR = 1.1  # two records of one scale, or its two axes, differ by less on real scanners
_NAMES = {"vendor": "the vendor's tags", "ome_xml": "its OME-XML", "tiff_resolution": "its TIFF resolution"}
_FINEST_MPP = 0.1  # brightfield scanners record 0.11 um/px with their strongest objectives, 100x


class Scale(NamedTuple):
    """Scale of level 0.

    Attributes:
        mpp_x, mpp_y: um/px.
        source: `manifest`, `vendor`, `ome_xml`, `tiff_resolution` or `objective_guess`.
        note: doubts to tell a person about, or empty.
    """

    mpp_x: float
    mpp_y: float
    source: str
    note: str = ""


class _Claim(NamedTuple):
    """What one source says, um/px; NaN for what is no number."""

    mpp_x: float
    mpp_y: float
    source: str


def _claim(x: float | None, y: float | None, source: str) -> list[_Claim]:
    """One axis stands for both where the other is missing; nothing where both are."""
    x, y = y if x is None else x, x if y is None else y
    return [] if x is None or y is None else [_Claim(x, y, source)]


def _from_ome_xml(properties: Mapping[str, str], description: str) -> list[_Claim]:
    """Physical sizes of the image that is the slide; the default unit is um, an unknown one says nothing."""
    images = ome_images(description)
    if not images:
        return []
    image = images[min(int(properties.get("ome.image", 0)), len(images) - 1)]
    return _claim(image.mpp_x, image.mpp_y, "ome_xml")


def _from_tiff(properties: Mapping[str, str], description: str) -> list[_Claim]:
    """um/px by the TIFF resolution tags, pixels per unit; nothing where they have no unit or are 0.

    ImageJ writes the unit into its description, as a line `unit=micron`, and none into the tags.
    """
    unit = um_of(properties.get("tiff.ResolutionUnit", ""))
    if unit is None and description.startswith("ImageJ="):
        lines = dict(line.partition("=")[::2] for line in description.splitlines())
        unit = um_of(lines.get("unit", ""))
    sizes = []
    for axis in "XY":
        density = parse_quantity(properties.get(f"tiff.{axis}Resolution"))
        sizes.append(unit / density if unit and density else None)
    x, y = sizes
    return _claim(x, y, "tiff_resolution")


def _recorded(properties: Mapping[str, str]) -> list[_Claim]:
    """What the file itself records, the most trusted first."""
    named = parse_quantity(properties.get("openslide.mpp-x")), parse_quantity(properties.get("openslide.mpp-y"))
    # For a generic TIFF OpenSlide computes mpp from the resolution tags, so OME-XML goes before it.
    generic = properties.get("openslide.vendor") == "generic-tiff"
    aperio = parse_quantity(properties.get("aperio.MPP"))
    description = properties.get("tiff.ImageDescription") or properties.get("openslide.comment") or ""
    return [
        *([] if generic else _claim(*named, "vendor")),
        *_claim(aperio, aperio, "vendor"),
        *_from_ome_xml(properties, description),
        *(_claim(*named, "tiff_resolution") if generic else []),
        *_from_tiff(properties, description),
    ]


def _power(properties: Mapping[str, str]) -> float | None:
    """Objective power, None where none is recorded."""
    power = parse_quantity(properties.get("openslide.objective-power"), {"x": 1.0, "X": 1.0})
    return power if power and 0 < power < math.inf else None


def _apart(a: float, b: float) -> float:
    return max(a / b, b / a)


def _told(claim: _Claim) -> str:
    both = f"{claim.mpp_x:.4g}" if claim.mpp_x == claim.mpp_y else f"{claim.mpp_x:.4g} x {claim.mpp_y:.4g}"
    return f"{_NAMES[claim.source]} say{'' if claim.source == 'vendor' else 's'} {both} um/px"


def _notes(
    chosen: _Claim, passed: list[_Claim], others: list[_Claim], properties: Mapping[str, str], power: float | None
) -> list[str]:
    """Doubts about a scale: implausible or contradicting records, a decimal comma, axes, the objective, fineness."""
    notes = [f"{_told(claim)}, which is implausible and passed over" for claim in dict.fromkeys(passed)]
    notes += [
        f"{_told(claim)}, but the scale taken is {chosen.mpp_x:.4g} ({chosen.source})"
        for claim in dict.fromkeys(others)
        if max(_apart(claim.mpp_x, chosen.mpp_x), _apart(claim.mpp_y, chosen.mpp_y)) > _DISAGREE_FACTOR
    ]
    for key in ("openslide.mpp-x", "aperio.MPP"):
        if chosen.source == "vendor" and "," in properties.get(key, ""):
            notes.append(f"{key} is written {properties[key]}, read as {chosen.mpp_x:g}")
            break
    if _apart(chosen.mpp_x, chosen.mpp_y) > _DISAGREE_FACTOR:
        notes.append(f"the scale is {chosen.mpp_x:.4g} um/px along x but {chosen.mpp_y:.4g} along y")
    mpp = math.sqrt(chosen.mpp_x * chosen.mpp_y)
    if power and chosen.source != "objective_guess" and _apart(_OBJECTIVE_MPP / power, mpp) > _OBJECTIVE_FACTOR:
        notes.append(
            f"the objective power {power:g} suggests {_OBJECTIVE_MPP / power:.3g} um/px but the scale is {mpp:.3g}"
        )
    if mpp < _FINEST_MPP:
        notes.append(f"{mpp:.4g} um/px is implausibly fine for brightfield; it may be ten times too small")
    return notes


def resolve_scale(
    properties: Mapping[str, str], override_mpp: float | tuple[float, float] | None, settings: Slides
) -> Scale:
    """Scale of level 0: the manifest's, else the vendor's, else OME-XML or TIFF resolution, else (if allowed) a guess.

    A record outside mpp_min..mpp_max is passed over for the next one, which the note tells; a manifest's is refused.
    The guess is 10 / objective power. What contradicts the scale is noted: an objective power by more than 1.5 times,
    another record by more than 1.1 times. So is a scale below 0.1 um/px, finer than brightfield scanners record.

    Args:
        properties: as in `Slide.properties`.
        override_mpp: the manifest's um/px, for both axes or as (x, y).
        settings: config section `slides`.

    Raises:
        SlideError: `no_mpp` where none is recorded, `implausible_mpp` where none is inside mpp_min..mpp_max.
    """
    recorded, power = _recorded(properties), _power(properties)
    claims = recorded
    if override_mpp is not None:
        both = override_mpp if isinstance(override_mpp, tuple) else (override_mpp, override_mpp)
        claims = [_Claim(*both, "manifest")]
    elif settings.mpp_from_objective and power:
        claims = [*recorded, _Claim(_OBJECTIVE_MPP / power, _OBJECTIVE_MPP / power, "objective_guess")]
    if not claims:
        raise SlideError("no_mpp", f"the file records no scale in um/px; {_MEND}")

    def plausible(claim: _Claim) -> bool:
        return all(settings.mpp_min <= mpp <= settings.mpp_max for mpp in claim[:2])

    chosen = next(filter(plausible, claims), None)
    if chosen is None:
        raise SlideError(
            "implausible_mpp",
            f"the scale is {claims[0].mpp_x:g} x {claims[0].mpp_y:g} um/px (source: {claims[0].source}), outside "
            f"{settings.mpp_min:g}..{settings.mpp_max:g}; {_MEND}",
        )
    passed = [] if override_mpp is not None else claims[: claims.index(chosen)]
    others = [claim for claim in recorded if plausible(claim) and claim != chosen]
    notes = _notes(chosen, passed, others, properties, power)
    mend = "check the column mpp of the manifest" if chosen.source == "manifest" else f"if that is wrong, {_MEND}"
    return Scale(*chosen, note=f"{'; '.join(notes)}; {mend}" if notes else "")
