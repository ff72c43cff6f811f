from argparse import Namespace

import torch

from workflow_scripts.slpd.parallel import Workers
from workflow_scripts.slpd.session import Session

from . import cohort


def test_slide_of_each_region():
    store = Namespace(slide_ids=["d", "a", "c", "b"], slide_index=cohort.SLIDE_INDEX)
    session = Session(torch.device("cpu"), Workers(), store, cohort.tokens())
    assert session.region_slides == ["d"] * 3 + ["a"] * 3 + ["c"] * 2 + ["b"] * 3
