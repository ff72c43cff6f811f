"""The true scale of a slide in um/px, where it comes from, and whether it can be believed."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from workflow_scripts.config import Slides
from workflow_scripts.wsi.slide_error import SlideError

_MEND = "give the true value in the column mpp of the manifest"
_UM = {"µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "Å": 1e-4}
_OBJECTIVE_MPP = 10.0  # um/px times objective power, the common rule: 20x is 0.5, 40x is 0.25


class Scale(NamedTuple):
    """Scale of level 0.

    Attributes:
        mpp_x, mpp_y: um/px.
        source: `manifest`, `vendor`, `ome_xml`, `tiff_resolution` or `objective_guess`.
        note: a doubt to tell a person about, or empty.
    """

    mpp_x: float
    mpp_y: float
    source: str
    note: str = ""


def _number(text: str | None) -> float | None:
    """A number as slides write it, a decimal comma included; NaN for other text, None for nothing."""
    if text is None or not text.strip():
        return None
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        return math.nan


def _pair(properties: Mapping[str, str], key_x: str, key_y: str) -> tuple[float, float] | None:
    x, y = _number(properties.get(key_x)), _number(properties.get(key_y))
    if x is None and y is None:
        return None
    return (y if x is None else x, x if y is None else y)


def _from_ome_xml(description: str) -> tuple[float, float] | None:
    """PhysicalSizeX and Y of an OME-XML block's first image; the default unit is um."""
    if "<OME" not in description:
        return None
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(description.encode())
    except ElementTree.ParseError:
        return None
    pixels = next((node for node in root.iter() if node.tag.rpartition("}")[2] == "Pixels"), None)
    if pixels is None:
        return None
    sizes = {}
    for axis in "XY":
        unit = _UM.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        value = _number(pixels.get(f"PhysicalSize{axis}"))
        sizes[axis] = None if unit is None or value is None else str(value * unit)
    return _pair({k: v for k, v in sizes.items() if v is not None}, "X", "Y")


def _recorded(properties: Mapping[str, str]) -> tuple[tuple[float, float], str] | None:
    """The first scale that the file itself records, with its source."""
    vendor = _pair(properties, "openslide.mpp-x", "openslide.mpp-y") or _pair(properties, "aperio.MPP", "aperio.MPP")
    if vendor:
        # For a generic TIFF OpenSlide computes mpp from the resolution tags.
        return vendor, "tiff_resolution" if properties.get("openslide.vendor") == "generic-tiff" else "vendor"
    ome = _from_ome_xml(properties.get("tiff.ImageDescription", ""))
    if ome:
        return ome, "ome_xml"
    tiff = _pair(properties, "tiff.mpp-x", "tiff.mpp-y")
    return (tiff, "tiff_resolution") if tiff else None


def _objective_note(properties: Mapping[str, str], mpp: float) -> str:
    power = _number(properties.get("openslide.objective-power"))
    if power is None or not power > 0:
        return ""
    expected = _OBJECTIVE_MPP / power
    if max(expected / mpp, mpp / expected) <= 1.5:
        return ""
    return (
        f"the objective power {power:g} suggests {expected:.3g} um/px but the scale is {mpp:.3g}; "
        f"if that is wrong, {_MEND}"
    )


def resolve_scale(properties: Mapping[str, str], override_mpp: float | None, settings: Slides) -> Scale:
    """Scale of level 0: the manifest's, else the vendor's, else OME-XML or TIFF resolution, else (if allowed) a guess.

    The guess is 10 / objective power. An objective power that contradicts the scale by more than 1.5 times is noted.

    Raises:
        SlideError: `no_mpp` where none is recorded, `implausible_mpp` outside mpp_min..mpp_max.
    """
    found = _recorded(properties) if override_mpp is None else ((override_mpp, override_mpp), "manifest")
    power = _number(properties.get("openslide.objective-power"))
    if found is None and settings.mpp_from_objective and power and power > 0:
        found = (_OBJECTIVE_MPP / power, _OBJECTIVE_MPP / power), "objective_guess"
    if found is None:
        raise SlideError("no_mpp", f"the file records no scale in um/px; {_MEND}")
    (mpp_x, mpp_y), source = found
    if not all(settings.mpp_min <= mpp <= settings.mpp_max for mpp in (mpp_x, mpp_y)):
        raise SlideError(
            "implausible_mpp",
            f"the scale is {mpp_x:g} x {mpp_y:g} um/px (source: {source}), outside "
            f"{settings.mpp_min:g}..{settings.mpp_max:g}; {_MEND}",
        )
    return Scale(mpp_x, mpp_y, source, _objective_note(properties, math.sqrt(mpp_x * mpp_y)))
