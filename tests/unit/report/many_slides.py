"""A made-up cohort of many slides, in a results folder that `results_folder.make_results` made before."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from tests.unit.report.results_folder import REPRESENTATIONS
from workflow_scripts.core import schemas
from workflow_scripts.core.tables import read_table, write_table

SIDE, ROWS, COLUMNS = 4096, 12, 16
CLASSES = ("adeno", "squamous", "other")
_LABELS = pa.schema(
    [
        *((name, pa.string()) for name in ("slide_id", "patient_id", "label")),
        *(("time", pa.float64()), ("event", pa.bool_()), ("value", pa.float64())),
    ]
)


def _plain(path: Path, columns: dict, schema: pa.Schema) -> None:
    """A table without the care that a table of a stage needs, for a thousand of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pydict(columns, schema=schema), path)


def _slide(root: Path, slide_id: str, overlay: Path, random: np.random.Generator) -> dict:
    """Files of one slide; its assignments."""
    row, col = (index.ravel() for index in np.indices((ROWS, COLUMNS)))
    kept = ((row - ROWS / 2) / ROWS) ** 2 + ((col - COLUMNS / 2) / COLUMNS) ** 2 < random.uniform(0.12, 0.25)
    row, col = row[kept], col[kept]
    ids, count = [f"{slide_id}_r{r:03d}_c{c:03d}" for r, c in zip(row, col, strict=True)], int(kept.sum())
    places = {"slide_id": [slide_id] * count, "region_id": ids, "x": col * SIDE, "y": row * SIDE}
    places |= {"size_x": [SIDE] * count, "size_y": [SIDE] * count, "grid_row": row, "grid_col": col}
    places |= {"tissue_fraction": np.ones(count, np.float32), "patch_tissue": [[1.0]] * count}
    _plain(root / f"regions/{slide_id}.parquet", places, schemas.REGIONS)
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    reach = 0.42 + 0.02 * np.sin(9 * angle) + random.normal(0, 0.004, 400)
    outline = np.stack([COLUMNS * (0.5 + reach * np.cos(angle)), ROWS * (0.5 + reach * np.sin(angle))], 1) * SIDE
    schema = pa.schema([("slide_id", pa.string()), ("geometry", pa.binary())])
    shape = shapely.to_wkb(shapely.Polygon(outline))
    _plain(root / f"tissue/{slide_id}.parquet", {"slide_id": [slide_id], "geometry": [shape]}, schema)
    picture = root / f"tissue/{slide_id}.png"
    picture.unlink(missing_ok=True)
    os.link(overlay, picture)
    prototype = ((row // 4 + col // 5 + random.integers(4)) % 4).astype(np.int32)
    similarity = random.uniform(0.5, 0.99, count).astype(np.float32)
    return {"slide_id": [slide_id] * count, "region_id": ids, "prototype": prototype, "similarity": similarity}


def make_many(root: Path, count: int, seed: int = 0) -> list[str]:
    """Put so many slides in the place of those in the folder, a tenth excluded; their slide_ids."""
    random = np.random.default_rng(seed)
    overlays = [root / f"tissue/s{number:02d}.png" for number in range(16)]
    model = read_table(root / "slides.parquet").to_pylist()[0]
    names, slides, assigned = [f"TCGA-{i:04d}-01Z-00-DX1" for i in range(count)], [], []
    for number, slide_id in enumerate(names):
        found = _slide(root, slide_id, overlays[number % len(overlays)], random)
        bad = number % 10 == 3
        facts = {"slide_id": slide_id, "patient_id": f"TCGA-{number * 2 // 3:04d}", "path": f"slides/{slide_id}.svs"}
        facts |= {"width": COLUMNS * SIDE, "height": ROWS * SIDE, "tissue_mm2": float(random.uniform(20, 400))}
        facts |= {"n_regions": len(found["region_id"]), "vendor": ("aperio", "hamamatsu", "philips")[number % 3]}
        facts |= {"status": "excluded", "reason": "no_mpp", "detail": "no scale; give mpp"} if bad else {}
        slides.append(model | facts)
        assigned += [] if bad else [found]
    good = [slide["slide_id"] for slide in slides if slide["status"] == "ok"]
    write_table(root / "slides.parquet", slides, schemas.SLIDES)
    folder = root / "pretrain/slpd/round_04"
    columns = {name: np.concatenate([found[name] for found in assigned]) for name in assigned[0]}
    write_table(folder / "assignments.parquet", columns, schemas.ASSIGNMENTS)
    rows = [{"slide_id": s, "prototype": k, "n_regions": 20, "vector": [1.0, 0.0]} for s in good for k in range(4)]
    write_table(folder / "prototypes.parquet", rows, schemas.PROTOTYPES)
    pairs = zip(good, [*good[1:], good[0]], strict=True)
    rows = [
        {"slide_id": a, "rank": 1, "neighbour_id": b, "similarity": 3.4, "matching": [2, 0, 3, 1]} for a, b in pairs
    ]
    write_table(folder / "neighbours.parquet", rows, schemas.NEIGHBOURS)
    label = {name: CLASSES[number % 3] for number, name in enumerate(good)}
    for name in REPRESENTATIONS:
        middle = {one: random.normal(size=192) for one in CLASSES}
        vectors = [(middle[label[s]] + random.normal(size=192)).tolist() for s in good]
        table = {"slide_id": good, "vector": vectors}
        write_table(root / f"embeddings/{name}/slides.parquet", table, schemas.SLIDE_EMBEDDINGS)
    none = [None] * len(good)
    labels = {"slide_id": good, "patient_id": good, "label": list(label.values()), "time": none, "event": none}
    _plain(root / "benchmark/subtype/labels.parquet", labels | {"value": none}, _LABELS)
    return names
