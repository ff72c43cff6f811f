import json

import pytest
import torch

from workflow_scripts.slpd.model import RegionEncoder, save_model
from workflow_scripts.slpd.state import new_state

from . import cohort, plain

ARCHITECTURE = {
    "in_dim": cohort.DIM, "dim": 8, "depth": 2, "heads": 2, "mlp_ratio": 2.0, "drop_path": 0.0, "positions": 3,
}  # fmt: skip


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("batch", [2, 256])
def test_loaded_model_equals_the_teachers_backbone(tmp_path, padded, batch):
    teacher = new_state(plain.tiny_run(), cohort.DIM, cohort.CPU).teacher
    save_model(tmp_path / "model.safetensors", teacher.backbone, {"architecture": ARCHITECTURE, "seed": 3}, "# Card\n")
    data = cohort.tokens(padded=padded)
    tokens, valid = data.tokens.unflatten(1, (4, 4)), data.valid.unflatten(1, (4, 4))
    encoder = RegionEncoder.load(tmp_path)
    got = encoder.embed(tokens, valid if padded else None, batch)
    want = teacher.backbone(tokens.float(), valid if padded else None)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)
    assert not encoder.training
    assert encoder.facts["seed"] == 3
    for name, value in teacher.backbone.state_dict().items():
        assert torch.equal(value, encoder.backbone.state_dict()[name]), name


def test_files_of_a_model(tmp_path):
    teacher = new_state(plain.tiny_run(), cohort.DIM, cohort.CPU).teacher
    save_model(tmp_path / "m/model.safetensors", teacher.backbone, {"architecture": ARCHITECTURE}, "# Card\n")
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert json.loads((tmp_path / "m/config.json").read_text()) == {"architecture": ARCHITECTURE}
    assert (tmp_path / "m/README.md").read_text() == "# Card\n"
