"""Figures as SVG and PDF, without a global plotting state and the same bytes for the same numbers."""

import io
import math
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator
from matplotlib.typing import RcKeyType

from workflow_scripts.core.loss_terms import TERMS
from workflow_scripts.report.curves import thin
from workflow_scripts.report.pictures import data_uri
from workflow_scripts.report.training import BY_ROUND, FROM_THE_ROUNDS, NOT_ALWAYS, OF_TERMS, PANELS

STYLE: dict[RcKeyType, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a9099",
    "axes.linewidth": 0.8,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "xtick.color": "#3d444d",
    "ytick.color": "#3d444d",
    "axes.labelcolor": "#3d444d",
    "legend.frameon": False,
    "svg.hashsalt": "report",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}
_POINTS = 500
Styles = dict[str, dict[str, Any]]


class Plot(NamedTuple):
    """A figure as data URIs: SVG, which the page shows, and PDF, which it hands out."""

    svg: str
    pdf: str


def finished(figure: Figure) -> Plot:
    """The figure, without a date in it."""
    written = []
    for kind, media, dates in (("svg", "image/svg+xml", "Date"), ("pdf", "application/pdf", "CreationDate")):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata={dates: None, "Creator": None})
        written.append(data_uri(buffer.getvalue(), media))
    return Plot(*written)


def _mark_parts(axes: Axes, curves: dict[str, dict[str, Any]]) -> None:
    """Warm-up shaded up to its last end, and a line at the start of every tenth round (each where they are few)."""
    ends = {curve["starts"].get("round 1") for curve in curves.values()} - {None}
    if ends:
        axes.axvspan(0, max(ends), color="#eef1f4", zorder=0, lw=0)
    longest = max(curves.values(), key=lambda curve: len(curve["starts"]))
    starts = [start for name, start in longest["starts"].items() if name != "warm-up"]
    for start in starts[:: 1 if len(starts) <= 20 else 10]:
        axes.axvline(start, color="#c3cad2", lw=0.7, zorder=0)


def _draw_panel(axes: Axes, panel: str, curves: dict[str, dict[str, Any]], styles: Styles) -> None:
    """A line a run; a word where no run has any."""
    _mark_parts(axes, curves)
    drawn = False
    for name, curve in curves.items():
        y, style = curve[panel], styles[name]
        # A part that is switched off is logged as 0 or null: no line tells that better than a line at 0.
        if not len(y) or (panel in OF_TERMS and not np.nan_to_num(y).any()):
            continue
        shown = np.where(curve["step"] >= curve["starts"].get("round 1", np.inf), y, np.nan)
        y = shown if panel in FROM_THE_ROUNDS else y
        steps, line = thin(curve["step"], _POINTS), {"color": style["colour"], "ls": style["dash"], "lw": 1.4}
        axes.plot(steps, thin(y, _POINTS), label=name, **line)
        drawn = True
    axes.set_title(PANELS[panel])
    axes.margins(x=0.01)
    if not drawn:
        words = "in no run, or not recorded"
        axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes, color="#6b7280")
        axes.set_yticks([])


def training_figure(curves: dict[str, dict[str, Any]], styles: Styles) -> Plot:
    """Panels of `training.PANELS` over the steps, a line a run."""
    with matplotlib.rc_context(STYLE):
        panels = [p for p in PANELS if p not in NOT_ALWAYS or any(known_any(curve[p]) for curve in curves.values())]
        across = max(3, len(TERMS))
        lines = math.ceil(len(panels) / across)
        figure = Figure(figsize=(3.2 * across, 2.2 * lines), layout="constrained")
        grid = figure.subplots(lines, across, sharex=True, squeeze=False).flat
        for axes in grid[len(panels) :]:
            axes.remove()
        for axes, panel in zip(grid, panels, strict=False):
            _draw_panel(axes, panel, curves, styles)
        for axes in figure.axes[-across:]:
            axes.set_xlabel("step")
            axes.tick_params(labelbottom=True)  # also above an empty place
        handles, labels = figure.axes[0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside upper right", ncols=max(1, min(6, len(labels))))
        return finished(figure)


def rounds_figure(rounds: dict[str, dict[str, np.ndarray]], styles: Styles) -> Plot | None:
    """Panels of `training.BY_ROUND` over the rounds, a line a run, dotted what chance would have; null without any.

    Args:
        rounds: of `training.round_lines`, by run.
        styles: of the runs.
    """
    shown = {panel: own for panel in BY_ROUND if (own := [n for n, one in rounds.items() if known_any(one[panel])])}
    if not shown:
        return None
    with matplotlib.rc_context(STYLE):
        across = 3 if len(shown) == 3 else min(2, len(shown))
        lines = math.ceil(len(shown) / across)
        figure = Figure(figsize=(9.6, 0.3 + 2.2 * lines), layout="constrained")
        grid = figure.subplots(lines, across, squeeze=False).flat
        for axes in grid[len(shown) :]:
            axes.remove()
        for axes, (panel, names) in zip(grid, shown.items(), strict=False):
            title, chance = BY_ROUND[panel]
            for name in names:
                one, line = rounds[name], {"color": styles[name]["colour"], "lw": 1.4, "ms": 4}
                axes.plot(one["round"], one[panel], "o", ls=styles[name]["dash"], label=name, **line)
                if chance and known_any(one[chance]):
                    axes.plot(one["round"], one[chance], "x", ls=":", **line)
            axes.set_title(title)
            axes.set_xlabel("round")
            axes.xaxis.set_major_locator(whole_numbers())
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=max(1, min(6, len(labels))))
        return finished(figure)


def known_any(values: np.ndarray) -> bool:
    """Whether any of the values is a number."""
    return bool(np.isfinite(values).any())


def whole_numbers() -> AutoLocator:
    """Ticks at whole numbers."""
    found = AutoLocator()
    found.set_params(integer=True)
    return found


def texture_figure(rows: list[dict[str, Any]]) -> Plot:
    """Adjusted Rand index of every slide in falling order, against random prototypes."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 2.3), layout="constrained")
        axes = figure.subplots()
        place = np.arange(1, len(rows) + 1)
        axes.axhline(0, color="#c3cad2", lw=0.8)
        axes.plot(place, [r["ari"] for r in rows], "o", color="#0072B2", ms=4, label="prototypes")
        chance = [r["ari_random"] for r in rows]
        axes.plot(place, chance, "x", color="#777777", ms=4, label="random")
        lowest = min(-0.1, *chance, *(r["ari"] for r in rows))
        axes.set(xlabel="slide, in falling order", ylabel="adjusted Rand index", ylim=(lowest - 0.03, 1.03))
        axes.xaxis.set_major_locator(whole_numbers())
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        return finished(figure)
