"""One slide of another tool: from its files to regions and a feature file as extract_features writes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from workflow_scripts.config import Regions, Slides, Source
from workflow_scripts.core.feature_file import FEATURE_PARQUET, feature_schema
from workflow_scripts.core.tables import table_writer
from workflow_scripts.core.tensors import to_column
from workflow_scripts.interchange.assemble import RegionMap, region_map, tokens_of
from workflow_scripts.interchange.lattice import find_lattices
from workflow_scripts.interchange.patches import SourcePatches
from workflow_scripts.interchange.places import SourceFiles
from workflow_scripts.interchange.read import read_source
from workflow_scripts.interchange.scale import Placed, check_scale, level0_scale, place

_REGIONS_A_PIECE = 32


class ImportedSlide(NamedTuple):
    """A slide's patches, their places and true size, and the regions laid over them."""

    patches: SourcePatches
    placed: Placed
    regions: RegionMap

    @property
    def tissue_mm2(self) -> float:
        """Area of all patches, mm2."""
        return len(self.patches.coords) * self.placed.um[0] * self.placed.um[1] / 1e6

    def facts(self) -> dict[str, Any]:
        """What the slide's row tells where the slide itself could not be opened."""
        corner = self.placed.coords.max(axis=0) + np.array(self.placed.size)
        width, height = self.patches.extent or (int(np.ceil(corner[0])), int(np.ceil(corner[1])))
        mpp_x, mpp_y = (None, None) if self.placed.mpp_source == "none" else self.placed.mpp
        return {"width": width, "height": height, "mpp_x": mpp_x, "mpp_y": mpp_y, "mpp_source": self.placed.mpp_source}


def import_slide(
    slide_id: str,
    files: SourceFiles,
    check: dict[str, Any],
    manifest_mpp: float | Sequence[float] | None,
    source: Source,
    slides: Slides,
    regions: Regions,
) -> ImportedSlide:
    """Read a slide's patches, check their scale and lay regions over them.

    Args:
        slide_id: of the manifest.
        files: from `find_files`.
        check: the slide's row of `core.schemas.CHECK`.
        manifest_mpp: um/px at level 0 that the manifest gives, of both axes or of x and y.
        source: section of the configuration: the tool, and the size of its patches where nothing else tells it.
        slides: section of the configuration: plausible scales.
        regions: section of the configuration: the grid of regions.

    Raises:
        SlideError: the slide cannot be used, see the parts.
    """
    patches = read_source(source, files)
    placed = place(patches, level0_scale(patches, check, manifest_mpp, slides), source, regions)
    check_scale(patches.file, placed.um, regions)
    lattices = find_lattices(patches.file, placed.coords, placed.size)
    return ImportedSlide(patches, placed, region_map(slide_id, lattices, regions))


def _piece(rows: list[dict[str, Any]], patches: np.ndarray, features: np.ndarray, schema: pa.Schema) -> pa.Table:
    present = patches >= 0
    columns = {
        "slide_id": pa.array([row["slide_id"] for row in rows]),
        "region_id": pa.array([row["region_id"] for row in rows]),
        "features": to_column(tokens_of(patches, features), schema.field("features")),
        "read_ok": to_column(present, schema.field("read_ok")),
        "tissue": to_column(present.astype(np.float32), schema.field("tissue")),
        "colour": to_column(np.zeros((*patches.shape, 6), np.float32), schema.field("colour")),
    }
    return pa.table(columns, schema=schema)


def write_features(path: Path, slide: ImportedSlide | None, grid: int, meta: dict[str, Any]) -> None:
    """Write a slide's feature file; an empty one of width 1 where the slide is excluded.

    `read_ok` is False where the tool had no patch: such a token is hidden from the model, since there is no feature of
    glass to put there. `colour` is zero: there are no pixels.
    """
    schema = feature_schema(grid, slide.patches.features.shape[1] if slide else 1)
    with table_writer(path, schema, **FEATURE_PARQUET) as writer:
        if slide:
            rows, patches = slide.regions
            for start in range(0, len(rows), _REGIONS_A_PIECE):
                part = slice(start, start + _REGIONS_A_PIECE)
                writer.write(_piece(rows[part], patches[part], slide.patches.features, schema))
        writer.meta = meta
