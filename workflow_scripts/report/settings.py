"""What the report is told besides the results folder."""

from typing import Any

from pydantic import Field, model_validator

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
    order: dict[str, list[str]] = Field({})
    """Names of `runs` and of `tasks` in the order of the configuration."""
    trainings: dict[str, list[str]] = Field({})
    """Trainings by seeds of each representation that is the mean of several."""
    official: dict[str, list[str]] = Field({})
    """Runs of preset official, and what each does otherwise than the published code."""
    encoder: str
    """Name of the patch encoder."""
    settings: dict[str, Any] = Field({})
    """The whole configuration, printed with the settings; empty prints what is given here."""

    @model_validator(mode="before")
    @classmethod
    def _in_order(cls, values: Any) -> Any:
        """Runs and tasks in the order of the configuration, which JSON with sorted keys has lost."""
        found = dict(values)
        for section, names in (found.get("order") or {}).items():
            own = found.get(section) or {}
            found[section] = {name: own[name] for name in [*names, *own] if name in own}
        return found

    def one_of(self, name: str) -> str:
        """What a run or representation is called where one training of it is shown."""
        count = len(self.trainings.get(name, []))
        return f"{name} (the first of {count} trainings)" if count > 1 else name

    def preset(self, run: str) -> str:
        """Name of a run's preset."""
        return "official" if run in self.official else "corrected"
