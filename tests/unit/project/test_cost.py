"""Work, rates and cost: against torch's own count of parameters, and against sums done by hand."""

import pytest
import torch

from tests.unit.project.made import LAPTOP
from workflow_scripts.config import PretrainRun, load_config
from workflow_scripts.config.encoders import ENCODERS
from workflow_scripts.config.flop import cluster_flop, step_flop
from workflow_scripts.project import work
from workflow_scripts.project.cost import (
    Cohort,
    Pace,
    encoder_speed,
    epoch_steps,
    estimate,
    feature_hours,
    pretrain_hours,
    stored_states,
    training_pace,
)
from workflow_scripts.project.rates import SPREAD, STORED, Rates
from workflow_scripts.project.survey import Range
from workflow_scripts.slpd.network import Network
from workflow_scripts.slpd.state import new_state, save_state

PAPER = PretrainRun()
SMALL = PretrainRun.model_validate(
    {
        "model": {"dim": 24, "depth": 2, "heads": 2},
        "head": {"hidden": 48, "bottleneck": 16, "out_dim": 64},
        "crops": {"global_size": 6, "local_size": 3, "local_count": 4},
    }
)


@pytest.mark.parametrize(("run", "in_dim"), [(PAPER, 384), (PAPER, 1280), (SMALL, 40)])
def test_parameters_are_those_of_the_network(run, in_dim):
    with torch.device("meta"):
        network = Network(run, in_dim)
    assert work.network_parameters(run, in_dim) == sum(p.numel() for p in network.parameters())


def test_a_stored_state_is_as_large_as_its_file(tmp_path):
    state = new_state(SMALL, 40, torch.device("cpu"))
    for parameter in state.student.parameters():
        parameter.grad = torch.zeros_like(parameter)
    state.optimiser.step()
    save_state(tmp_path / "state.safetensors", state)
    size = (tmp_path / "state.safetensors").stat().st_size
    tensors = work.state_bytes(SMALL, 40)
    assert tensors < size < tensors + 30_000  # names, centres and steps


@pytest.mark.parametrize(("model", "gflop"), [("hipt_vits16_256", 12.28), ("phikon", 35.1), ("uni", 123.1)])
def test_an_encoders_flop_follow_from_parameters_and_tokens(model, gflop):
    # by torch's count of the linear layers and 4 x depth x tokens^2 x width for the attention, which it leaves out
    assert work.encoder_flop(ENCODERS[model]) == pytest.approx(gflop * 1e9, rel=0.1)


def test_of_a_convolutional_network_nothing_is_known():
    with pytest.raises(ValueError, match="no vision transformer"):
        work.encoder_flop(ENCODERS["resnet50_imagenet"])


def test_features_of_the_papers_cohort_are_as_large_as_measured():
    assert work.feature_bytes(62_853, 16, 384) == pytest.approx(12.4e9, rel=0.05)


def test_hours_to_the_features_by_hand():
    cohort = Cohort(slides=100, level0_px=1e12, regions=1000, encoded=72_000)
    rates = STORED._replace(read_s=0.01, tissue_s_px=1e-9, slide_s=8.0)
    alone = feature_hours(cohort, 256, 20.0, 2, False, rates)
    assert alone.tissue == pytest.approx((100 * 8 + 1000) / 2 / 3600)
    assert alone.reading == pytest.approx(1000 * 256 * 0.01 / 2 / 3600)
    assert alone.encoding == pytest.approx(1.0) and alone.whole == pytest.approx(sum(alone[:3]))
    beside = feature_hours(cohort, 256, 20.0, 2, True, rates)
    assert beside.whole == pytest.approx(alone.tissue + 1.0)  # reading hides behind encoding


def test_speed_of_encoders_by_hand():
    assert encoder_speed("hipt_vits16_256", LAPTOP, 1.0) == pytest.approx(33.2)
    assert encoder_speed("hipt_vits16_256", LAPTOP._replace(bfloat16=False, cores=4), 1.0) == pytest.approx(27.4)
    assert encoder_speed("efficientnet_lite0", LAPTOP, 1.0) == pytest.approx(60.0)
    assert encoder_speed("hipt_vits16_256", LAPTOP._replace(gpus=2), 12.28e12) == pytest.approx(2000)


def test_hours_of_pretraining_by_hand():
    defaults = {"warmup_epochs": 3, "rounds": 4, "epochs_per_round": 2, "optimiser": {"batch_size": 50}}
    config = load_config({"pretrain": {"defaults": defaults}})
    run = config.pretrain.defaults
    pace = Pace(flops=1e12, parameter_s=1e-8, job_s=5.0, disk_bytes_s=1e9)
    step = 50 * step_flop(run, 16, 384) / 1e12 + work.network_parameters(run, 384) * 1e-8
    epoch = 2 * step  # of 120 regions, two batches of 50; the rest is left out
    state = work.state_bytes(run, 384) / 1e9
    clustering = 120 * cluster_flop(run, 384) / 1e12
    slpd = 4 * (2 * epoch + clustering + 3 * state + 3 * 5)
    dino = 4 * (2 * epoch + 2 * state + 5)  # no prototypes, so neither cluster nor assign
    assert pretrain_hours(config, 120, 384, pace) * 3600 == pytest.approx(3 * epoch + 5 + slpd + dino)
    assert stored_states(config) == 1 + 4 + 4


def test_runs_with_warm_ups_of_their_own_each_pay_for_it():
    runs = {"slpd": None, "dino": None, "a": {}, "b": {"seed": 1}}
    config = load_config({"pretrain": {"defaults": {"rounds": 2}, "runs": runs}})
    assert stored_states(config) == 2 + 4


def test_a_batch_takes_all_regions_where_there_are_fewer():
    assert epoch_steps(PAPER, 31.0) == (1, 31) and epoch_steps(PAPER, 62_853) == (122, 512)


def test_more_cores_help_training_up_to_the_rules_threads():
    one, eight, many = (training_pace(LAPTOP._replace(cores=n), 1.0).flops for n in (1, 8, 64))
    assert (eight, many) == (pytest.approx(8 * one), eight)
    assert training_pace(LAPTOP._replace(bfloat16=False), 1.0).flops < training_pace(LAPTOP, 1.0).flops


def test_the_papers_schedule_takes_days_on_two_cores_and_hours_on_a_gpu():
    config = load_config({"features": {"model": "hipt_vits16_256"}})
    cohort = Cohort(1041, 1041 * 4.8e9, 62_853, 62_853 * 256)
    cpu = estimate(config, cohort, cohort, LAPTOP)
    # 18.1 to 20.5 regions a second were measured: 179 epochs of 62,464 regions, and the clusterings
    assert 62_464 * 179 / 20.5 / 3600 < cpu.pretrain_h.low < 1.15 * 62_464 * 179 / 18.1 / 3600
    assert cpu.features_h.low == pytest.approx(137.6 + 0.6, rel=0.02)  # docs/performance.md, and the tissue
    assert cpu.pretrain_h.high == pytest.approx(SPREAD * cpu.pretrain_h.low)
    assert cpu.state_bytes == 4 * 4 * 24_674_880 and cpu.states == 159 and cpu.steps == 12_200
    gpu = estimate(config, cohort, cohort, LAPTOP._replace(cores=16, gpus=1))
    assert gpu.hours.high < cpu.hours.low / 10 and gpu.features_h.low >= 0.4


def test_slower_machines_are_slower_in_every_rate():
    slow = STORED.slowed()
    for name in Rates._fields:
        if "gpu" in name:
            continue
        faster = name.endswith(("flops", "float32", "patches_s", "bytes_s"))
        ratio = getattr(STORED, name) / getattr(slow, name)
        assert ratio == pytest.approx(SPREAD if faster else 1 / SPREAD), name


def test_disk_and_hours_add_up():
    config = load_config({"features": {"model": "efficientnet_lite0"}})
    cost = estimate(config, Cohort(10, 1e10, 100, 20_000), Cohort(10, 1e10, 200, 40_000), LAPTOP)
    assert cost.disk_bytes == pytest.approx(200 * 256 * (2 * 1280 + 29) + 159 * cost.state_bytes)
    assert cost.hours == Range(*(a + b for a, b in zip(cost.features_h, cost.pretrain_h, strict=True)))
    assert cost.hours.low < cost.hours.high
