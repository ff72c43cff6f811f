from argparse import Namespace

import numpy as np
import pytest
import torch

from workflow_scripts.config import PretrainRun
from workflow_scripts.slpd.parallel import Workers
from workflow_scripts.slpd.session import Session
from workflow_scripts.slpd.soft_shares import prototype_shares, soft_shares
from workflow_scripts.slpd.state import new_state, save_state
from workflow_scripts.slpd.tokens import TokenData
from workflow_scripts.slpd.trainer import clustered_features

from . import cohort, plain


def test_slide_of_each_region():
    store = Namespace(slide_ids=["d", "a", "c", "b"], slide_index=cohort.SLIDE_INDEX)
    session = Session(torch.device("cpu"), Workers(), store, cohort.tokens())
    assert session.region_slides == ["d"] * 3 + ["a"] * 3 + ["c"] * 2 + ["b"] * 3


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("clustering", [False, True])
def test_clustering_hides_glass_where_either_key_asks_for_it(everywhere, clustering):
    """By hand: the first region holds tissue in one patch, the second in none and so keeps what can be read."""
    read_ok = np.array([[[True, True], [True, False]], [[True, False], [True, True]]])
    tissue = np.array([[[0.0, 0.3], [0.0, 0.9]], [[0.0, 0.0], [0.0, 0.0]]], dtype=np.float32)
    hidden = torch.tensor([[False, True, False, False], [True, False, True, True]])
    read = torch.from_numpy(read_ok).flatten(1)
    store = Namespace(read_ok=read_ok, tissue=tissue)
    tokens = torch.arange(16.0).reshape(2, 4, 2)
    data = TokenData(tokens, hidden if everywhere else read, 2)
    run = PretrainRun.model_validate({"mask_glass": everywhere, "prototypes": {"mask_glass": clustering}})
    seen = Session(torch.device("cpu"), Workers(), store, data).as_clustered(run)
    assert torch.equal(seen.valid, hidden if everywhere or clustering else read)
    assert torch.equal(seen.take(torch.tensor([1, 0]))[0], tokens[[1, 0]]) and seen.grid == 2
    assert torch.equal(data.valid, hidden if everywhere else read), "training sees what it saw"


def test_shares_of_a_mixture_are_of_regions_as_they_are_clustered(tmp_path):
    cpu, found = torch.device("cpu"), []
    tokens = cohort.arrays().tokens.unflatten(1, (4, 4)).numpy()
    read_ok = np.ones(tokens.shape[:3], dtype=bool)
    tissue = np.ones(read_ok.shape, dtype=np.float32)
    tissue[:, :, :2] = 0  # half of each region is glass
    for hidden in (True, False):
        run = plain.tiny_run(loss={"soft_temp": 0.1}, prototypes={"mask_glass": hidden})
        state = new_state(run, tokens.shape[-1], cpu)
        save_state(tmp_path / "state.safetensors", state)
        prototypes = cohort.prototypes(run)
        store = Namespace(read_ok=read_ok, tissue=tissue)
        session = Session(cpu, Workers(), store, TokenData.from_arrays(tokens, read_ok, cpu))
        found.append(soft_shares(run, tmp_path / "state.safetensors", session, prototypes, cohort.SLIDE_INDEX))
        seen = TokenData.from_arrays(tokens, tissue > 0 if hidden else read_ok, cpu)
        clustered = clustered_features(run, state.teacher, seen)[1].numpy()
        expected = prototype_shares(clustered, prototypes, cohort.SLIDE_INDEX, 0.1)
        np.testing.assert_allclose(found[-1], expected, atol=1e-6)
    assert np.abs(found[0] - found[1]).max() > 1e-5, "ten times what is allowed above"
