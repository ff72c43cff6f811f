"""Feature files of a small cohort."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from workflow_scripts.core import schemas
from workflow_scripts.core.feature_file import FEATURE_PARQUET, feature_schema, slide_file
from workflow_scripts.core.tables import write_table
from workflow_scripts.core.tensors import to_column

GRID, DIM = 3, 5
PRETRAINED_ON = "pictures"


def write_features(folder: Path, counts: dict[str, int]) -> dict[str, dict[str, np.ndarray]]:
    """Features of slides with that many regions under `folder`, slides.parquet beside it; the arrays by slide."""
    schema, made = feature_schema(GRID, DIM), {}
    for number, (slide, count) in enumerate(counts.items()):
        random = np.random.default_rng(number)
        made[slide] = {
            "features": (random.normal(size=(count, GRID, GRID, DIM)) - 1).astype(np.float16),
            "read_ok": random.random((count, GRID, GRID)) < 0.7,
            "tissue": np.maximum(random.random((count, GRID, GRID)) - 0.3, 0).astype(np.float32),
            "colour": random.random((count, GRID, GRID, 6)).astype(np.float32),
        }
        made[slide]["read_ok"][0] = number % 2 == 0  # of every other slide, nothing of the first region can be read
        columns = {name: to_column(values, schema.field(name)) for name, values in made[slide].items()}
        columns |= {"slide_id": [slide] * count, "region_id": [f"{i}_0" for i in range(count)]}
        table = pa.table({name: columns[name] for name in schema.names}, schema=schema)
        facts = {"encoder": {"pretrained_on": PRETRAINED_ON}}
        write_table(slide_file(folder, slide), table, schema, facts, **FEATURE_PARQUET)
    slides = [{"slide_id": name, "patient_id": name, "path": f"{name}.svs", "status": "ok"} for name in counts]
    slides.append({"slide_id": "gone", "patient_id": "gone", "path": "gone.svs", "status": "excluded"})
    write_table(folder.parent / "slides.parquet", slides, schemas.SLIDES)
    return made
