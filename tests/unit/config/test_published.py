"""What runs of preset official do otherwise than the published code is told, and nothing of other runs."""

import json

import pytest

from workflow_scripts.config import PretrainRun, load_config, stages
from workflow_scripts.config.published import departure_notes, departures
from workflow_scripts.config.runs import arithmetic
from workflow_scripts.report.settings import ReportSettings

EPOCHS = "epochs_per_round 5 (published: 1, a clustering each epoch)"
GLASS = "features.encode_glass false (published: true, patches without tissue are encoded too)"


def config(**edits):
    raw = {"pretrain": {"defaults": {"epochs_per_round": 5, "rounds": 3}, "runs": {"official": {"preset": "official"}}}}
    return load_config(raw | edits)


def test_cadence_and_glass_that_the_preset_leaves_alone_are_told_of_official_runs_alone():
    found = config()
    assert {name: departures(found, name) for name in found.pretrain.runs} == {
        "slpd": [],
        "dino": [],
        "official": [EPOCHS, GLASS],
    }
    assert departure_notes(found) == [
        f"pretrain run official is of preset official and not as published in {EPOCHS}; {GLASS}"
    ]
    assert departures(config(features={"encode_glass": True}), "official") == [EPOCHS]
    # features of another tool are what that tool has made of all patches
    assert departures(config(source={"kind": "trident", "folder": "f"}, embed={"baselines": ["mean"]}), "official") == [
        EPOCHS
    ]
    published = {"preset": "official", "epochs_per_round": 1}
    assert departure_notes(config(pretrain={"runs": {"a": published}}, features={"encode_glass": True})) == []


def test_keys_of_the_run_that_undo_its_preset_are_told_with_both_values():
    own = {"preset": "official", "neighbours": {"matching": "optimal"}, "recluster_every": 2, "stop_agreement": 0.9}
    found = config(pretrain={"runs": {"a": own}}, features={"encode_glass": True})
    assert departures(found, "a") == [
        "neighbours.matching optimal (published: argmax)",
        "recluster_every 2 (published: 1)",
        "stop_agreement 0.9 (published: null)",
    ]


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({}, "corrected"),
        ({"preset": "official"}, "the published code's"),
        ({"loss": {"proto_center": "none"}}, "neither"),
    ],
)
def test_the_arithmetic_is_told_by_the_settings(own, says):
    assert arithmetic(load_config({"pretrain": {"runs": {"a": own}}}).pretrain.run("a")).startswith(says)
    assert arithmetic(PretrainRun()).startswith("corrected")


def test_the_report_has_the_order_of_the_configuration_and_shows_the_first_run_with_prototypes_of_slides():
    """JSON with sorted keys, as Snakemake's params are, would put `global` and `official` before `slpd`."""
    runs = {
        "zeta": {"seeds": [3, 1]},
        "global": {"prototypes": {"level": "global"}},
        "official": {"preset": "official"},
    }
    tasks = {name: {"kind": "classification", "label": "x"} for name in ("subtype", "grade")}
    found = load_config({"pretrain": {"runs": runs | {"slpd": {}}}, "benchmark": {"tasks": tasks}})
    settings = ReportSettings.model_validate_json(stages.as_json(stages.report_settings(found)))
    assert [*settings.runs] == [*found.pretrain.runs] == ["dino", *runs, "slpd", "zeta-seed1"]
    assert [*settings.tasks] == ["subtype", "grade"]
    assert stages.with_prototypes(settings.runs) == ["zeta", "official", "slpd", "zeta-seed1", "global"]
    assert {name: settings.preset(name) for name in ("zeta", "official")} == {
        "zeta": "corrected",
        "official": "official",
    }
    assert settings.one_of("zeta") == "zeta (the first of 2 trainings)" and settings.one_of("slpd") == "slpd"
    assert settings.official["official"] == departures(found, "official")
    assert json.loads(stages.as_json(stages.report_settings(load_config({}))))["order"]["runs"] == ["slpd", "dino"]
