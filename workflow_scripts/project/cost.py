"""What a cohort will cost in hours and bytes: arithmetic on what was found and on the stored rates."""

from typing import NamedTuple

from workflow_scripts.config import Config, PretrainRun
from workflow_scripts.config.encoders import ENCODERS
from workflow_scripts.config.flop import cluster_flop, step_flop
from workflow_scripts.project.machine import Machine
from workflow_scripts.project.rates import LITE0, LITE0_FLOP, LITE0_GPU_SHARE, STORED, Rates
from workflow_scripts.project.survey import Range
from workflow_scripts.project.work import encoder_flop, feature_bytes, network_parameters, state_bytes

_HOUR = 3600.0
_TRAIN_THREADS = 8  # that the rules of the pretraining ask for


class Cohort(NamedTuple):
    """What is to be computed.

    Attributes:
        slides: that will be used.
        level0_px: of all of them, as if they had 0.25 um/px.
        regions: of all of them.
        encoded: patches with tissue; all patches of the regions are read.
    """

    slides: float
    level0_px: float
    regions: float
    encoded: float


class FeatureHours(NamedTuple):
    """Hours from slides to features; `whole` is what the clock shows."""

    tissue: float
    reading: float
    encoding: float
    whole: float


class Cost(NamedTuple):
    """What a run costs.

    Attributes:
        features_h: hours from slides to features.
        pretrain_h: hours of all pretraining runs.
        feature_bytes: of the features.
        state_bytes: of one stored training state, student, teacher and optimiser.
        states: how many are stored, one a warm-up and one a round of each run.
        steps: that a run trains, at most.
    """

    features_h: Range
    pretrain_h: Range
    feature_bytes: Range
    state_bytes: int
    states: int
    steps: int

    @property
    def hours(self) -> Range:
        """Features and pretraining; the benchmark's minutes come on top."""
        return Range(*(a + b for a, b in zip(self.features_h, self.pretrain_h, strict=True)))

    @property
    def disk_bytes(self) -> float:
        """Most that features and training states take together."""
        return self.feature_bytes.high + self.states * self.state_bytes


def feature_hours(
    cohort: Cohort, patch_count: int, patches_s: float, cores: int, gpu: bool, rates: Rates = STORED
) -> FeatureHours:
    """Hours of each part of the way to the features.

    Args:
        cohort: what is to be computed.
        patch_count: patches of a region, all of which are read.
        patches_s: patches of tissue that are encoded a second, by all cores or GPUs together.
        cores: that read; without a GPU they encode too.
        gpu: whether encoding goes on beside the reading, on a device of its own.
        rates: of one core.
    """
    tissue = (cohort.slides * rates.slide_s + cohort.level0_px * rates.tissue_s_px) / cores / _HOUR
    reading = cohort.regions * patch_count * rates.read_s / cores / _HOUR
    encoding = cohort.encoded / patches_s / _HOUR
    whole = tissue + (max(reading, encoding) if gpu else reading + encoding)
    return FeatureHours(tissue, reading, encoding, whole)


def encoder_speed(model: str, machine: Machine, gpu_flops: float, rates: Rates = STORED) -> float:
    """Patches a second of an encoder of the registry on all of a machine.

    Args:
        model: its name.
        machine: its GPUs, or its cores where it has none.
        gpu_flops: FLOP/s of a GPU.
        rates: of one core.

    Raises:
        ValueError: it is neither EfficientNet-Lite0 nor a vision transformer, of which rates are stored.
    """
    small = model == LITE0
    flop = LITE0_FLOP if small else encoder_flop(ENCODERS[model])
    if machine.gpus:
        return machine.gpus * gpu_flops * (LITE0_GPU_SHARE if small else 1.0) / flop
    vit_flops = rates.vit_flops if machine.bfloat16 else rates.vit_flops_float32
    return machine.cores * (rates.lite0_patches_s if small else vit_flops / flop)


class Pace(NamedTuple):
    """How fast pretraining goes.

    Attributes:
        flops: FLOP/s of the networks.
        parameter_s: seconds of a step that depend on the network's parameters alone, a parameter.
        job_s: seconds to start a job.
        disk_bytes_s: bytes a second at which a state is handed on.
    """

    flops: float
    parameter_s: float
    job_s: float
    disk_bytes_s: float


def training_pace(machine: Machine, gpu_flops: float, rates: Rates = STORED) -> Pace:
    """How fast pretraining goes on one GPU, or on 8 cores at most.

    Args:
        machine: what it is to run on.
        gpu_flops: FLOP/s of a GPU.
        rates: of one core.
    """
    if machine.gpus:
        parameter_s = rates.parameter_gpu_s * rates.gpu_flops.high / gpu_flops
        return Pace(gpu_flops, parameter_s, rates.job_s, rates.disk_bytes_s)
    cores = min(machine.cores, _TRAIN_THREADS)
    share = 1.0 if machine.bfloat16 else rates.vit_flops_float32 / rates.vit_flops
    return Pace(cores * share * rates.train_flops, rates.parameter_s / cores, rates.job_s, rates.disk_bytes_s)


def epoch_steps(run: PretrainRun, regions: float) -> tuple[int, int]:
    """Steps of an epoch, and regions of a step: all, where a batch would take more; a partial batch is left out."""
    batch = max(1, min(run.optimiser.batch_size, int(regions)))
    return int(regions) // batch, batch


def _epoch_s(run: PretrainRun, grid: int, regions: float, in_dim: int, pace: Pace) -> float:
    """Seconds of one epoch."""
    steps, batch = epoch_steps(run, regions)
    step = batch * step_flop(run, grid, in_dim) / pace.flops
    return steps * (step + pace.parameter_s * network_parameters(run, in_dim))


def pretrain_hours(config: Config, regions: float, in_dim: int, pace: Pace) -> float:
    """Hours of all pretraining runs, one after the other; runs with equal warm-ups share it.

    Args:
        config: grid of the regions, and the runs.
        regions: of the whole cohort.
        in_dim: width of a patch's features, D.
        pace: how fast it goes.
    """
    runs = [config.pretrain.run(name) for name in config.pretrain.runs]
    seconds = 0.0
    for run in {run.warm_up_key(): run for run in runs}.values():
        seconds += run.warmup_epochs * _epoch_s(run, config.regions.grid, regions, in_dim, pace) + pace.job_s
    for run in runs:
        clustered = 1 if run.uses_prototypes else 0
        handed_on = (2 + clustered) * state_bytes(run, in_dim) / pace.disk_bytes_s  # read and written, read to cluster
        clustering = clustered * regions * cluster_flop(run, in_dim) / pace.flops
        jobs = 1 + 2 * clustered  # distill; cluster and assign
        epochs = run.epochs_per_round * _epoch_s(run, config.regions.grid, regions, in_dim, pace)
        seconds += run.rounds * (epochs + clustering + handed_on + jobs * pace.job_s)
    return seconds / _HOUR


def stored_states(config: Config) -> int:
    """Training states that are kept: one a warm-up, one a round of each run."""
    runs = [config.pretrain.run(name) for name in config.pretrain.runs]
    return len({run.warm_up_key() for run in runs}) + sum(run.rounds for run in runs)


def _hours(config: Config, cohort: Cohort, machine: Machine, gpu_flops: float, rates: Rates) -> tuple[float, float]:
    """Hours of features and of pretraining."""
    model, patches = config.features.model, config.regions.grid**2
    patches_s = encoder_speed(model, machine, gpu_flops, rates)
    features = feature_hours(cohort, patches, patches_s, machine.cores, machine.gpus > 0, rates).whole
    pace = training_pace(machine, gpu_flops, rates)
    return features, pretrain_hours(config, cohort.regions, ENCODERS[model].dim or 0, pace)


def estimate(config: Config, least: Cohort, most: Cohort, machine: Machine, rates: Rates = STORED) -> Cost:
    """What features and pretraining cost, between the measured rates and those of slower machines.

    Args:
        config: with an encoder of the registry.
        least: the cohort, by the lower ends of its ranges.
        most: the cohort, by the upper ends.
        machine: what it is to run on.
        rates: of one core and of a GPU.
    """
    in_dim, grid = ENCODERS[config.features.model].dim or 0, config.regions.grid
    run = config.pretrain.defaults
    quick = _hours(config, least, machine, rates.gpu_flops.high, rates)
    tardy = _hours(config, most, machine, rates.gpu_flops.low, rates.slowed())
    return Cost(
        features_h=Range(quick[0], tardy[0]),
        pretrain_h=Range(quick[1], tardy[1]),
        feature_bytes=Range(*(feature_bytes(cohort.regions, grid, in_dim) for cohort in (least, most))),
        state_bytes=state_bytes(run, in_dim),
        states=stored_states(config),
        steps=epoch_steps(run, most.regions)[0] * (run.warmup_epochs + run.rounds * run.epochs_per_round),
    )
