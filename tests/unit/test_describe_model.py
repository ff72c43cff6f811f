import json

import pytest
import torch

from workflow_scripts.core.errors import UserError
from workflow_scripts.describe_model import main
from workflow_scripts.slpd.model import save_model
from workflow_scripts.slpd.vit import RegionViT

ARCHITECTURE = {"in_dim": 5, "dim": 8, "depth": 2, "heads": 2, "mlp_ratio": 2.0, "positions": 3}
FACTS = {
    "architecture": ARCHITECTURE,
    "features": {"grid": 4, "patch_px": 256, "mpp": 0.5, "encoder": {"name": "uni", "licence": "CC-BY-NC-ND-4.0"}},
    "settings": {"mask_glass": True, "rounds": 26},
    "pretrained_on": "slides; then SLPD on cohort c",
    "epochs": 99,
    "version": "1.2.3",
    "code": "abc",
}


def told(folder, capsys, facts, *options):
    torch.manual_seed(0)
    save_model(folder / "model.safetensors", RegionViT(**ARCHITECTURE), facts, "")
    main([str(folder), *options])
    return capsys.readouterr().out


def test_what_a_person_wants_to_know(tmp_path, capsys):
    text = told(tmp_path, capsys, FACTS)
    for fact in ("[regions, 4, 4, 5]", "fraction of tissue", "256 px at 0.5 um/px", "uni", "CC-BY-NC-ND-4.0", "99"):
        assert fact in text
    for fact in ("[regions, 8]", "2 blocks, 2 heads", "slides; then SLPD on cohort c", "1.2.3, digest abc"):
        assert fact in text
    # patches to tokens, class token, positions and its own, final norm; per block two norms, qkv, out, mlp
    block = 2 * 16 + (8 * 24 + 24) + (8 * 8 + 8) + (8 * 16 + 16) + (16 * 8 + 8)
    assert f"{5 * 8 + 8 + 8 + 8 * (3 * 3 + 1) + 16 + 2 * block:,} parameters" in text
    assert "rounds" not in text


def test_settings_on_request(tmp_path, capsys):
    text = told(tmp_path, capsys, FACTS, "--settings")
    assert json.loads(text[text.index("\n{") :]) == FACTS["settings"]


def test_a_card_without_facts_is_told_so(tmp_path, capsys):
    text = told(tmp_path, capsys, {"architecture": ARCHITECTURE})
    assert text.count("not recorded") >= 6 and "fraction of tissue" not in text


def test_a_damaged_model_is_one_sentence(tmp_path, capsys):
    told(tmp_path, capsys, FACTS)
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(UserError, match="damaged or cut short"):
        main([str(tmp_path)])
