"""What of the patches is refused for an encoder of the registry, and that it is refused before torch is needed."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.config import Features, Regions, load_config
from workflow_scripts.config.encoders import ENCODERS
from workflow_scripts.config.fit import misfit
from workflow_scripts.core.errors import UserError


def problem(features: dict, regions: dict | None = None) -> str:
    text = misfit(Features(**features), Regions(**(regions or {})))
    assert "\n" not in text
    return text


@pytest.mark.parametrize("model", ENCODERS)
def test_every_encoder_takes_256_px_patches_at_half_a_micrometre(model):
    assert problem({"model": model}) == ""


@pytest.mark.parametrize("model", [name for name, facts in ENCODERS.items() if facts.mpps == (0.5,)])
@pytest.mark.parametrize(("mpp", "fits"), [(0.39, False), (0.4, True), (0.5, True), (0.6, True), (0.61, False)])
def test_scale_may_differ_by_a_fifth(model, mpp, fits):
    # patches as wide as the input, so that nothing is resized
    px = ENCODERS[model].input_px
    text = problem({"model": model}, {"mpp": mpp, "patch_px": px})
    assert (text == "") == fits
    if not fits:
        assert "regions.mpp" in text
        assert "set regions.mpp to 0.5" in text
        assert problem({"model": model, "allow_mismatch": True}, {"mpp": mpp, "patch_px": px}) == ""


def test_mixed_magnification_takes_each_of_its_scales():
    for mpp in (0.25, 0.5, 1.0, 2.0):
        assert problem({"model": "virchow2"}, {"mpp": mpp, "patch_px": 224}) == ""
    assert "0.25 or 0.5 or 1 or 2 um/px" in problem({"model": "virchow2"}, {"mpp": 4.0, "patch_px": 224})


def test_natural_images_have_no_scale():
    for model in ("efficientnet_lite0", "resnet50_imagenet", "resnet50_layer3", "vits16_imagenet"):
        assert problem({"model": model}, {"mpp": 2.0, "patch_px": 96}) == ""


def test_scale_after_the_resize_counts():
    text = problem({"model": "uni"}, {"patch_px": 512})
    assert "comes to 1.14 um/px" in text
    assert "set regions.patch_px to 224" in text
    assert problem({"model": "uni", "fit": "crop"}, {"patch_px": 256}) == ""
    assert "of the tissue would not be seen" in problem({"model": "uni", "fit": "crop"}, {"patch_px": 512})
    assert "81% of the tissue" in problem({"model": "prov_gigapath"}, {"patch_px": 512})


def test_input_size_of_a_vit_is_its_own():
    assert "position embedding" in problem({"model": "uni", "input_px": 448}, {"patch_px": 448})
    assert problem({"model": "uni", "input_px": 448, "allow_mismatch": True}, {"patch_px": 448}) == ""
    assert problem({"model": "resnet50_layer3", "input_px": 256}) == ""


@pytest.mark.parametrize("allow", [False, True])
def test_the_impossible_is_never_allowed(allow):
    features = {"model": "uni2_h", "allow_mismatch": allow}
    assert "multiple of 14" in problem(features | {"input_px": 225})
    assert "features.fit is crop" in problem(features | {"fit": "crop"}, {"patch_px": 128})


def test_random_weights_were_trained_at_no_scale():
    assert problem({"model": "uni:random"}, {"mpp": 2.0}) == ""


def test_models_outside_the_registry_are_not_judged():
    for model in ("vit_small_patch16_224", "hf-hub:someone/model", "local-dir:folder", "mine:make"):
        assert problem({"model": model, "input_px": 100}, {"mpp": 4.0}) == ""


@given(mpp=st.floats(0.05, 5), px=st.integers(16, 2048), model=st.sampled_from(sorted(ENCODERS)))
def test_accepted_scales_are_near_a_trained_one(mpp, px, model):
    facts = ENCODERS[model]
    if problem({"model": model}, {"mpp": mpp, "patch_px": px}) == "" and facts.mpps:
        seen = mpp * px / facts.input_px if facts.fit == "resize" else mpp
        assert min(abs(seen / trained - 1) for trained in facts.mpps) <= 0.2 + 1e-6
        assert min(abs(mpp / trained - 1) for trained in facts.mpps) <= 0.2 + 1e-6


def test_a_whole_configuration_is_refused_in_one_sentence():
    raw = {"features": {"model": "hipt_vits16_256"}, "regions": {"mpp": 0.25}}
    with pytest.raises(UserError) as caught:
        load_config(raw)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("configuration: features.model hipt_vits16_256 was trained at 0.5 um/px")
    raw["features"]["allow_mismatch"] = True
    assert load_config(raw).regions.mpp == 0.25


def test_configuration_needs_no_torch():
    code = "import sys, workflow_scripts.config; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
