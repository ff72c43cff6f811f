import pytest

from tests.unit.project.made import LAPTOP, survey
from workflow_scripts.config import Config
from workflow_scripts.core.errors import UserError
from workflow_scripts.project.plan import make_plan
from workflow_scripts.project.settings import check_name, cohort_name, without_defaults

FOUND = {"efficientnet_lite0": None}


def _flat(keys: dict, path: str = "") -> dict:
    flat = {}
    for key, value in keys.items():
        flat |= _flat(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return flat


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("lung", "lung"),
        ("TCGA-LUAD 2024", "TCGA-LUAD_2024"),
        ("_Färbung (HE)", "F_rbung_HE"),
        ("-x-", "x"),
        ("...", "cohort"),
        ("", "cohort"),
        ("demo", "demo_slides"),
    ],
)
def test_names_of_cohorts(folder, name):
    assert cohort_name(folder) == name == check_name(name)


def test_a_name_that_cannot_be_one():
    with pytest.raises(UserError, match="--name is 'a b'"):
        check_name("a b")


def test_what_equals_the_defaults_is_left_out():
    defaults = {"a": 1, "b": {"c": 2, "d": 3}, "e": {"f": 4}}
    assert without_defaults({"a": 1, "b": {"c": 2, "d": 5}, "e": {"f": 4}}, defaults) == {"b": {"d": 5}}


@pytest.mark.parametrize("regions", [60, 20, 13, 5, 1])
def test_a_configuration_names_what_differs_and_leaves_the_paper_alone(regions):
    plan = make_plan(survey(4, [regions] * 4), LAPTOP, FOUND, "mine", "slides.csv")
    config, paper = plan.config, _flat(Config().model_dump(mode="json"))
    named = _flat(plan.keys)
    for key, value in named.items():
        assert value != paper[key] or key in ("cohort.manifest",), key
    assert set(named) >= {"cohort.name", "cohort.manifest", "features.model"}
    for key, value in _flat(config.model_dump(mode="json")).items():
        assert key in named or value == paper[key], key
    run = config.pretrain.run("slpd")
    assert (run.model.dim, run.head.out_dim, run.rounds, run.optimiser.batch_size) == (192, 65536, 79, 512)
    assert config.features.allow_network is False


def test_enough_regions_leave_regions_and_pretraining_to_the_paper():
    plan = make_plan(survey(4, [60] * 4), LAPTOP, FOUND, "mine", "slides.csv")
    assert set(plan.keys) == {"cohort", "features"}


def test_a_disk_that_is_too_small_takes_the_rounds_of_the_presets():
    found = survey(4, [60] * 4)
    full = make_plan(found, LAPTOP._replace(disk_free=40 * 10**9), FOUND, "mine", "slides.csv")
    assert full.fewer_rounds and full.keys["pretrain"]["defaults"] == {"rounds": 26, "epochs_per_round": 3}
    assert full.paper_cost.states == 159 and full.cost.states == 1 + 26 + 26
    assert full.cost.disk_bytes < 40e9 < full.paper_cost.disk_bytes
    assert not make_plan(found, LAPTOP, FOUND, "mine", "slides.csv").fewer_rounds
