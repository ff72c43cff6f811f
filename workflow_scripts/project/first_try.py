"""A first try: so much of a cohort, and so small a network, that it is done in about an hour."""

import math
import statistics
from typing import Any, NamedTuple

from workflow_scripts.config import Config, load_config, merge
from workflow_scripts.project.cost import Cohort, encoder_speed, estimate
from workflow_scripts.project.machine import Machine
from workflow_scripts.project.places import TRY_MANIFEST
from workflow_scripts.project.rates import LITE0, STORED
from workflow_scripts.project.survey import Range, Survey

DAYS_FROM = 24.0  # hours; what may take longer is worth a first try
_FEATURES_H = 0.5
_FEWEST, _MOST = 8, 100  # slides
_REGIONS = 16  # of a slide: enough for 2 prototypes
# The demo's network and schedule (config/config.yaml), which take minutes on two cores.
_SMALL: dict[str, Any] = {
    "model": {"dim": 96, "depth": 4, "heads": 4},
    "head": {"hidden": 512, "bottleneck": 128, "out_dim": 2048},
    "optimiser": {"batch_size": 64, "lr": 0.002, "lr_warmup_epochs": 5, "teacher_momentum": 0.99},
    "warmup_epochs": 10,
    "rounds": 3,
    "epochs_per_round": 5,
    "schedule_epochs": 25,
}


class FirstTry(NamedTuple):
    """A layer over the project's configuration.

    Attributes:
        keys: of the layer.
        slides: slides of its manifest.
        hours: what it takes.
    """

    keys: dict[str, Any]
    slides: int
    hours: Range


def plan_first_try(keys: dict[str, Any], survey: Survey, machine: Machine) -> FirstTry | None:
    """A layer that leaves about an hour of a run; None where it would have too few slides, or no slide was measured.

    It takes the quickest encoder at hand, 16 regions a slide with 2 prototypes, the demo's network and schedule, and as
    many slides as are encoded in half an hour at a middling speed, 100 at most.

    Args:
        keys: of the project's configuration, under the layer.
        survey: what was found.
        machine: what it is to run on.
    """
    own = load_config(keys)
    regions = min(_REGIONS, own.pretrain.defaults.prototypes.min_regions)
    layer: dict[str, Any] = {
        "cohort": {"name": f"{own.cohort.name}_first_try", "manifest": TRY_MANIFEST},
        "regions": {"max_per_slide": regions},
        "pretrain": {"defaults": {**_SMALL, "prototypes": {"count": 2, "min_regions": regions}}},
    }
    if _quicker(own.features.model, machine):
        layer["features"] = {"encoder": LITE0, "model": LITE0, "weights": None}
    config = load_config(merge(keys, layer))
    if not survey.counts:
        return None
    slides = _slides_in(_FEATURES_H, config, survey, machine)
    if slides < _FEWEST:
        return None
    cohort = _cohort(slides, config, survey)
    return FirstTry(layer, slides, estimate(config, cohort, cohort, machine).hours)


def _quicker(model: str, machine: Machine) -> bool:
    speeds = [encoder_speed(name, machine, STORED.gpu_flops.high) for name in (LITE0, model)]
    return speeds[0] > speeds[1]


def _cohort(slides: int, config: Config, survey: Survey) -> Cohort:
    """So many slides, each with the regions that the layer keeps at most."""
    kept = config.regions.max_per_slide or 0
    counts = [slide[config.regions.grid] for slide in survey.counts]
    regions = statistics.fmean(min(count.regions, kept) for count in counts)
    tissue = statistics.fmean(count.patches / max(1, count.regions) for count in counts)
    return Cohort(slides, slides * survey.mean_px, slides * regions, slides * regions * tissue)


def _slides_in(budget_h: float, config: Config, survey: Survey, machine: Machine) -> int:
    """Slides whose features are done in a time, between the slowest and the fastest (geometric mean)."""
    one = _cohort(1, config, survey)
    low, high = estimate(config, one, one, machine).features_h
    return min(_MOST, survey.listed, int(budget_h / math.sqrt(low * high)))
