import pytest

from tests.unit.project.made import LAPTOP, survey
from workflow_scripts.config import load_config, merge
from workflow_scripts.project.plan import make_plan

FOUND = {"efficientnet_lite0": None, "uni": None}


def _plan(regions, machine=LAPTOP, slides=400, found=FOUND):
    return make_plan(survey(slides, [regions] * 4), machine, found, "mine", "slides.csv")


@pytest.mark.parametrize("regions", [60, 20, 13, 3])
def test_what_takes_days_has_a_first_try_of_about_an_hour(regions):
    plan = _plan(regions)
    first = plan.first_try
    assert plan.cost.hours.high > 24 and first is not None
    assert 0.15 < first.hours.low < 0.5 < first.hours.high < 1.5
    config = load_config(merge(plan.keys, first.keys))
    run = config.pretrain.run("slpd")
    assert config.features.model == "efficientnet_lite0"  # 100 times as quick as uni
    assert (config.cohort.name, config.cohort.manifest) == ("mine_first_try", "first_try.csv")
    assert config.regions.grid == plan.layout.grid and run.crops.global_size == plan.layout.global_size
    assert config.regions.max_per_slide == run.prototypes.min_regions >= 8 * run.prototypes.count
    assert 8 <= first.slides <= 100


def test_the_encoder_stays_where_it_is_the_quickest():
    first = _plan(60, found={"efficientnet_lite0": None}).first_try
    assert first is not None and "features" not in first.keys


def test_a_short_run_needs_none():
    assert _plan(60, slides=4, found={"efficientnet_lite0": None}, machine=LAPTOP._replace(cores=64)).first_try is None


def test_more_cores_take_more_slides():
    few, many = _plan(60).first_try, _plan(60, LAPTOP._replace(cores=8)).first_try
    assert few is not None and many is not None and few.slides < many.slides
