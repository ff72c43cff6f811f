"""Lengths as slides write them: units, numbers with a decimal comma, TIFF's ResolutionUnit."""

import math
import re
from collections.abc import Mapping

UM = {"µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6}
UM |= {"Å": 1e-4, "in": 25_400.0, "inch": 25_400.0, "micrometer": 1.0, "millimeter": 1e3, "centimeter": 1e4}
UM["\\u00B5m"] = 1.0  # as ImageJ escapes it
# TIFF's ResolutionUnit by OpenSlide's names; 4 and 5 are tifffile's, beyond the standard.
RESOLUTION_UNITS = {1: "none", 2: "inch", 3: "centimeter", 4: "millimeter", 5: "micrometer"}
_QUANTITY = re.compile(r"([-+]?[\d.,]*\d(?:[eE][-+]?\d+)?|[-+]?inf|nan)\s*([^\d\s/]*)\s*(?:/\s*(?:px|pixel))?", re.I)


def parse_quantity(text: str | None, units: Mapping[str, float] = UM) -> float | None:
    """A number as slides write it, decimal comma and unit included; NaN for other text, None for nothing.

    Args:
        text: such as "0,25", "250 nm" or "0.25 um/px".
        units: factor of each unit; without a unit it is 1.
    """
    if text is None or not text.strip():
        return None
    found = _QUANTITY.fullmatch(text.strip())
    if found is None:
        return math.nan
    factor = units.get(found[2], math.nan) if found[2] else 1.0
    try:
        return float(found[1].replace(",", ".")) * factor
    except ValueError:  # more than one comma or point
        return math.nan
