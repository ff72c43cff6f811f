from argparse import Namespace

import pyarrow as pa
import pytest
import torch

from workflow_scripts.core.tables import write_table
from workflow_scripts.slpd.session import Session, patients_of

from . import cohort

SLIDES = pa.schema([("slide_id", pa.string()), ("patient_id", pa.string())])


def test_patients_come_in_the_order_of_the_slides(tmp_path):
    write_table(tmp_path / "s.parquet", {"slide_id": ["a", "b", "c"], "patient_id": ["p", "q", "p"]}, SLIDES)
    assert patients_of(str(tmp_path / "s.parquet"), ["c", "b", "a"]) == ["p", "q", "p"]
    assert patients_of(str(tmp_path / "s.parquet"), ["b"]) == ["q"]
    with pytest.raises(KeyError):
        patients_of(str(tmp_path / "s.parquet"), ["unknown"])


def test_slide_of_each_region():
    store = Namespace(slide_ids=["d", "a", "c", "b"], slide_index=cohort.SLIDE_INDEX)
    session = Session(torch.device("cpu"), store, cohort.tokens(), [])
    assert session.region_slides == ["d"] * 3 + ["a"] * 3 + ["c"] * 2 + ["b"] * 3
