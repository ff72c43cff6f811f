"""Where a run's region encoder looks, as a picture over a slide with one pixel a patch."""

import io
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from PIL import Image

from workflow_scripts.core.colours import red_green_blue
from workflow_scripts.core.spread import spread
from workflow_scripts.report.inputs import Results, Row
from workflow_scripts.report.palette import SHARES
from workflow_scripts.report.pictures import data_uri

MOST_SLIDES = 24
_BYTES = 800_000  # PNG, of all slides together
_ENDS = (1, 99)  # percentiles of a slide's values beyond which colours stay the same
_LEAST_ENDS = (0.8, 1.25)  # values that the colours span at least, so that near-even attention looks even


class Raster(NamedTuple):
    """Values of patches on a raster.

    Attributes:
        values: `[rows, columns]` float32, NaN where there is no patch.
        box: left, top, width and height, px at level 0.
    """

    values: np.ndarray
    box: list[int]


def relative_attention(attention: np.ndarray) -> np.ndarray:
    """Mean over heads, as a multiple of an even share among the region's visible patches, `[n, g, g]` float32.

    It is of what patches are given alone, without what the class token gives itself: their mean in a region is 1.
    NaN where a token is hidden.

    Args:
        attention: float32 `[n, heads, g, g]`, 0 in all heads where a token is hidden.
    """
    visible = (attention != 0).any(axis=1)
    mean = np.where(visible, attention.mean(axis=1, dtype=np.float64), np.nan)
    even = mean.sum(axis=(1, 2), keepdims=True, where=visible) / np.maximum(1, visible.sum(axis=(1, 2), keepdims=True))
    return np.divide(mean, even, out=mean, where=visible).astype(np.float32)


def patch_raster(places: pa.Table, values: np.ndarray) -> Raster:
    """Patches of regions on one raster; where regions overlap the mean of theirs.

    Args:
        places: `x`, `y`, `size_x`, `size_y` of n regions, px at level 0.
        values: `[n, g, g]`, row then column, NaN where there is none.
    """
    grid = values.shape[1]
    x, y, across, down = (places[name].to_numpy() for name in ("x", "y", "size_x", "size_y"))
    wide, high = float(np.median(across)) / grid, float(np.median(down)) / grid
    column = np.rint((x - x.min()) / wide).astype(int)[:, None, None] + np.arange(grid)
    row = np.rint((y - y.min()) / high).astype(int)[:, None, None] + np.arange(grid)[:, None]
    row, column = np.broadcast_arrays(row, column)
    shape, known = (int(row.max()) + 1, int(column.max()) + 1), np.isfinite(values)
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (row[known], column[known]), values[known])
    np.add.at(count, (row[known], column[known]), 1)
    with np.errstate(invalid="ignore"):
        mean = (total / count).astype(np.float32)
    return Raster(mean, [int(x.min()), int(y.min()), round(shape[1] * wide), round(shape[0] * high)])


def raster_png(values: np.ndarray, most_bytes: int, low: float, top: float) -> bytes:
    """Values from `low` to `top` as PNG in the colours of shares, clear where NaN; coarser until it fits."""
    while True:
        share = (np.nan_to_num(values) - low) / max(top - low, 1e-9)
        place = np.clip(share * len(SHARES), 0, len(SHARES) - 1).astype(np.uint8)
        picture = Image.fromarray(np.where(np.isfinite(values), place, len(SHARES)).astype(np.uint8), "P")
        picture.putpalette([part for colour in (*SHARES, "#000000") for part in red_green_blue(colour)])
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", transparency=len(SHARES), optimize=True)
        if buffer.tell() <= most_bytes or min(values.shape) < 8:
            return buffer.getvalue()
        values = _halved(values)


def _halved(values: np.ndarray) -> np.ndarray:
    """Means of two times two values, of those that are known."""
    rows, columns = values.shape
    padded = np.pad(values, ((0, rows % 2), (0, columns % 2)), constant_values=np.nan)
    blocks = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2)
    known = np.isfinite(blocks)
    with np.errstate(invalid="ignore"):
        return (np.where(known, blocks, 0).sum(axis=(1, 3)) / known.sum(axis=(1, 3))).astype(np.float32)


def attention_layer(places: pa.Table, region_ids: list[str], attention: np.ndarray, most_bytes: int) -> Row | None:
    """What the page of a slide is told: `picture`, its `box` in px at level 0, `low` and `top` of its
    colours, and `peaks`.

    Peaks are the greatest value of each row of `places`, null where it is not known.

    Args:
        places: the slide's regions.
        region_ids: those of the attention.
        attention: float32 `[n, heads, g, g]`.
        most_bytes: size of the picture.

    Returns:
        Null where none of the regions is known.
    """
    at = {region: number for number, region in enumerate(region_ids)}
    rows = [at.get(region) for region in places["region_id"].to_pylist()]
    kept = [place for place, row in enumerate(rows) if row is not None]
    values = relative_attention(attention[[row for row in rows if row is not None]]) if kept else np.empty(0)
    if not np.isfinite(values).any():
        return None
    raster = patch_raster(places.take(pa.array(kept)), values)
    ends = np.nanpercentile(raster.values, _ENDS)
    low, top = min(float(ends[0]), _LEAST_ENDS[0]), max(float(ends[1]), _LEAST_ENDS[1])
    peaks: list[float | None] = [None] * len(rows)
    for place, value in zip(kept, values, strict=True):
        peaks[place] = round(float(np.nanmax(value)), 2) if np.isfinite(value).any() else None
    picture = data_uri(raster_png(raster.values, most_bytes, low, top), "image/png")
    return {"picture": picture, "box": raster.box, "low": round(low, 2), "top": round(top, 2), "peaks": peaks}


def attention_layers(inputs: Results, runs: list[str], slides: list[str]) -> tuple[str | None, dict[str, Row]]:
    """The first of the runs that has a table of attention, and what pages are told of it, by slide_id.

    Args:
        inputs: the results folder.
        runs: in the order in which they are looked at.
        slides: those that have a page; of more than 24 that have attention some at even distances are shown.
    """
    run = next((name for name in runs if inputs.attention_path(name).is_file()), None)
    if run is None:
        return None, {}
    shown = spread(sorted(set(inputs.slides_with_attention(run)) & set(slides)), MOST_SLIDES)
    found: dict[str, Row] = {}
    for slide_id in shown:
        places = inputs.places(slide_id)
        if places is not None and len(places):
            layer = attention_layer(places, *inputs.attention(run, slide_id), _BYTES // len(shown))
            found |= {slide_id: layer} if layer else {}
    return (run, found) if found else (None, {})
