"""The project's configuration file as text with what was found as comments."""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.project.findings import (
    amount_found,
    cap_found,
    doubts_found,
    excluded_found,
    limits_found,
    region_px,
    region_table,
    regions_found,
    remote_found,
    scale_found,
    slides_found,
    too_many_lost,
    twins_found,
)
from workflow_scripts.project.outlook import (
    better_encoders,
    cost_found,
    cost_source,
    disk_found,
    encoder_taken,
    machine_found,
    rounds_taken,
    short_found,
    shortage_found,
    steps_found,
)
from workflow_scripts.project.plan import Plan
from workflow_scripts.project.settings import FEWER_ROUNDS, SHORT
from workflow_scripts.project.wording import scalar, wrapped

_WIDTH = 118
_TO_SPARE = 2  # times as many regions as are needed, from which a cap saves something
_SHORT_FROM = 4  # indent from which mappings stand on one line
_LABELS = """\
# Where a patient has several slides, fill in patient_id in {manifest} before the first run: training and test are split
# by patient. Filling it in later trains again.
# Labels can be added at any time, as columns of {manifest}: here `response` with its classes, or `months` and `died`
# (1 or 0) for survival. Take the '# ' off the lines that fit and run the same again: only the benchmark and the report
# run.
"""
_BENCHMARK = """\
# benchmark:
#   tasks:
#     response: { kind: classification, label: response }
#     survival: { kind: survival, time: months, event: died }
#   folds: 5 # a class, and the patients that died, must be as many patients at least
"""


def comment(*sentences: str) -> list[str]:
    """Sentences as lines of comments."""
    return wrapped(sentences, _WIDTH, "# ", "# ")


def _value(value: Any) -> str:
    return scalar(value) if isinstance(value, str) else json.dumps(value)


def _short(keys: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(f"{key}: {_value(value)}" for key, value in keys.items()) + " }"


def mapping(keys: Mapping[str, Any], notes: Mapping[str, str], indent: int = 0) -> list[str]:
    """Keys as YAML, with a note after each that has one; from the third level on, mappings stand on one line.

    Args:
        keys: nested mappings of strings, numbers, true, false and null.
        notes: remark of a key, by its dotted path from `keys`.
        indent: spaces before each line.
    """
    lines = []
    for key, value in keys.items():
        note = f" # {notes[key]}" if key in notes else ""
        start = f"{' ' * indent}{key}:"
        if not isinstance(value, Mapping):
            lines.append(f"{start} {_value(value)}{note}")
        elif indent < _SHORT_FROM:
            below = {path.removeprefix(f"{key}."): text for path, text in notes.items() if path.startswith(f"{key}.")}
            lines += [f"{start}{note}", *mapping(value, below, indent + 2)]
        else:
            lines.append(f"{start} {_short(value)}{note}")
    return lines


def schema_line(schema: Path, folder: Path) -> list[str]:
    """The line that tells editors where the configuration's schema is.

    Args:
        schema: the schema's file.
        folder: where the configuration lies; a schema in it, or in a folder of it, is named as seen from there.
    """
    schema, folder = schema.resolve(), folder.resolve()
    place = schema.relative_to(folder) if schema.is_relative_to(folder) else schema
    return [f"# yaml-language-server: $schema={place.as_posix()}"]


def _notes(plan: Plan) -> dict[str, str]:
    """Remarks beside keys, by dotted path."""
    config, grid = plan.config, plan.layout.grid
    mm = region_px(grid) * config.regions.mpp / 1000
    return {
        "cohort.name": f"results go to results/{config.cohort.name}/",
        "cohort.manifest": "one row a slide",
        "regions.grid": f"patches along a side: {region_px(grid)} px at {config.regions.mpp:g} um/px, {mm:.2g} mm",
        "features.encoder": "folder of the features",
        "pretrain.defaults.crops": f"of the {grid} x {grid} patches, in proportion to the paper's 14 and 6 of 16",
        "pretrain.defaults.prototypes": "the paper: 4, 32",
        "pretrain.defaults.rounds": "the paper: 79",
        "pretrain.defaults.epochs_per_round": "the paper: 1",
    }


def _section(plan: Plan, *names: str) -> list[str]:
    """Lines of some sections of the configuration, those that it names."""
    return mapping({name: plan.keys[name] for name in names if name in plan.keys}, _notes(plan))


def _slides(plan: Plan) -> list[str]:
    survey, manifest = plan.survey, plan.config.cohort.manifest
    return [
        *comment(slides_found(survey), remote_found(survey), scale_found(survey)),
        *comment(*twins_found(survey, manifest), *excluded_found(survey, manifest)),
        *comment(*doubts_found(survey), too_many_lost(survey)),
    ]


def _regions(plan: Plan) -> list[str]:
    survey, layout = plan.survey, plan.layout
    return [
        *comment(regions_found(survey, layout)),
        *(f"#   {line}" for line in region_table(survey)),
        *comment(*limits_found(survey, layout)),
        *_section(plan, "regions"),
        *_cap(plan),
    ]


def _cap(plan: Plan) -> list[str]:
    """As comments, the key that makes features sooner, where slides have regions to spare."""
    layout, counts = plan.layout, plan.survey.regions(plan.layout.grid)
    if not counts or statistics.median(counts) < _TO_SPARE * layout.min_regions:
        return []
    section = mapping({"regions": {"max_per_slide": layout.min_regions}}, {})
    lines = [f"  # {section[1].strip()}"] if "regions" in plan.keys else [f"# {line}" for line in section]
    return [*comment(cap_found(counts, layout)), *lines]


def _pretrain(plan: Plan) -> list[str]:
    """Machine, cost and schedule; as comments, the presets' rounds where they are not taken, and a short schedule."""
    lines = comment(machine_found(plan.machine), amount_found(plan.survey, plan.layout))
    if plan.survey.counts:
        lines += comment(*cost_found(plan.cost, plan.config), disk_found(plan.cost, plan.survey.expected_slides))
        lines += comment(cost_source(plan.machine))
        lines += comment(*shortage_found(plan.cost, plan.machine), steps_found(plan.cost))
    lines += comment(rounds_taken(plan.paper_cost, plan.machine, plan.fewer_rounds))
    lines += _section(plan, "pretrain")
    if not plan.fewer_rounds:
        lines += _spare(plan, FEWER_ROUNDS)
    if plan.survey.counts:
        lines += comment(short_found(plan.cost, plan.short_cost, plan.fewer_rounds))
        lines += _spare(plan, SHORT)
    return lines


def _spare(plan: Plan, keys: Mapping[str, Any]) -> list[str]:
    """Keys of `pretrain.defaults` as comments: further lines of the section above, or a section of their own."""
    heads, indent = ([], "    # ") if "pretrain" in plan.keys else (["# pretrain:", "#   defaults:"], "#     ")
    return heads + [indent + line.strip() for line in mapping(keys, {}, _SHORT_FROM)]


def my_yaml(plan: Plan, source: str, schema: list[str], benchmark: str = "") -> str:
    """Text of the configuration file.

    Args:
        plan: the project.
        source: where the slides lie, for a person.
        schema: the line for editors.
        benchmark: section `benchmark` of an earlier configuration, as text; empty where there was none.
    """
    parts = [
        [
            *schema,
            *comment(f"Slides of {source}. A key that is not named here has the paper's value."),
            *comment("config/README.md of the workflow explains every key."),
        ],
        _section(plan, "cohort"),
        _slides(plan),
        _regions(plan),
        [
            *comment(encoder_taken(plan.encoder), *better_encoders(plan.encoder, plan.found)),
            *_section(plan, "features"),
        ],
        _pretrain(plan),
        [*_LABELS.format(manifest=plan.config.cohort.manifest).splitlines(), *(benchmark or _BENCHMARK).splitlines()],
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"
