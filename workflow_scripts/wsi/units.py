"""Lengths as slides write them: units, numbers with a decimal comma, TIFF's ResolutionUnit."""

import math
import re
from collections.abc import Mapping

UM = {"um": 1.0, "micron": 1.0, "pm": 1e-6, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "dm": 1e5, "m": 1e6, "å": 1e-4}
UM |= {"angstrom": 1e-4, "in": 25_400.0, "inch": 25_400.0, "inche": 25_400.0, "thou": 25.4, "mil": 25.4}
UM |= {
    f"{prefix}met{end}": factor
    for prefix, factor in (("", 1e6), ("centi", 1e4), ("milli", 1e3), ("micro", 1.0), ("nano", 1e-3), ("pico", 1e-6))
    for end in ("er", "re")
}
"""um of a unit, by its name in lower case and without an s of plural; see `um_of`."""

_MICRO = str.maketrans({"\N{MICRO SIGN}": "u", "\N{GREEK SMALL LETTER MU}": "u"})
# TIFF's ResolutionUnit by OpenSlide's names; 4 and 5 are tifffile's, beyond the standard.
RESOLUTION_UNITS = {1: "none", 2: "inch", 3: "centimeter", 4: "millimeter", 5: "micrometer"}
_QUANTITY = re.compile(r"([-+]?[\d.,]*\d(?:[eE][-+]?\d+)?|[-+]?inf|nan)\s*([^\d\s/]*)\s*(?:/\s*(?:px|pixel))?", re.I)


def um_of(unit: str) -> float | None:
    """um of a unit of length in whatever spelling: `µm`, `Microns`, `MICROMETER`, `inches`; None for what is none.

    ImageJ escapes the sign of micro as `\\u00B5`; upper and lower case count as the same.
    """
    plain = unit.strip().replace("\\u00B5", "u").translate(_MICRO).lower()
    return UM.get(plain, UM.get(plain.removesuffix("s")))


def parse_quantity(text: str | None, units: Mapping[str, float] | None = None) -> float | None:
    """A number as slides write it, decimal comma and unit included; NaN for other text, None for nothing.

    Args:
        text: such as "0,25", "250 nm" or "0.25 um/px".
        units: factor of each unit, those of `um_of` by default; without a unit it is 1.
    """
    if text is None or not text.strip():
        return None
    found = _QUANTITY.fullmatch(text.strip())
    if found is None:
        return math.nan
    factor = 1.0
    if found[2]:
        told = um_of(found[2]) if units is None else units.get(found[2])
        factor = math.nan if told is None else told
    try:
        return float(found[1].replace(",", ".")) * factor
    except ValueError:  # more than one comma or point
        return math.nan
