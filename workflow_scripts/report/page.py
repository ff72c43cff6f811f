"""Puts the sections together and fills the template."""

import base64
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from workflow_scripts.config.stages import class_tasks, with_prototypes
from workflow_scripts.core.loss_terms import TERMS
from workflow_scripts.report import atlas, figures, prototypes, training
from workflow_scripts.report.benchmark import benchmark_tables
from workflow_scripts.report.cohort import cohort_summary, encoding_speed
from workflow_scripts.report.cost import cost_lines, read_jobs, untimed_jobs
from workflow_scripts.report.explained import explained_section
from workflow_scripts.report.inputs import Results, Row
from workflow_scripts.report.palette import line_styles, stable_order
from workflow_scripts.report.provenance import note_lines, package_versions
from workflow_scripts.report.results import smaller_is_better
from workflow_scripts.report.settings import ReportSettings
from workflow_scripts.report.shown_slides import paged_slides, shown_classes, shown_run, shows_cohort_prototypes
from workflow_scripts.report.templates import environment, json_block

_HERE = Path(__file__).parent
SCRIPTS = ("report.js", "slide_table.js", "slide_view.js", "slide_pages.js", "slide_map.js", "downloads.js")
"""In the order in which they run, as one script."""


class Planned(NamedTuple):
    """What is shown with pictures of the slides.

    Attributes:
        examples: slides, of `prototypes.plan_examples`.
        atlas: rows of `schemas.ATLAS` of the run that is shown.
        facts: metadata of their table.
    """

    examples: list[Row]
    atlas: list[Row]
    facts: Row

    def wanted(self) -> dict[str, list[prototypes.Rectangle]]:
        """Rectangles to read, by slide_id."""
        found = [prototypes.wanted_pixels(self.examples), atlas.wanted_crops(self.atlas)]
        slides = sorted({slide for one in found for slide in one})
        return {slide: sorted({place for one in found for place in one.get(slide, [])}) for slide in slides}


def plan_pictures(inputs: Results, settings: ReportSettings) -> Planned:
    """The example slides and the groups of the run that is shown."""
    run = shown_run(settings)
    if run is None or run not in settings.run_rounds:
        return Planned([], [], {})
    slides = [s for s in inputs.slides() if s["status"] == "ok"]
    clustered = settings.runs[run].clustered_in(settings.run_rounds[run])
    classes, count = shown_classes(inputs, settings), settings.report.example_slides
    examples = prototypes.plan_examples(inputs, run, clustered, slides, count, classes)
    return Planned(examples, *inputs.atlas(run))


def _training(inputs: Results, settings: ReportSettings, styles: figures.Styles) -> Row:
    curves, lines, by_round = {}, [], {}
    jobs = inputs.speeds(settings.warm_ups, settings.run_rounds)
    for name, run in settings.runs.items():
        rounds = settings.run_rounds.get(name, 0)
        curve = training.join_parts(inputs.metrics(settings.warm_ups.get(name), name, rounds))
        line = training.run_line(name, run, rounds, curve, training.told_batch(name, jobs))
        lines.append(line | {"preset": settings.preset(name)})
        by_round[name] = training.round_lines(inputs.clusterings(name, rounds) if run.uses_prototypes else [])
        if len(curve["step"]):
            curves[name] = curve
    shared: dict[str | None, list[str]] = {}
    for name in settings.runs:
        shared.setdefault(settings.warm_ups.get(name), []).append(name)
    return {
        "runs": lines,
        "terms": " / ".join(term.name for term in TERMS),
        "labels": [term.label for term in TERMS],
        "figure": figures.training_figure(curves, styles) if curves else None,
        "by_round": figures.rounds_figure(by_round, styles),
        "explained": any(figures.known_any(one["tissue_explained"]) for one in by_round.values()),
        "official": {name: told for name, told in settings.official.items() if told},
        "shared": [names for key, names in shared.items() if key and len(names) > 1],
    }


def _prototypes(inputs: Results, settings: ReportSettings, planned: Planned, pictures: prototypes.Pictures) -> Row:
    patient_of = {s["slide_id"]: s["patient_id"] for s in inputs.slides()}
    summaries = [
        prototypes.run_summary(inputs, name, run.clustered_in(settings.run_rounds[name]), patient_of)
        for name, run in settings.runs.items()
        if run.uses_prototypes and name in settings.run_rounds
    ]
    textures = prototypes.texture_sections(inputs.textures(with_prototypes(settings.runs)), settings.trainings)
    run = shown_run(settings)
    return {
        "run": run and settings.one_of(run),
        "of_cohort": shows_cohort_prototypes(settings),
        "presets": {name: settings.preset(name) for name in settings.runs},
        "summaries": summaries,
        "class_task": next(iter(class_tasks(settings.tasks)), None),
        "examples": prototypes.draw_examples(planned.examples, pictures, inputs),
        "atlas": atlas.draw_atlas(planned.atlas, planned.facts, pictures),
        "explained": explained_section(inputs.explained(), with_prototypes(settings.runs)),
        "textures": [
            one | {"figure": figures.texture_figure(one["slides"]["rows"]) if one["slides"] else None}
            for one in textures
        ],
    }


def _cost(inputs: Results, settings: ReportSettings) -> Row:
    jobs = read_jobs(inputs.root)
    taken_back = {rule: sum(job.taken_back for job in of_rule) for rule, of_rule in jobs.items()}
    told = [f"{count} of {rule}" for rule, count in taken_back.items() if count]
    return {
        "encoding": encoding_speed(inputs.encoding(settings.encoder)),
        "lines": cost_lines(jobs),
        "taken_back": told,
        "untimed": untimed_jobs(inputs.root),
        "trainings": inputs.speeds(settings.warm_ups, settings.run_rounds),
    }


def _script() -> str:
    return "".join((_HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)


def render_report(
    inputs: Results, settings: ReportSettings, planned: Planned, pictures: prototypes.Pictures, folder: str
) -> str:
    """The report as one HTML document that needs nothing else: no network, and of many slides a folder for pictures.

    Args:
        inputs: the results folder.
        settings: what the report is told.
        planned: from `plan_pictures`.
        pictures: pixels by slide and rectangle; what is missing is replaced by the tissue overlay.
        folder: name of the folder beside the report in which larger pictures of slides lie, where there are many.

    Raises:
        UserError: slides.parquet, test_slides.parquet of a test cohort, benchmark/results.parquet or
            benchmark/comparisons.parquet is not there.
    """
    slides, tests = inputs.slides(), inputs.test_slides() if settings.test_cohort else []
    rows = inputs.benchmark()
    names = list(dict.fromkeys([*settings.representations, *settings.runs, *(r["representation"] for r in rows)]))
    styles = line_styles(stable_order(names, settings.runs))
    minimum = [run.prototypes.min_regions for run in settings.runs.values() if run.uses_prototypes]
    script = _script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    used = settings.settings or settings.model_dump(mode="json", exclude={"settings"})
    paged = paged_slides(inputs, settings, slides, tests, folder)
    return (
        environment()
        .get_template("report.html")
        .render(
            settings=settings,
            style=Markup((_HERE / "report.css").read_text(encoding="utf-8")),
            script=Markup(script),
            script_digest=digest,
            cohort=cohort_summary(slides, min(minimum) if minimum else None),
            cost=_cost(inputs, settings),
            tests=cohort_summary(tests, None) if tests else None,
            folder=folder,
            paged=paged.facts,
            pages=paged.pages,
            data=json_block(paged.data),
            maps=paged.data["maps"],
            training=_training(inputs, settings, styles),
            prototypes=_prototypes(inputs, settings, planned, pictures),
            tables=benchmark_tables(inputs, settings, styles),
            smaller=smaller_is_better(rows),
            styles=styles,
            embedded={name: inputs.embedding_facts(name) for name in settings.representations},
            versions=package_versions(),
            notes=note_lines(inputs.notes()),
            configuration=json.dumps(used, indent=2, ensure_ascii=False),
        )
    )
