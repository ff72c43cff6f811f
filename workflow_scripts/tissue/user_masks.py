"""Tissue drawn by the user: QuPath GeoJSON, or a picture of the whole slide."""

import re
from typing import Any, NamedTuple

import shapely

from workflow_scripts.core.overview import Bounds
from workflow_scripts.core.status import SlideError
from workflow_scripts.tissue.geojson_features import as_shape, class_of, is_annotation, is_qupaths, read_features
from workflow_scripts.tissue.mask_image import fits, read_mask_image
from workflow_scripts.tissue.polygons import mask_polygons

# Annotations of these classes are cut out of the tissue; any other class, or none, is tissue.
# Those of GrandQC's artefacts are among them; a name is compared without its s of plural, blanks and dashes.
_CUT_OUT = {"glass", "background", "hole", "artefact", "artifact", "pen", "penmark", "penmarking", "fold", "tissuefold"}
_CUT_OUT |= {
    "darkspot",
    "airbubble",
    "bubble",
    "edge&airbubble",
    "edgeandairbubble",
    "outoffocus",
    "oof",
    "blur",
    "dust",
}
# QuPath ignores classes whose name ends with an asterisk; its own Region* outlines what is to be looked at.
_REGION = "region*"
_MIN_INSIDE = 0.1  # of a mask's area; a smaller share is the sign of coordinates that are not px of level 0
_TOLD = 0.01  # shares outside the slide from here on are worth a note


class Drawn(NamedTuple):
    """A mask as it was read.

    Attributes:
        polygons: level-0 px, not overlapping, inside the slide.
        note: what is to be told of it, or empty.
    """

    polygons: list[shapely.Polygon]
    note: str


def read_user_mask(
    files: list[str], shape: tuple[int, int], width: int, height: int, bounds: Bounds | None = None
) -> Drawn:
    """The mask that the user gives for a slide.

    QuPath shows a slide that has bounds from their corner, so its coordinates have the corner added, and a picture of
    the bounds' proportions is laid over them. GeoJSON of other tools counts from the corner of level 0.

    Args:
        files: the slide's files of `tissue.masks`; there must be one.
        shape: rows and columns to which a picture of the whole slide is brought.
        width: of the slide, level-0 px.
        height: of the slide, level-0 px.
        bounds: of the slide, null where it has none.

    Raises:
        SlideError: `bad_mask`; the detail names the file and how to mend it.
    """
    if len(files) > 1:
        raise SlideError("bad_mask", f"there are several masks, {' and '.join(files)}; keep one of them")
    (file,) = files
    if file.lower().endswith(".geojson"):
        return _from_geojson(file, width, height, bounds)
    return _from_picture(file, shape, width, height, bounds)


def _from_picture(file: str, shape: tuple[int, int], width: int, height: int, bounds: Bounds | None) -> Drawn:
    """Polygons of a picture over the whole slide, or over its bounds where it has only their proportions."""
    frame = Bounds(0, 0, width, height)
    if bounds is not None and not fits(file, width, height) and fits(file, bounds.width, bounds.height):
        frame = bounds
    rows = max(1, round(shape[0] * frame.height / height))
    columns = max(1, round(shape[1] * frame.width / width))
    mask, labels = read_mask_image(file, (rows, columns), frame.width, frame.height)
    polygons = mask_polygons(mask, frame.width, frame.height)
    notes = [f"all labels of the mask count as tissue, 1 to {labels}"] if labels > 1 else []
    if frame is bounds:
        notes.append(_bounds_note(bounds, "the mask covers"))
    return Drawn([_moved(polygon, frame) for polygon in polygons], "; ".join(notes))


def _moved(shape: Any, bounds: Bounds) -> Any:
    """A shape that counts from the bounds' corner, from the corner of level 0."""
    return shapely.transform(shape, lambda points: points + bounds[:2])


def _bounds_note(bounds: Bounds, what: str) -> str:
    return f"{what} the bounds of the slide, {bounds.width} x {bounds.height} px at ({bounds.x}, {bounds.y})"


def _bad(file: str, what: str) -> SlideError:
    return SlideError("bad_mask", f"the mask {file} {what}")


def _from_geojson(file: str, width: int, height: int, bounds: Bounds | None) -> Drawn:
    kept: list[Any] = []
    cut: list[Any] = []
    features = read_features(file)
    for feature in filter(is_annotation, features):
        shape = as_shape(file, feature)
        if shape is not None:
            (cut if _is_cut_out(feature) else kept).append(shape)
    if not kept:
        raise _bad(file, "holds no polygon that is tissue; export the annotations from QuPath as GeoJSON, or delete it")
    tissue = shapely.difference(shapely.union_all(kept), shapely.union_all(cut)) if cut else shapely.union_all(kept)
    notes = []
    if bounds is not None and (bounds.x or bounds.y) and any(map(is_qupaths, features)):
        tissue = _moved(tissue, bounds)
        notes.append(_bounds_note(bounds, "the mask's coordinates count from the corner of"))
    inside = shapely.intersection(tissue, shapely.box(0, 0, width, height))
    outside = 1 - inside.area / tissue.area if tissue.area else 0.0
    if outside > 1 - _MIN_INSIDE:
        raise _bad(
            file,
            f"lies {outside:.0%} outside the slide of {width} x {height} px; coordinates must be px of its level 0",
        )
    if outside >= _TOLD:
        notes.append(f"{outside:.0%} of the mask lies outside the slide and is cut off")
    # Normal form, so that what is written for QuPath and read again is the same.
    parts = shapely.get_parts(shapely.normalize(inside))
    return Drawn([part for part in parts if part.geom_type == "Polygon" and part.area > 0], "; ".join(notes))


def _is_cut_out(feature: dict[str, Any]) -> bool:
    """Whether the annotation's class says that it is no tissue."""
    name = class_of(feature).strip().lower()
    plain = re.sub(r"[\s_-]+", "", name)
    return not _CUT_OUT.isdisjoint((plain, plain.removesuffix("s"))) or (name.endswith("*") and name != _REGION)
