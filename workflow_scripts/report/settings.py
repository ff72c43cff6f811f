"""What the report is told besides the results folder."""

from typing import Any

from pydantic import Field

from workflow_scripts.config import PretrainRun, Report, Section, Task

INSIDE = 200
"""Slides up to which whole pictures stand in the report; those of more are in a folder beside it."""


def pictures_apart(slides: int) -> bool:
    """Whether the pictures of so many slides go into the folder beside the report."""
    return slides > INSIDE


class ReportSettings(Section):
    report: Report = Report()
    """Title and number of example slides."""
    cohort: str
    """Name of the cohort."""
    test_cohort: bool = False
    """Whether there is a second one, of slides that are tested alone."""
    representations: list[str] = Field(min_length=1)
    """Representations in the order of the tables."""
    runs: dict[str, PretrainRun] = Field({})
    """Settings of every pretraining run."""
    run_rounds: dict[str, int] = Field({})
    """Number of the last round of each run."""
    warm_ups: dict[str, str] = Field({})
    """Folder of each run's warm-up, under pretrain/."""
    tasks: dict[str, Task] = Field({})
    """Tasks of the benchmark."""
    encoder: str
    """Name of the patch encoder."""
    settings: dict[str, Any] = Field({})
    """The whole configuration, printed with the settings; empty prints what is given here."""
