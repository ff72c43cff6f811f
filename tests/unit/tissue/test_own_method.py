"""A user's own function finds the tissue: what it is given, what it may return, and which words refuse the rest."""

import sys
from pathlib import Path

import numpy as np
import pytest

from workflow_scripts.config import Tissue, load_config
from workflow_scripts.config.refusals import refuse
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import read_manifest
from workflow_scripts.core.own_function import own_function
from workflow_scripts.tissue import own_method
from workflow_scripts.tissue.segment import segment

SOURCE = """
import numpy as np

seen = []

def left(rgb, um_per_px):
    seen.append((rgb.shape, str(rgb.dtype), um_per_px))
    found = np.zeros(rgb.shape[:2])
    found[:, : rgb.shape[1] // 2] = 0.6
    found[:, : rgb.shape[1] // 4] = 0.9
    rgb[:] = 0
    return found

def right(rgb, um_per_px):
    found = np.zeros(rgb.shape[:2], bool)
    found[:, rgb.shape[1] // 2 :] = True
    return found

def transposed(rgb, um_per_px):
    return np.zeros(rgb.shape[1::-1])

def labels(rgb, um_per_px):
    return np.ones(rgb.shape[:2], int)

def logits(rgb, um_per_px):
    return np.full(rgb.shape[:2], 3.5)

def holes(rgb, um_per_px):
    return np.full(rgb.shape[:2], np.nan)
"""
PLAIN = {"closing_um": 0, "min_area_um2": 0, "min_hole_um2": 0}


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "own_tissue", raising=False)  # of the test before
    own_method._load.cache_clear()
    (tmp_path / "own_tissue.py").write_text(SOURCE)


def found(function: str, **more: object) -> tuple[np.ndarray, float]:
    settings = Tissue(method=f"own_tissue:{function}", **PLAIN | more)
    return segment(np.full((40, 80, 3), 200, np.uint8), 4.0, settings)


def test_probabilities_and_masks_are_the_tissue() -> None:
    columns = np.arange(80)
    mask, threshold = found("left")
    assert threshold == 0.5 and (mask == (columns < 40)).all()
    mask, threshold = found("left", threshold=0.8)
    assert threshold == 0.8 and (mask == (columns < 20)).all()
    mask, _ = found("right")
    assert (mask == (columns >= 40)).all()
    mask, _ = found("right", min_area_um2=40 * 40 * 16 + 1)
    assert not mask.any()


def test_it_is_given_a_copy_of_the_colours_and_their_scale() -> None:
    rgb = np.full((40, 80, 3), 200, np.uint8)
    segment(rgb, 4.0, Tissue(method="own_tissue:left", **PLAIN))
    import own_tissue

    assert own_tissue.seen[-1] == ((40, 80, 3), "uint8", 4.0) and (rgb == 200).all()


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("transposed", "returns an array of float64 and shape (80, 40)"),
        ("labels", "returns an array of int64"),
        ("logits", "returns values from 3.5 to 3.5"),
        ("missing", "has no function missing"),
    ],
)
def test_anything_else_is_refused_in_a_sentence(function: str, told: str) -> None:
    with pytest.raises(UserError) as error:
        found(function)
    assert f"own_tissue:{function}" in str(error.value) and told in str(error.value)


@pytest.mark.filterwarnings("ignore:All-NaN")
def test_values_that_are_no_number_are_refused() -> None:
    with pytest.raises(UserError, match="not finite"):
        found("holes")


def test_a_module_that_is_not_there_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "slides.csv").write_text("slide_id,path\na,a.svs\n")
    (tmp_path / "a.svs").touch()
    config = load_config(
        {"tissue": {"method": "nowhere_to_be_found:find"}, "features": {"model": "efficientnet_lite0"}}
    )
    with pytest.raises(UserError, match=r"tissue\.method is nowhere_to_be_found:find, but there is no module"):
        refuse(config, read_manifest("slides.csv"))


def test_its_source_is_its_file_or_its_package(tmp_path: Path) -> None:
    assert own_function("tissue.method", "saturation") is None
    before = own_function("tissue.method", "own_tissue:left").digest()
    (tmp_path / "own_tissue.py").write_text(SOURCE + "# more\n")
    assert own_function("tissue.method", "own_tissue:left").digest() != before
