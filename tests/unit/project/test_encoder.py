from pathlib import Path

import pytest

from workflow_scripts.config import Features, Regions
from workflow_scripts.config.encoders import ENCODERS
from workflow_scripts.config.fit import misfit
from workflow_scripts.project.encoder import PAPER_ENCODER, PAPER_FILE, choose_encoder, find_encoders, to_be_had


def _found(*names: str) -> dict[str, Path | None]:
    return {"efficientnet_lite0": None} | dict.fromkeys(names)


@pytest.mark.parametrize(
    ("cached", "chosen"),
    [
        ((), "efficientnet_lite0"),
        (("uni2_h", "phikon", "virchow2"), "phikon"),  # the smallest of tissue
        (("resnet50_imagenet",), "efficientnet_lite0"),  # natural images are no better than a package's
        (("hipt_vits16_256", "phikon"), "hipt_vits16_256"),
    ],
)
def test_the_smallest_encoder_of_tissue_at_hand_is_taken(cached, chosen):
    choice = choose_encoder(_found(*cached), Regions())
    assert choice.model == chosen and set(choice.others) == set(_found(*cached)) - {chosen}


def test_what_does_not_fit_the_patches_is_passed_over():
    coarse = Regions(mpp=1.0)
    assert misfit(Features.model_validate({"model": "phikon"}), coarse)
    assert choose_encoder(_found("phikon", "virchow2"), coarse).model == "virchow2"


@pytest.mark.parametrize("grid", [4, 16])
def test_every_encoder_of_the_registry_that_may_be_taken_fits(grid):
    for name in ENCODERS:
        choice = choose_encoder(_found(name), Regions(grid=grid))
        assert not misfit(Features.model_validate({"model": choice.model}), Regions(grid=grid))


def test_the_papers_checkpoint_is_found_and_named(tmp_path):
    found = find_encoders(lambda name: name == "uni", [tmp_path / "a", tmp_path])
    assert set(found) == {"efficientnet_lite0", "uni"}
    (tmp_path / PAPER_FILE).write_bytes(b"x")
    found = find_encoders(lambda name: False, [tmp_path / "a", tmp_path])
    choice = choose_encoder(found, Regions())
    assert choice.section == {
        "encoder": PAPER_ENCODER,
        "model": PAPER_ENCODER,
        "weights": str(tmp_path / PAPER_FILE),
    }


def test_only_what_the_hub_publishes_is_looked_for_in_its_cache():
    asked: list[str] = []
    find_encoders(lambda name: bool(asked.append(name)), [])
    assert PAPER_ENCODER not in asked and "efficientnet_lite0" not in asked and "uni" in asked


def test_what_can_be_had_is_told_apart_by_login():
    free, gated = to_be_had(_found("phikon"))
    assert free == ["phikon_v2", "kaiko_vitl14", "lunit_vits8"]
    assert {"uni", "virchow2", "h_optimus_0"} <= set(gated) and "phikon" not in gated
