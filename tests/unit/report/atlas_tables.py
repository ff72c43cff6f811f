"""What `add_atlas` adds to a results folder of `results_folder.make_results`: groups, atlas, attention, manifest."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.core import schemas
from workflow_scripts.core.tables import read_table, write_table
from workflow_scripts.core.tensors import to_column
from workflow_scripts.mil.attention import ATTENTION
from workflow_scripts.slpd.attention_maps import attention_schema

GROUP_OF = [2, 0, 1, 0]
"""Group of each prototype, the same in all slides."""
SITES = ("north", "south  side", "west")
WITH_ATTENTION = ["s01", "s05"]
HEADS, GRID = 2, 4


def _classes(slides: list[str], mine: Counter, all_of: Counter) -> list[dict]:
    """Counts of two classes, dealt to the slides in turn; the last slide has none."""
    of = {slide: ("adeno", "squamous")[number % 2] for number, slide in enumerate(slides[:-1])}
    rows = []
    for name in ("adeno", "squamous"):
        own = [slide for slide in of if of[slide] == name]
        counts = {"n_regions": sum(mine[s] for s in own), "group_regions": sum(mine[s] for s in of)}
        counts |= {"class_regions": sum(all_of[s] for s in own), "class_slides": len(own)}
        rows.append({"task": "subtype", "class": name, "n_slides": sum(mine[s] > 0 for s in own), **counts})
    return rows


def _atlas(root: Path, run: Path) -> None:
    assigned = read_table(run / "round_04/assignments.parquet").to_pylist()
    slides = sorted({row["slide_id"] for row in assigned})
    all_of, rows = Counter(row["slide_id"] for row in assigned), []
    for group in range(3):
        own = [row for row in assigned if GROUP_OF[row["prototype"]] == group]
        mine, nearest = Counter(row["slide_id"] for row in own), []
        for slide in [s for s in slides if mine[s] and s != "s03"][:9]:  # the file of s03 is gone
            first = next(row for row in own if row["slide_id"] == slide)
            places = read_table(root / f"regions/{slide}.parquet").to_pylist()
            place = next(row for row in places if row["region_id"] == first["region_id"])
            nearest.append({key: place[key] for key in ("x", "y", "size_x", "size_y")} | first | {"least_cosine": 0.6})
        for row in nearest:
            row.pop("similarity")
        facts = {"group": group, "n_prototypes": GROUP_OF.count(group) * len(slides), "n_regions": len(own)}
        facts |= {"n_slides": len(mine), "similarity": 0.9 - group / 10, "centre": [1.0, 0.0]}
        rows.append(facts | {"nearest": nearest, "classes": _classes(slides, mine, all_of)})
    meta = {"round": 4, "wanted": 3, "before": {"round": 3, "ari": 0.713, "n_regions": len(assigned)}}
    meta |= {"other_seeds": [0.914, 0.875], "other_runs": [], "n_slides": len(slides), "n_regions": len(assigned)}
    write_table(run / "atlas.parquet", rows, schemas.ATLAS, meta)


def _head_attention(root: Path) -> None:
    """Write where abmil looks, in task subtype on run slpd, over all slides with prototypes but the last."""
    assigned = read_table(root / "pretrain/slpd/round_04/assignments.parquet").select(["slide_id", "region_id"])
    columns = assigned.to_pydict()
    last, random = max(columns["slide_id"]), np.random.default_rng(1)
    weights = random.exponential(size=len(assigned)).astype(np.float32)
    columns |= {"head": ["abmil"] * len(weights), "attention": weights, "n_fits": [4] * len(weights)}
    table = pa.table(columns)
    path = root / "benchmark/subtype/slpd/abmil/attention.parquet"
    write_table(path, table.filter(pc.not_equal(table["slide_id"], last)), ATTENTION)


def add_atlas(root: Path, with_attention: list[str] = WITH_ATTENTION) -> None:
    """Write groups.parquet, atlas.parquet and tables of attention of run slpd, and the manifest `slides.csv`."""
    run = root / "pretrain/slpd"
    prototypes = read_table(run / "round_04/prototypes.parquet").to_pylist()
    rows = [row | {"group": GROUP_OF[row["prototype"]], "similarity": 0.9} for row in prototypes]
    for row in rows:
        row.pop("vector")
    write_table(run / "groups.parquet", rows, schemas.GROUPS)
    _atlas(root, run)
    _head_attention(root)
    of_slide = {s: read_table(root / f"regions/{s}.parquet")["region_id"].to_pylist() for s in with_attention}
    regions = [(slide, region) for slide, own in of_slide.items() for region in own]
    schema = attention_schema(HEADS, GRID)
    values = np.random.default_rng(0).dirichlet(np.ones(GRID**2), (len(regions), HEADS)).astype(np.float32)
    columns = {"slide_id": [s for s, _ in regions], "region_id": [r for _, r in regions]}
    columns["attention"] = to_column(values.reshape(-1, HEADS, GRID, GRID), schema.field("attention"))
    write_table(run / "attention.parquet", columns, schema)
    slides = [row["slide_id"] for row in read_table(root / "slides.parquet").to_pylist()]
    lines = [f"{slide},{slide}.png,{SITES[number % 3]}" for number, slide in enumerate(slides)]
    (root / "slides.csv").write_text("\n".join(["slide_id,path,site", *lines, ""]))
