"""Figures of predicted classes: ROC, precision-recall, calibration, confusion."""

from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow_scripts.report.curves import Patients, calibration, confusion, mean_curve, precision_recall, roc
from workflow_scripts.report.figures import STYLE, Plot, Styles, finished

_DIAGONAL: dict[str, Any] = {"color": "#b3bac2", "lw": 0.8, "ls": (0, (3, 3))}
Curve = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, float]]


def _known(patients: dict[str, Patients]) -> dict[str, Patients]:
    """Entries whose class is one of the task's, of the representations that have any."""
    kept = {name: p.take(p.truth["label"] >= 0) for name, p in patients.items()}
    return {name: p for name, p in kept.items() if len(p.fold)}


def _plain(text: str) -> str:
    """Text in which matplotlib sees no formula."""
    return text.replace("$", r"\$")


def _draw_curves(axes: Axes, shown: dict[str, Patients], by_fold: bool, curve: Curve, styles: Styles) -> None:
    """A line a representation: the mean over repeats, or over the folds of all repeats, and of their areas."""
    for name, p in shown.items():
        parts = [part for part in p.parts(by_fold) if len(np.unique(part.truth["label"])) == 2]
        found = [curve(part.truth["label"] == 1, part.scores[:, 1]) for part in parts]
        if found:
            x, y = mean_curve([(x, y) for x, y, _ in found])
            area, style = np.mean([area for _, _, area in found]), styles[name]
            axes.plot(x, y, color=style["colour"], ls=style["dash"], lw=1.6, label=f"{name}  {area:.3f}")


def _draw_calibration(axes: Axes, points: dict[str, tuple[np.ndarray, np.ndarray]], styles: Styles) -> None:
    """Observed fraction over predicted probability, a line a representation; larger marks have more patients."""
    axes.plot([0, 1], [0, 1], **_DIAGONAL)
    for name, (probability, hit) in points.items():
        found, style = calibration(probability, hit), styles[name]
        axes.plot(found.predicted, found.observed, color=style["colour"], ls=style["dash"], lw=1.2, label=name)
        size = 8 + 90 * found.size / found.size.sum()
        axes.scatter(found.predicted, found.observed, s=size, color=style["colour"], marker=style["marker"], lw=0)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", ylabel="observed fraction", title="Calibration")


def _below(axes: Axes, title: str) -> None:
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16), title=title, alignment="left", fontsize=8)


def binary_figure(patients: dict[str, Patients], classes: list[str], styles: Styles, by_fold: bool) -> Plot | None:
    """ROC, precision-recall and calibration of the last of two classes; null where a class has no patient.

    Args:
        patients: of each representation.
        classes: names of the two classes.
        styles: of the representations.
        by_fold: whether curves are means over folds, for heads whose scores have no common scale.
    """
    shown = {name: p for name, p in _known(patients).items() if len(np.unique(p.truth["label"])) == 2}
    if not shown:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.5 + 0.17 * len(shown)), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        left.plot([0, 1], [0, 1], **_DIAGONAL)
        _draw_curves(left, shown, by_fold, roc, styles)
        positive = np.mean([(p.truth["label"] == 1).mean() for p in shown.values()])
        middle.axhline(positive, **_DIAGONAL)
        _draw_curves(middle, shown, by_fold, precision_recall, styles)
        _draw_calibration(right, {name: (p.scores[:, 1], p.truth["label"] == 1) for name, p in shown.items()}, styles)
        for axes in (left, middle):
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        left.set(title="ROC", xlabel="1 − specificity", ylabel=f"sensitivity for {_plain(classes[1])}")
        middle.set(title="Precision-recall", xlabel="recall", ylabel=f"precision for {_plain(classes[1])}")
        right.set(xlabel=f"predicted probability of {_plain(classes[1])}")
        for axes, title in ((left, "area under the curve"), (middle, "average precision")):
            _below(axes, title)
        return finished(figure)


def top_class_figure(patients: dict[str, Patients], styles: Styles) -> Plot | None:
    """Calibration of the most probable class, for any number of classes."""
    shown = _known(patients)
    if not shown:
        return None
    points = {name: (p.scores.max(1), p.scores.argmax(1) == p.truth["label"]) for name, p in shown.items()}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.3, 3.6), layout="constrained")
        axes = figure.subplots()
        _draw_calibration(axes, points, styles)
        axes.set(xlabel="predicted probability of the most probable class")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        return finished(figure)


def _short(names: list[str]) -> list[str]:
    return [_plain(name if len(name) <= 12 else name[:11] + "…") for name in names]


def confusion_figure(patients: dict[str, Patients], classes: list[str]) -> Plot | None:
    """A confusion matrix for each representation: patients, mean over repeats, shaded by share of the true class."""
    shown = _known(patients)
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
            counts = confusion(p.truth["label"], p.scores.argmax(1), len(classes)) / len(p.parts())
            _draw_matrix(axes, counts)
            axes.set_title(name)
            axes.set_xticks(range(len(classes)), _short(classes), rotation=35, ha="right")
            axes.set_yticks(range(len(classes)), _short(classes) if axes is grid[0, 0] or across == 1 else [])
            axes.tick_params(length=0)
        figure.supxlabel("predicted", fontsize=8.5)
        figure.supylabel("true", fontsize=8.5)
        return finished(figure)


def _draw_matrix(axes: Axes, counts: np.ndarray) -> None:
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(counts.shape):
        ink = "white" if share[i, j] > 0.55 else "#1f2933"
        text = f"{counts[i, j]:.1f}".removesuffix(".0")
        axes.text(j, i, text, ha="center", va="center", color=ink)
