"""Sizes and scales of the images in an OME-XML block (https://docs.openmicroscopy.org/ome-model/)."""

import math
from typing import NamedTuple

from workflow_scripts.wsi.units import parse_quantity, um_of


class OmeImage(NamedTuple):
    """One Image of the XML.

    Attributes:
        size: SizeX and SizeY, px; null where they are missing.
        mpp_x, mpp_y: PhysicalSizeX and Y, um/px; null where missing or in an unknown unit, NaN for what is no number.
    """

    size: tuple[int, int] | None
    mpp_x: float | None
    mpp_y: float | None

    @property
    def mpp(self) -> float | None:
        """um/px along x, else along y; null where that is no positive number."""
        return next((mpp for mpp in (self.mpp_x, self.mpp_y) if mpp and 0 < mpp < math.inf), None)


def ome_images(description: str) -> list[OmeImage]:
    """Images of an OME-XML block in their order; none where the text is none."""
    if "<OME" not in description:
        return []
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(description.strip().encode())
    except ElementTree.ParseError:
        return []
    found = []
    for pixels in (node for node in root.iter() if node.tag.rpartition("}")[2] == "Pixels"):
        sides = [pixels.get(f"Size{axis}", "") for axis in "XY"]
        size = (int(sides[0]), int(sides[1])) if all(side.isdecimal() for side in sides) else None
        scales: list[float | None] = []
        for axis in "XY":
            unit = um_of(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
            value = parse_quantity(pixels.get(f"PhysicalSize{axis}"))
            scales.append(None if unit is None or value is None else value * unit)
        found.append(OmeImage(size, *scales))
    return found
