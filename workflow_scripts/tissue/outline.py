"""A slide's tissue as it is handed on: the outline, found or given, and what is wrong with it."""

from typing import NamedTuple

import numpy as np
import shapely

from workflow_scripts.config import Tissue
from workflow_scripts.core.overview import Overview
from workflow_scripts.core.status import SlideError
from workflow_scripts.tissue.focus import Readable, measure_focus
from workflow_scripts.tissue.pen_ink import find_ink, ink_colours, ink_to_remove, is_stain
from workflow_scripts.tissue.polygons import mask_polygons, rasterise
from workflow_scripts.tissue.segment import refuse_dark_background, segment
from workflow_scripts.tissue.shapes import fill_small_holes
from workflow_scripts.tissue.unscanned import find_unscanned
from workflow_scripts.tissue.user_masks import read_user_mask

_TOLD = 0.01  # fractions from here on are worth a note


class Outline(NamedTuple):
    """Tissue of a slide.

    Attributes:
        polygons: level-0 px, not overlapping.
        mask: bool `[h, w]`, the same on the raster.
        ink: bool `[h, w]`, what has a colour of pen ink, left out or kept.
        pen_fraction: their share of tissue and ink together.
        threshold: that was used; null for a mask of the user's.
        note: what is to be told of the pen or of the user's mask, or empty.
    """

    polygons: list[shapely.Polygon]
    mask: np.ndarray
    ink: np.ndarray
    pen_fraction: float
    threshold: float | None
    note: str


class Artefacts(NamedTuple):
    """What is wrong with a slide.

    Attributes:
        pen: outlines of what has a colour of ink, level-0 px.
        blurred: float64 `[n, 4]`, fields out of focus, level-0 px.
        pen_fraction: area of ink over that of tissue and ink together.
        blurred_fraction: of the measured fields; null where none was measured.
        note: one sentence, or empty.
    """

    pen: list[shapely.Polygon]
    blurred: np.ndarray
    pen_fraction: float
    blurred_fraction: float | None
    note: str


def find_outline(view: Overview, masks: list[str], width: int, height: int, settings: Tissue) -> Outline:
    """The user's mask of a slide of `width x height` px where there is one, else what is found.

    Raises:
        SlideError: `not_brightfield`, `no_tissue`, `bad_mask`, or `unreadable_fraction` where tissue is to be found on
            a slide of which too much cannot be read.
    """
    shape = view.rgb.shape[:2]
    if not masks:
        _refuse_damage(view.unreadable_fraction, settings.max_unreadable_fraction)
        refuse_dark_background(view.rgb[view.read_ok])
    view = _with_glass(view, find_unscanned(view.rgb, view.um_per_px))
    ink = find_ink(view.rgb, view.um_per_px)
    if masks:
        polygons, note = read_user_mask(masks, shape, width, height, view.bounds)
        if not polygons:
            raise SlideError("no_tissue", f"the mask {masks[0]} leaves no tissue; delete it to have the tissue found")
        mask = rasterise(polygons, shape, width, height)
        ink &= mask
        notes = [note, _pen_note(_share(ink, mask), kept=True)]
        return Outline(polygons, mask, ink, _share(ink, mask), None, "; ".join(filter(None, notes)))
    mask, threshold, note = _segment_beside_ink(view, ink, settings)
    pen_fraction = _share(ink, mask)
    if not mask.any():
        raise SlideError("no_tissue", _nothing(settings, threshold, pen_fraction))
    return Outline(mask_polygons(mask, width, height), mask, ink, pen_fraction, threshold, note)


def _with_glass(view: Overview, unscanned: np.ndarray) -> Overview:
    """The same with white where nothing was scanned: neither tissue nor ink."""
    return view._replace(rgb=np.where(unscanned[..., None], np.uint8(255), view.rgb)) if unscanned.any() else view


def _segment_beside_ink(view: Overview, ink: np.ndarray, settings: Tissue) -> tuple[np.ndarray, float, str]:
    """Tissue without the ink that is to be removed, the threshold, and a note on the ink."""

    def found(removed: np.ndarray | None) -> tuple[np.ndarray, float]:
        return segment(view.rgb, view.um_per_px, settings, removed, view.read_ok)

    if not settings.remove_pen or not ink.any():
        mask, threshold = found(None)
        return mask, threshold, _pen_note(_share(ink, mask), kept=True)
    mask, threshold = found(ink)
    if is_stain(view.rgb, ink, mask, view.um_per_px):
        mask, threshold = found(None)
        note = f"{_share(ink, mask):.0%} of the tissue has a colour of pen ink, taken for its stain and not removed"
        return mask, threshold, note
    removed = ink_to_remove(view.rgb, ink, mask, view.um_per_px)
    kept = ink & ~removed
    if kept.any():
        mask, threshold = found(removed)
        # Carbon has no saturation, so the threshold alone would leave holes there.
        mask = fill_small_holes(mask | (kept & ink_colours(view.rgb)), settings.min_hole_um2 / view.um_per_px**2)
        mask &= ~removed
    notes = [_pen_note(float(removed.sum() / max(1, (ink | mask).sum())), kept=False)]
    inside = float(kept.sum() / max(1, (ink | mask).sum()))
    if inside >= _TOLD:
        notes.append(f"{inside:.0%} of the tissue is black or red inside like ink, carbon or blood, kept as tissue")
    return mask, threshold, "; ".join(filter(None, notes))


def _refuse_damage(unreadable: float, limit: float) -> None:
    if unreadable > limit:
        raise SlideError(
            "unreadable_fraction",
            f"{unreadable:.1%} of the slide cannot be read, so its tissue is not known; fetch the slide again, "
            f"raise tissue.max_unreadable_fraction ({limit:g}), or give a mask of your own in tissue.masks",
        )


def _damage_note(unreadable: float) -> str:
    share = f"{unreadable:.1%}" if unreadable >= 0.001 else "less than 0.1%"
    return f"{share} of the slide cannot be read" if unreadable else ""


def _share(ink: np.ndarray, tissue: np.ndarray) -> float:
    return float(ink.sum() / max(1, (ink | tissue).sum()))


def _pen_note(fraction: float, kept: bool) -> str:
    if fraction < _TOLD:
        return ""
    return f"{fraction:.0%} of what looks like tissue is pen ink, {'kept as tissue' if kept else 'left out'}"


def _nothing(settings: Tissue, threshold: float, pen_fraction: float) -> str:
    pen = " that is not of a colour of pen ink" if settings.remove_pen and pen_fraction else ""
    return (
        f"no piece of tissue of at least {settings.min_area_um2:g} um2 above {settings.method} {threshold:.3f}{pen}; "
        f"look at the slide, then at tissue.threshold{', tissue.remove_pen' if pen else ''} and tissue.min_area_um2"
    )


def judge_artefacts(
    slide: Readable, view: Overview, outline: Outline, mpp_x: float, mpp_y: float, settings: Tissue
) -> Artefacts:
    """Damage, pen marks and blurred fields of a slide at `mpp_x`, `mpp_y` um/px."""
    blurred, fraction = np.empty((0, 4)), None
    if settings.focus_min > 0:
        fields = measure_focus(slide, outline.mask, mpp_x, mpp_y, settings.focus_fields)
        blurred = fields.boxes[fields.focus < settings.focus_min]
        fraction = len(blurred) / len(fields.focus) if len(fields.focus) else None
    notes = [_damage_note(view.unreadable_fraction), outline.note]
    if fraction is not None and fraction >= _TOLD:
        notes.append(f"{fraction:.0%} of the fields of tissue are out of focus")
    pen = mask_polygons(outline.ink, slide.width, slide.height)
    return Artefacts(pen, blurred, outline.pen_fraction, fraction, "; ".join(filter(None, notes)))
