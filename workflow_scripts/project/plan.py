"""What follows from a survey: regions, encoder, rounds, and what they cost on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.config import Config, load_config
from workflow_scripts.project.cost import Cohort, Cost, estimate
from workflow_scripts.project.encoder import EncoderChoice, choose_encoder
from workflow_scripts.project.layout import GRIDS, Layout, choose_layout
from workflow_scripts.project.machine import Machine
from workflow_scripts.project.settings import Keys, project_keys, with_fewer_rounds, with_short_pretraining
from workflow_scripts.project.survey import Survey


@dataclass(frozen=True)
class Plan:
    """A project before it is written.

    Attributes:
        survey: what was found.
        machine: what it is to run on.
        found: encoders whose weights are on this machine, with the file where it must be named.
        layout: regions, crops and prototypes.
        encoder: to start with.
        keys: of its configuration.
        fewer_rounds: whether the presets' rounds are taken because the disk does not hold the states of the paper's.
        cost: of the whole run.
        paper_cost: of a run with the paper's rounds.
        short_cost: of a run with a short pretraining.
    """

    survey: Survey
    machine: Machine
    found: Mapping[str, Path | None]
    layout: Layout
    encoder: EncoderChoice
    keys: Keys
    fewer_rounds: bool
    cost: Cost
    paper_cost: Cost
    short_cost: Cost

    @property
    def config(self) -> Config:
        """The configuration, every key that is not named at the paper's value."""
        return load_config(self.keys)


def _cost(keys: Keys, survey: Survey, machine: Machine) -> Cost:
    config, slides = load_config(keys), survey.expected_slides
    regions, patches = survey.expected(config.regions.grid)
    least, most = (Cohort(slides, slides * survey.mean_px, *ends) for ends in zip(regions, patches, strict=True))
    return estimate(config, least, most, machine)


def make_plan(survey: Survey, machine: Machine, found: Mapping[str, Path | None], name: str, manifest: str) -> Plan:
    """Choose regions, encoder and rounds for a cohort.

    Args:
        survey: what was found.
        machine: what it is to run on.
        found: encoders whose weights are on this machine, with the file where it must be named.
        name: of the cohort.
        manifest: as the configuration names it.
    """
    layout = choose_layout({grid: survey.regions(grid) for grid in GRIDS})
    encoder = choose_encoder(found, Config().regions.model_copy(update={"grid": layout.grid}))
    keys = project_keys(name, manifest, layout, encoder)
    paper_cost = _cost(keys, survey, machine)
    fewer = paper_cost.disk_bytes > machine.disk_free
    if fewer:
        keys = with_fewer_rounds(keys)
    cost = _cost(keys, survey, machine)
    short = _cost(with_short_pretraining(keys), survey, machine)
    return Plan(survey, machine, found, layout, encoder, keys, fewer, cost, paper_cost, short)
