"""Keys of pretraining that are not followed are told before anything runs."""

import pytest

from workflow_scripts.config import load_config
from workflow_scripts.config.notes import training_notes


@pytest.mark.parametrize(
    ("pretrain", "told"),
    [
        ({}, []),
        ({"defaults": {"deterministic": True}}, []),
        ({"defaults": {"compile": True}}, []),
        ({"runs": {"dino": None, "slpd": {"deterministic": True, "compile": True}}}, ["nothing is compiled"]),
        (
            {"runs": {"slpd": {"compile": True}}},
            ["dino and slpd share a warm-up, which is trained with compile of dino"],
        ),
        ({"runs": {"slpd": {"compile": True, "seed": 5}}}, []),
    ],
)
def test_compile_that_is_not_followed(pretrain, told):
    notes = training_notes(load_config({"pretrain": pretrain}))
    assert len(notes) == len(told) and all(text in note for text, note in zip(told, notes, strict=True))
