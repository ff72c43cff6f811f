"""What the sections source and export of the configuration refuse."""

import pytest

from workflow_scripts.config import load_config
from workflow_scripts.core.errors import UserError

MEAN = {"embed": {"baselines": ["mean"]}}


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"source": {"kind": "clam"}, **MEAN}, r"source\.folder"),
        ({"source": {"kind": "clam", "folder": "x", "mpp": 0.5}, **MEAN}, "belong together"),
        ({"source": {"kind": "other", "folder": "x"}, **MEAN}, r"source\.kind"),
        ({"source": {"kind": "clam", "folder": "x"}}, "colour needs pixels"),
        ({"export": {"formats": []}}, r"export\.formats"),
    ],
)
def test_what_cannot_work(config, word):
    with pytest.raises(UserError, match=word):
        load_config(config)


def test_without_a_source_features_are_computed():
    assert load_config({}).source.kind is None
    config = load_config({"source": {"kind": "stamp", "folder": "x", "mpp": 1.14, "patch_px": 224}, **MEAN})
    assert config.source.kind == "stamp"
