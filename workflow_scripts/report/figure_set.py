"""The report's own figures for a paper: results with their intervals, and training curves."""

from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from workflow_scripts.report.benchmark import benchmark_tables
from workflow_scripts.report.figure_files import Sheet
from workflow_scripts.report.figures import training_figure
from workflow_scripts.report.inputs import Results
from workflow_scripts.report.palette import line_styles, stable_order
from workflow_scripts.report.settings import ReportSettings
from workflow_scripts.report.training import join_parts


def _sheet(name: str, picture: Any, caption: str) -> Sheet:
    """A figure of the report: an SVG data URI, or one that holds it beside its PDF."""
    return Sheet(name, str(getattr(picture, "svg", picture)), caption, getattr(picture, "pdf", ""))


def result_sheets(inputs: Results, settings: ReportSettings) -> Iterator[Sheet]:
    """Values, differences and predictions of each task's primary head."""
    rows = inputs.benchmark()
    names = list(dict.fromkeys([*settings.representations, *settings.runs, *(r["representation"] for r in rows)]))
    for section in benchmark_tables(inputs, settings, line_styles(stable_order(names, settings.runs))):
        table = section["table"]
        what = f"Task {table.name}, head {table.primary}, {table.metric}"
        if section["forest"]:
            caption = (
                f"{what}: mean over repeats with the 95 % interval of the procedure's expected value; dashed: chance. "
                f"{section['trained']}".rstrip()
            )
            yield _sheet(f"results_{table.name}", section["forest"], caption)
        if section["pair_forest"]:
            caption = (
                f"{what}: differences on the same patients and splits with 95 % intervals, not corrected; filled where "
                f"the difference is shown after correction (Holm 1979). {section['trained']}".rstrip()
            )
            yield _sheet(f"pairs_{table.name}", section["pair_forest"], caption)
        for number, curve in enumerate(section["curves"], start=1):
            caption = f"{what.rsplit(',', 1)[0]}. {curve['shows']}. {Markup(curve['caption']).striptags()}"
            yield _sheet(f"predictions_{table.name}_{number}", curve["picture"], caption)


def training_sheets(inputs: Results, settings: ReportSettings) -> Iterator[Sheet]:
    """Curves of all runs."""
    styles = line_styles(stable_order([*settings.representations, *settings.runs], settings.runs))
    curves = {}
    for name in settings.runs:
        curve = join_parts(inputs.metrics(settings.warm_ups.get(name), name, settings.run_rounds.get(name, 0)))
        if len(curve["step"]):
            curves[name] = curve
    if curves:
        caption = (
            "Training, a line a run, over the optimiser's steps; the warm-up is shaded, lines mark starts of rounds."
        )
        yield _sheet("training", training_figure(curves, styles), caption)
