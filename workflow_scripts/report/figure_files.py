"""Figures as files for a paper: PNG at 300 dpi and vector, with one file of captions."""

import base64
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure

from workflow_scripts.core.files import whole_file, write_text
from workflow_scripts.report.figures import STYLE

DPI = 300
_POINTS = 72  # an inch, the unit of the report's figures


class Sheet(NamedTuple):
    """A figure for a paper.

    Attributes:
        name: of its files, without an ending.
        figure: the figure itself, or an SVG data URI of it.
        caption: one paragraph.
        pdf: PDF data URI beside an SVG, empty where there is none.
    """

    name: str
    figure: Figure | str
    caption: str
    pdf: str = ""


def write_sheet(sheet: Sheet, folder: Path) -> list[str]:
    """Write a figure as PNG, SVG and PDF, without PDF where there is an SVG alone; names of the files."""
    if isinstance(sheet.figure, Figure):
        return [_saved(sheet.figure, folder / f"{sheet.name}.{kind}") for kind in ("png", "svg", "pdf")]
    import pyvips

    svg = base64.b64decode(sheet.figure.partition(",")[2])
    picture = pyvips.Image.svgload_buffer(svg, dpi=_POINTS, scale=DPI / _POINTS).flatten(background=255)
    resolution = DPI / 25.4  # px/mm
    content = {"png": picture.copy(xres=resolution, yres=resolution).pngsave_buffer(compression=9), "svg": svg}
    if sheet.pdf:
        content["pdf"] = base64.b64decode(sheet.pdf.partition(",")[2])
    for kind, data in content.items():
        with whole_file(folder / f"{sheet.name}.{kind}") as partial:
            partial.write_bytes(data)
    return [f"{sheet.name}.{kind}" for kind in content]


def _saved(figure: Figure, file: Path) -> str:
    """A figure without a date in its file, so that the same numbers give the same bytes."""
    kind = file.suffix[1:]
    dates = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    metadata = dates.get(kind, {"CreationDate": None, "Creator": None})
    with whole_file(file) as partial, matplotlib.rc_context(STYLE):
        figure.savefig(partial, format=kind, dpi=DPI, metadata=metadata)
    return file.name


def write_captions(sheets: list[Sheet], file: Path, title: str) -> None:
    """Captions of all figures as Markdown, a heading a figure."""
    parts = [f"# Figures: {title}", *(f"## {sheet.name}\n\n{sheet.caption}" for sheet in sheets)]
    write_text(file, "\n\n".join(parts) + "\n")
