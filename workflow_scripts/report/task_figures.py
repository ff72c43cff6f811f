"""What is drawn of a task's predictions; `core.tasks` says which figure a kind of task has."""

from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow_scripts.report.curves import Patients, confusion, kaplan_meier, log_rank, risk_halves, roc
from workflow_scripts.report.figures import STYLE, Styles, figure_uri


class Drawn(NamedTuple):
    """A figure: its picture as a data URI, what it shows in a few words, and its caption as HTML."""

    picture: str
    shows: str
    caption: Markup


def roc_figure(patients: dict[str, Patients], classes: list[str], styles: Styles) -> str | None:
    """ROC curve of each representation, the last class positive; null where one class has no patient."""
    shown = {name: p for name, p in patients.items() if {0, 1} <= set(p.truth["label"].tolist())}
    if not shown:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.3, 4.0), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#b3bac2", lw=0.8, ls=(0, (3, 3)))
        for name, p in shown.items():
            kept = p.truth["label"] >= 0
            fpr, tpr, area = roc(p.truth["label"][kept] == 1, p.scores[kept, 1])
            style = styles[name]
            axes.plot(fpr, tpr, color=style["colour"], ls=style["dash"], lw=1.6, label=f"{name}  {area:.3f}")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="1 − specificity", aspect="equal")
        axes.set_ylabel(f"sensitivity for {classes[1]}".replace("$", r"\$"))
        axes.legend(loc="lower right", title="area under the curve", alignment="left")
        return figure_uri(figure)


def _short(names: list[str]) -> list[str]:
    return [(name if len(name) <= 12 else name[:11] + "…").replace("$", r"\$") for name in names]


def confusion_figure(patients: dict[str, Patients], classes: list[str]) -> str | None:
    """A confusion matrix for each representation: counts of patients, shaded by the share of the true class."""
    shown = {name: p for name, p in patients.items() if (p.truth["label"] >= 0).any()}
    if not shown:
        return None
    across = min(4, len(shown))
    down = -(-len(shown) // across)
    side = max(2.0, 0.42 * len(classes) + 0.7)
    with matplotlib.rc_context({**STYLE, "axes.spines.top": True, "axes.spines.right": True}):
        figure = Figure(figsize=(0.5 + side * across, 0.45 + (side + 0.25) * down), layout="constrained")
        grid = figure.subplots(down, across, squeeze=False)
        for axes in grid.flat[len(shown) :]:
            axes.set_axis_off()
        for axes, (name, p) in zip(grid.flat, shown.items(), strict=False):
            kept = p.truth["label"] >= 0
            counts = confusion(p.truth["label"][kept], p.scores[kept].argmax(1), len(classes))
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
        return figure_uri(figure)


def _km_panel(axes: Axes, p: Patients, title: str, style: dict[str, Any]) -> None:
    high = risk_halves(p.scores[:, 0], p.fold)
    last = float(p.truth["time"].max())
    halves = ((~high, "lower risk", (0, (4, 2)), "#5d646d"), (high, "higher risk", "solid", style["colour"]))
    for inside, label, dash, shade in halves:
        if not inside.any():
            continue
        times, survival = kaplan_meier(p.truth["time"][inside], p.truth["event"][inside])
        end = float(p.truth["time"][inside].max())
        axes.step([*times, end], [*survival, survival[-1]], where="post", color=shade, ls=dash, lw=1.6, label=label)
        censored = np.sort(p.truth["time"][inside & ~p.truth["event"]])
        at = survival[np.searchsorted(times, censored, side="right") - 1]
        axes.plot(censored, at, "|", color=shade, ms=5, mew=0.9)
    value = log_rank(p.truth["time"], p.truth["event"], high)
    text = "log-rank p –" if np.isnan(value) else f"log-rank p {'< 0.001' if value < 0.001 else f'= {value:.3f}'}"
    axes.set_title(f"{title}   ", pad=6)
    axes.text(1, 1.02, text, transform=axes.transAxes, ha="right", va="bottom", color="#3d444d")
    axes.set(xlim=(0, last * 1.02), ylim=(0, 1.03), xlabel="time")
    axes.legend(loc="upper right")
    ticks = np.asarray([t for t in axes.get_xticks() if 0 <= t <= last])
    for row, (inside, _, _, shade) in enumerate(halves):
        for tick in ticks:
            axes.annotate(
                str(int((p.truth["time"][inside] >= tick).sum())),
                (tick, 0),
                xytext=(0, -34 - 11 * row),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                color=shade,
            )


def survival_figure(patients: dict[str, Patients], styles: Styles) -> str | None:
    """Kaplan-Meier curves of the lower and the higher half of risk, a panel for each representation."""
    shown = {name: p for name, p in patients.items() if len(p.truth["time"]) and np.isfinite(p.truth["time"]).all()}
    if not shown:
        return None
    across = len(shown) if len(shown) <= 4 else 3
    down = -(-len(shown) // across)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=((2.9 if across == 4 else 3.15) * across, 3.1 * down), layout="constrained")
        grid = figure.subplots(down, across, squeeze=False, sharey=True)
        for axes in grid.flat[len(shown) :]:
            axes.set_axis_off()
        for axes, (name, p) in zip(grid.flat, shown.items(), strict=False):
            _km_panel(axes, p, name, styles[name])
        for row in grid:
            row[0].set_ylabel("survival")
        return figure_uri(figure)


def classes_figure(patients: dict[str, Patients], classes: list[str], styles: Styles) -> Drawn | None:
    """ROC curves where there are two classes, confusion matrices where there are more."""
    if len(classes) == 2:
        picture, shows = roc_figure(patients, classes, styles), "ROC curves"
        caption = Markup(
            "ROC over all test patients, probabilities averaged over a patient's slides; positive is {}."
        ).format(classes[1])
    else:
        picture, shows = confusion_figure(patients, classes), "Confusion matrices"
        caption = Markup("Test patients by true and predicted class, shaded by the share of the true class.")
    return Drawn(picture, shows, caption) if picture else None


def risk_figure(patients: dict[str, Patients], classes: list[str], styles: Styles) -> Drawn | None:
    """Survival of the halves of patients with lower and higher risk."""
    picture = survival_figure(patients, styles)
    caption = Markup(
        "Survival of the halves with lower (dashed) and higher (solid) predicted risk, split at the median of each "
        "test fold; ticks are censored patients, below the axis the numbers at risk."
    )
    return Drawn(picture, "Kaplan-Meier curves", caption) if picture else None


FIGURES: dict[str, Callable[[dict[str, Patients], list[str], Styles], Drawn | None]] = {
    "classes": classes_figure,
    "survival": risk_figure,
}
"""Functions of the figures that `core.tasks` names; None where there is nothing to draw."""
