"""Figures as SVG data URIs, without a global plotting state and the same bytes for the same numbers."""

import io
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow_scripts.report.curves import Patients, confusion, kaplan_meier, log_rank, risk_halves, roc, thin
from workflow_scripts.report.pictures import data_uri
from workflow_scripts.report.results import headline_lines, known, metric_name, verdict
from workflow_scripts.report.training import PANELS

_STYLE = {
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
}
_POINTS = 500
Styles = dict[str, dict[str, Any]]


def _uri(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return data_uri(buffer.getvalue(), "image/svg+xml")


def _mark_parts(axes: Axes, curves: dict[str, dict[str, Any]]) -> None:
    """Warm-up shaded up to its last end, and a line at the start of every tenth round (each where they are few)."""
    ends = {curve["starts"].get("round 1") for curve in curves.values()} - {None}
    if ends:
        axes.axvspan(0, max(ends), color="#eef1f4", zorder=0, lw=0)
    longest = max(curves.values(), key=lambda curve: len(curve["starts"]))
    starts = [start for name, start in longest["starts"].items() if name != "warm-up"]
    for start in starts[:: 1 if len(starts) <= 20 else 10]:
        axes.axvline(start, color="#c3cad2", lw=0.7, zorder=0)


def training_figure(curves: dict[str, dict[str, Any]], styles: Styles) -> str:
    """Panels of `training.PANELS` over the steps, a line a run."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9.6, 5.0), layout="constrained")
        for axes, (panel, title) in zip(figure.subplots(2, 3, sharex=True).flat, PANELS.items(), strict=True):
            _mark_parts(axes, curves)
            drawn = False
            for name, curve in curves.items():
                y = curve[panel]
                # A part that is switched off is logged as 0 or null: no line tells that better than a line at 0.
                if not len(y) or (panel.startswith("loss_") and not np.nan_to_num(y).any()):
                    continue
                shown = np.where(curve["step"] >= curve["starts"].get("round 1", np.inf), y, np.nan)
                y = shown if panel in ("loss_intra", "loss_inter") else y
                style = styles[name]
                axes.plot(
                    thin(curve["step"], _POINTS),
                    thin(y, _POINTS),
                    color=style["colour"],
                    ls=style["dash"],
                    lw=1.4,
                    label=name,
                )
                drawn = True
            axes.set_title(title)
            axes.margins(x=0.01)
            if not drawn:
                axes.text(0.5, 0.5, "in no run", ha="center", va="center", transform=axes.transAxes, color="#6b7280")
                axes.set_yticks([])
        for axes in figure.axes[3:]:
            axes.set_xlabel("step")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside upper right", ncols=max(1, min(6, len(labels))))
        return _uri(figure)


def forest_figure(table: dict[str, Any], styles: Styles) -> str:
    """Pooled value and interval of every head and representation, of the headline's metric."""
    lines = headline_lines(table)
    rows = [(line, cell) for line in lines for cell in line["cells"] if cell and known(cell["pooled"])]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 0.62 + 0.25 * len(rows) + 0.16 * len(lines)), layout="constrained")
        axes = figure.subplots()
        y, ticks, labels = 0.0, [], []
        for position, (line, cell) in enumerate(rows):
            if position and rows[position - 1][0] is not line:
                y += 0.7
                axes.axhline(y - 0.85, color="#e3e7eb", lw=0.8)
            style = styles[cell["representation"]]
            if known(cell["ci_low"]) and known(cell["ci_high"]):
                axes.plot(
                    [cell["ci_low"], cell["ci_high"]], [y, y], color=style["colour"], lw=1.8, solid_capstyle="butt"
                )
            filled = verdict(cell) in ("better", "worse")
            face = style["colour"] if filled else "white"
            axes.plot(cell["pooled"], y, style["marker"], color=style["colour"], mfc=face, ms=6, mew=1.5)
            ticks.append(y)
            labels.append(f"{line['head']}   {cell['representation']}")
            y += 1
        chance = {"auc": 0.5, "c_index": 0.5, "quadratic_kappa": 0.0}.get(lines[0]["metric"]) if lines else None
        if chance is not None:
            axes.axvline(chance, color="#8a9099", lw=0.8, ls=(0, (3, 3)), zorder=0)
        axes.set_yticks(ticks, labels)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(y - 0.4, -0.6)
        axes.set_xlabel(metric_name(lines[0]["metric"]) if lines else "")
        axes.grid(axis="x", color="#eceff2", lw=0.8)
        axes.set_axisbelow(True)
        return _uri(figure)


def roc_figure(patients: dict[str, Patients], classes: list[str], styles: Styles) -> str | None:
    """ROC curve of each representation, the last class positive; null where one class has no patient."""
    shown = {name: p for name, p in patients.items() if {0, 1} <= set(p.label.tolist())}
    if not shown:
        return None
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(4.3, 4.0), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#b3bac2", lw=0.8, ls=(0, (3, 3)))
        for name, p in shown.items():
            kept = p.label >= 0
            fpr, tpr, area = roc(p.label[kept] == 1, p.scores[kept, 1])
            style = styles[name]
            axes.plot(fpr, tpr, color=style["colour"], ls=style["dash"], lw=1.6, label=f"{name}  {area:.3f}")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="1 − specificity", aspect="equal")
        axes.set_ylabel(f"sensitivity for {classes[1]}".replace("$", r"\$"))
        axes.legend(loc="lower right", title="area under the curve", alignment="left")
        return _uri(figure)


def _short(names: list[str]) -> list[str]:
    return [(name if len(name) <= 12 else name[:11] + "…").replace("$", r"\$") for name in names]


def confusion_figure(patients: dict[str, Patients], classes: list[str]) -> str | None:
    """A confusion matrix for each representation: counts of patients, shaded by the share of the true class."""
    shown = {name: p for name, p in patients.items() if (p.label >= 0).any()}
    if not shown:
        return None
    across = min(4, len(shown))
    down = -(-len(shown) // across)
    side = max(2.0, 0.42 * len(classes) + 0.7)
    with matplotlib.rc_context({**_STYLE, "axes.spines.top": True, "axes.spines.right": True}):
        figure = Figure(figsize=(0.5 + side * across, 0.45 + (side + 0.25) * down), layout="constrained")
        grid = figure.subplots(down, across, squeeze=False)
        for axes in grid.flat[len(shown) :]:
            axes.set_axis_off()
        for axes, (name, p) in zip(grid.flat, shown.items(), strict=False):
            kept = p.label >= 0
            counts = confusion(p.label[kept], p.scores[kept].argmax(1), len(classes))
            share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
            axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
            for i, j in np.ndindex(counts.shape):
                ink = "white" if share[i, j] > 0.55 else "#1f2933"
                axes.text(j, i, str(counts[i, j]), ha="center", va="center", color=ink)
            axes.set_title(name)
            axes.set_xticks(range(len(classes)), _short(classes), rotation=35, ha="right")
            axes.set_yticks(range(len(classes)), _short(classes) if axes is grid[0, 0] or across == 1 else [])
            axes.tick_params(length=0)
        figure.supxlabel("predicted", fontsize=8.5)
        figure.supylabel("true", fontsize=8.5)
        return _uri(figure)


def _km_panel(axes: Axes, p: Patients, title: str, style: dict[str, Any]) -> None:
    high = risk_halves(p.scores[:, 0], p.fold)
    last = float(p.time.max())
    halves = ((~high, "lower risk", (0, (4, 2)), "#5d646d"), (high, "higher risk", "solid", style["colour"]))
    for inside, label, dash, shade in halves:
        if not inside.any():
            continue
        times, survival = kaplan_meier(p.time[inside], p.event[inside])
        end = float(p.time[inside].max())
        axes.step([*times, end], [*survival, survival[-1]], where="post", color=shade, ls=dash, lw=1.6, label=label)
        censored = np.sort(p.time[inside & ~p.event])
        at = survival[np.searchsorted(times, censored, side="right") - 1]
        axes.plot(censored, at, "|", color=shade, ms=5, mew=0.9)
    value = log_rank(p.time, p.event, high)
    text = "log-rank p –" if np.isnan(value) else f"log-rank p {'< 0.001' if value < 0.001 else f'= {value:.3f}'}"
    axes.set_title(f"{title}   ", pad=6)
    axes.text(1, 1.02, text, transform=axes.transAxes, ha="right", va="bottom", color="#3d444d")
    axes.set(xlim=(0, last * 1.02), ylim=(0, 1.03), xlabel="time")
    axes.legend(loc="upper right")
    ticks = np.asarray([t for t in axes.get_xticks() if 0 <= t <= last])
    for row, (inside, _, _, shade) in enumerate(halves):
        for tick in ticks:
            axes.annotate(
                str(int((p.time[inside] >= tick).sum())),
                (tick, 0),
                xytext=(0, -34 - 11 * row),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                color=shade,
            )


def survival_figure(patients: dict[str, Patients], styles: Styles) -> str | None:
    """Kaplan-Meier curves of the lower and the higher half of risk, a panel for each representation."""
    shown = {name: p for name, p in patients.items() if len(p.time) and np.isfinite(p.time).all()}
    if not shown:
        return None
    across = len(shown) if len(shown) <= 4 else 3
    down = -(-len(shown) // across)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=((2.9 if across == 4 else 3.15) * across, 3.1 * down), layout="constrained")
        grid = figure.subplots(down, across, squeeze=False, sharey=True)
        for axes in grid.flat[len(shown) :]:
            axes.set_axis_off()
        for axes, (name, p) in zip(grid.flat, shown.items(), strict=False):
            _km_panel(axes, p, name, styles[name])
        for row in grid:
            row[0].set_ylabel("survival")
        return _uri(figure)


def texture_figure(rows: list[dict[str, Any]]) -> str:
    """Adjusted Rand index of every slide in falling order, against random prototypes."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 2.3), layout="constrained")
        axes = figure.subplots()
        place = np.arange(1, len(rows) + 1)
        axes.axhline(0, color="#c3cad2", lw=0.8)
        axes.plot(place, [r["ari"] for r in rows], "o", color="#0072B2", ms=4, label="prototypes")
        chance = [r["ari_random"] for r in rows]
        axes.plot(place, chance, "x", color="#777777", ms=4, label="random")
        lowest = min(-0.1, *chance, *(r["ari"] for r in rows))
        axes.set(xlabel="slide, in falling order", ylabel="adjusted Rand index", ylim=(lowest - 0.03, 1.03))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        return _uri(figure)
