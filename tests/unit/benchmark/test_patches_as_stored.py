"""Heads on bags of all patches, which are read as they are stored."""

from pathlib import Path

import numpy as np
import pytest

from tests.unit.benchmark.made import SUBTYPE, attention_of, fit_heads, split_cohort
from tests.unit.representations.features import write_features
from workflow_scripts import embed_patches
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.representations.patch_bags import tissue_patches


def _with_patches(folder):
    """The representation `patches`, and `copies`, whose regions are the same patches in float32."""
    names = [row["slide_id"] for row in read_table(folder / "slides.parquet").to_pylist() if row["status"] == "ok"]
    store = folder / "store" / "encoder"
    write_features(store, dict.fromkeys(names, 2))
    outputs = [f"--{name}-output={folder}/patches/{name}.parquet" for name in ("regions", "slides")]
    embed_patches.main(["--features", str(store), "--slides", f"{folder}/slides.parquet", *outputs])
    (folder / "copies").mkdir()
    slides, meta = folder / "patches/slides.parquet", read_meta(folder / "patches/slides.parquet")
    write_table(folder / "copies/slides.parquet", read_table(slides), schemas.SLIDE_EMBEDDINGS, meta)
    regions = [
        {"slide_id": name, "region_id": str(number), "vector": patch.astype(np.float32).tolist()}
        for name in names
        for number, patch in enumerate(tissue_patches(store, name))
    ]
    del meta["features"]
    write_table(folder / "copies/regions.parquet", regions, schemas.REGION_EMBEDDINGS, meta)


@pytest.mark.parametrize("slides_of_patient", ["average", "bag"])
def test_patches_as_stored_give_what_their_copies_give(cohort, slides_of_patient):
    split_cohort(cohort, SUBTYPE | {"slides_of_patient": slides_of_patient})
    _with_patches(cohort)
    for head in ("abmil", "dsmil"):
        files = [fit_heads(cohort, head, representation=name) for name in ("patches", "copies")]
        found, attended = ([read_table(of(file)) for file in files] for of in (Path, attention_of))
        assert not len(attended[0]) and len(attended[1])  # patches have no names
        assert found[0].equals(found[1]) and len(found[0]) == (24 if slides_of_patient == "bag" else 30), head


def test_patches_are_held_by_networks_alone_and_refused_where_memory_is_too_little(cohort):
    split_cohort(cohort)
    _with_patches(cohort)
    with pytest.raises(UserError, match=r"the patches of 30 slides take 0\.0 GB in memory and the job has 0\.0 GB"):
        fit_heads(cohort, "mean_mil", representation="patches", memory_mb=8)
    fit_heads(cohort, "knn", "logistic", representation="patches", memory_mb=8)
