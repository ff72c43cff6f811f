"""The clustering that a run's model has, as its tables tell it slide by slide."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.config.model_folder import PROTOTYPES, model_settings
from workflow_scripts.core import schemas
from workflow_scripts.core.region_groups import in_order
from workflow_scripts.core.tables import read_meta, read_table

_TABLES = {"prototypes": schemas.PROTOTYPES, "assignments": schemas.ASSIGNMENTS}


def has_slide_sets(run: Path) -> bool:
    """Whether `pretrain/{run}` has a model with prototypes of slides; of baselines and tables there is no model."""
    model = run / "model"
    return model.is_dir() and model_settings(model).has_slide_sets


def slide_prototypes(run: Path, slide: str) -> np.ndarray:
    """Prototypes float32 `[M, d]` of a slide of the cohort or of its test cohort; `[0]` where it has none."""
    rows = sorted(_rows(run, "prototypes", slide).to_pylist(), key=lambda row: row["prototype"])
    return np.array([row["vector"] for row in rows], dtype=np.float32)


def region_prototypes(run: Path, slide: str, region_ids: list[str]) -> np.ndarray:
    """Prototype of each region of such a slide, int64 `[N]`, -1 for none."""
    return in_order(_rows(run, "assignments", slide), region_ids, "prototype")


def _rows(run: Path, table: str, slide: str) -> pa.Table:
    """A slide's rows; of rounds that were not clustered by the model's teacher nothing is taken."""
    number = read_meta(run / "model" / PROTOTYPES)["round"]
    paths = [path for path in sorted(run.glob(f"round_*/*{table}.parquet")) if read_meta(path).get("round") == number]
    last = {path.name: path for path in paths}  # a clustering that was handed on is in several folders
    parts = [one.filter(pc.equal(one["slide_id"], slide)) for one in map(read_table, last.values())]
    return pa.concat_tables(parts) if parts else _TABLES[table].empty_table()
