"""What rules are given of the configuration."""

import json

import pytest

from workflow_scripts.config import Config, PretrainRun, load_config, stages
from workflow_scripts.config.refusals import refuse
from workflow_scripts.config.stages import BY_CONFIG, as_json
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import SlideRow


def many_runs(count: int, **edits: object) -> Config:
    """A configuration of runs that differ in a few keys, every other with the published code's arithmetic."""
    own = {
        f"run{n}": {"optimiser": {"lr": 0.0001 * (n + 1)}} | ({"preset": "official"} if n % 2 else {})
        for n in range(count)
    }
    features = {"model": "vit_small_patch16_224:random"}
    return load_config({"features": features, "pretrain": {"runs": {"slpd": None, "dino": None, **own}}, **edits})


def test_the_reports_settings_of_hundreds_of_runs_fit_into_a_command_line_and_are_whole():
    config = many_runs(300)
    text = as_json(BY_CONFIG["write_report"](config))
    assert len(text) < 128 * 1024  # getconf: MAX_ARG_STRLEN, the whole command is one argument of the shell
    runs = {name: PretrainRun.model_validate(run) for name, run in json.loads(text)["runs"].items()}
    assert runs == {name: config.pretrain.run(name) for name in config.pretrain.runs}


@pytest.mark.parametrize(
    ("runs", "tasks"), [(1500, {}), (300, {f"t{n}": {"kind": "classification", "label": "a"} for n in range(9)})]
)
def test_more_than_a_command_line_holds_is_refused(runs, tasks):
    rows = [SlideRow(f"s{n}", f"s{n}.svs", f"s{n}", None, {"a": "xy"[n % 2]}) for n in range(40)]
    with pytest.raises(UserError, match=rf"pretrain\.runs: {runs} runs .* more than a command line holds"):
        refuse(many_runs(runs, benchmark={"tasks": tasks}), rows)


def test_how_slides_are_treated_names_what_decides_and_nothing_of_one_machine():
    features = {"model": "vit_small", "weights": "/elsewhere/w.pth", "weights_sha256": "0" * 64, "shards": 9}
    config = Config.model_validate({"features": features, "slides": {"give_up_s": 5, "per_job": 3}})
    found = stages.treatment_settings(config)
    assert list(found) == ["slides", "tissue", "regions", "features"]
    assert {"mpp_min", "mpp_max", "mpp_from_objective", "mpp_of_regions"} == set(found["slides"])
    assert found["regions"] == config.regions.model_dump(mode="json")
    assert "masks" not in found["tissue"] and found["tissue"]["threshold"] == "otsu"
    assert not {"weights", "shards", "batch_size", "hub_folder", "allow_network"} & set(found["features"])
    assert found["features"]["weights_sha256"] == "0" * 64
    for section, settings in found.items():  # they make the same sections again
        type(getattr(config, section)).model_validate(settings)


@pytest.mark.parametrize("stage", ["export_model", "export_prototypes"])
def test_a_seed_more_makes_no_model_anew(stage):
    one, more = (load_config({"pretrain": {"defaults": {"seeds": seeds}}}).pretrain for seeds in ([0, 3], [0, 3, 7]))
    for name in one.runs:
        assert stages.BY_RUN[stage](one.run(name)) == stages.BY_RUN[stage](more.run(name))
    assert stages.BY_RUN[stage](one.run("slpd")) != stages.BY_RUN[stage](one.run("slpd-seed1"))
