"""Figures of how a result varies: over folds and repeats, and with the number of patients trained on."""

from typing import NamedTuple, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow_scripts.core.tasks import Metric
from workflow_scripts.report.figures import STYLE, Plot, Styles, finished
from workflow_scripts.report.wording import known


class FoldValue(NamedTuple):
    """A metric of one fold; NaN where it is not defined there."""

    repeat: int
    fold: int
    value: float


class BudgetValue(NamedTuple):
    """A metric at one size of the training part, with its interval; NaN where there is none."""

    budget: str
    value: float
    low: float
    high: float


Value = TypeVar("Value", FoldValue, BudgetValue)


def _defined(values: dict[str, list[Value]]) -> dict[str, list[Value]]:
    """The values that are defined, of the representations that have any."""
    found = {name: [one for one in own if known(one.value)] for name, own in values.items()}
    return {name: own for name, own in found.items() if own}


def _chance(axes: Axes, metric: Metric, vertical: bool) -> None:
    if metric.chance is not None:
        line = axes.axvline if vertical else axes.axhline
        line(metric.chance, color="#8a9099", lw=0.8, ls=(0, (3, 3)), zorder=0)


def fold_figure(values: dict[str, list[FoldValue]], metric: Metric, styles: Styles) -> Plot | None:
    """Every fold as a dot, the mean of each repeat as a stroke, a band a representation; null without any value.

    Within a band repeats lie below each other, so that splits on which a representation fails stand out.

    Args:
        values: of each representation; those that are not defined are left out.
        metric: what is shown.
        styles: of the representations.
    """
    shown = _defined(values)
    if not shown:
        return None
    repeats = sorted({one.repeat for own in shown.values() for one in own})
    place = {repeat: np.linspace(-0.36, 0.36, len(repeats) + 2)[1 + i] for i, repeat in enumerate(repeats)}
    with matplotlib.rc_context(STYLE):
        band = 0.22 + 0.05 * len(repeats)
        figure = Figure(figsize=(6.4, 0.7 + band * len(shown)), layout="constrained")
        axes = figure.subplots()
        _chance(axes, metric, vertical=True)
        for y, (name, own) in enumerate(shown.items()):
            style = styles[name]
            height = [y + place[one.repeat] for one in own]
            axes.scatter([one.value for one in own], height, s=10, color=style["colour"], alpha=0.45, lw=0)
            for repeat in repeats:
                inside = [one.value for one in own if one.repeat == repeat]
                if inside:
                    axes.plot(np.mean(inside), y + place[repeat], "|", color=style["colour"], ms=6, mew=1.6)
            if y:
                axes.axhline(y - 0.5, color="#e3e7eb", lw=0.8)
        axes.set_yticks(range(len(shown)), list(shown))
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xlabel(metric.label)
        return finished(figure)


def budget_figure(values: dict[str, list[BudgetValue]], metric: Metric, styles: Styles) -> Plot | None:
    """The metric over the sizes of the training part, a line a representation with its intervals; null without values.

    Args:
        values: of each representation, in rising order of the size; every representation's sizes in the same order.
        metric: what is shown.
        styles: of the representations.
    """
    shown = _defined(values)
    if not shown:
        return None
    budgets = list(dict.fromkeys(one.budget for own in values.values() for one in own))
    apart = np.linspace(-0.18, 0.18, len(shown)) if len(shown) > 1 else [0.0]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(max(4.6, 2.2 + 0.8 * len(budgets)), 3.2), layout="constrained")
        axes = figure.subplots()
        _chance(axes, metric, vertical=False)
        for shift, (name, own) in zip(apart, shown.items(), strict=True):
            style = styles[name]
            x = [budgets.index(one.budget) + shift for one in own]
            y = [one.value for one in own]
            axes.plot(x, y, style["marker"], ls=style["dash"], color=style["colour"], lw=1.3, ms=4.5, label=name)
            for at, one in zip(x, own, strict=True):
                if known(one.low) and known(one.high):
                    axes.plot([at, at], [one.low, one.high], color=style["colour"], lw=1.1, alpha=0.6)
        axes.set_xticks(range(len(budgets)), budgets)
        axes.set(xlabel="patients trained on", ylabel=metric.label)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        return finished(figure)
