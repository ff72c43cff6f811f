"""The templates' environment, and JSON that stands in a page."""

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from workflow_scripts.report import wording
from workflow_scripts.report.results import missing_value

_HERE = Path(__file__).parent


def json_block(value: Any) -> Markup:
    """JSON that can stand in an element `script`: no text in it can end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e"))


def environment() -> Environment:
    """What the templates can use beside what `render_report` hands them."""
    found = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found.filters.update(
        number=wording.number,
        signed=lambda value: wording.number(value, sign=True),
        significant=wording.significant,
        percent=lambda value: wording.number(None if value is None else 100 * value, 1),
        metric=wording.metric_name,
        p_value=wording.p_value,
        grouped=lambda value: f"{value:,}".replace(",", "\u202f"),
    )
    found.globals.update(interval=wording.interval, missing=missing_value)
    return found
