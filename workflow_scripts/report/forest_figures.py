"""Forest plots: values of the representations, and their differences in pairs, each with its interval."""

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow_scripts.report.claims import Pair
from workflow_scripts.report.figures import STYLE, Plot, Styles, finished
from workflow_scripts.report.results import TaskTable
from workflow_scripts.report.wording import known, metric_facts

_PLAIN, _CLAIMED = "#5d646d", {"better": "#0a6b4a", "worse": "#9c2f10"}


def _line(axes: Axes, y: int, low: float, value: float, high: float, colour: str, marker: str, face: str) -> None:
    if known(low) and known(high):
        axes.plot([low, high], [y, y], color=colour, lw=1.8, solid_capstyle="butt")
    axes.plot(value, y, marker, color=colour, mfc=face, ms=6, mew=1.5)


def _finish(axes: Axes, labels: list[str], reference: float | None, title: str) -> None:
    if reference is not None:
        axes.axvline(reference, color="#8a9099", lw=0.8, ls=(0, (3, 3)), zorder=0)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlabel(title)
    axes.grid(axis="x", color="#eceff2", lw=0.8)
    axes.set_axisbelow(True)


def _figure(lines: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.0, 0.62 + 0.27 * lines), layout="constrained")
    return figure, figure.subplots()


def value_forest(table: TaskTable, head: str, styles: Styles) -> Plot | None:
    """Headline value and interval of each representation with one head; null where no cell has a value.

    Args:
        table: results of the task.
        head: name of the head.
        styles: of the representations.
    """
    shown = {name: row for name, row in table.cells(head).items() if known(row["value"])}
    if not shown:
        return None
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(len(shown))
        for y, (name, row) in enumerate(shown.items()):
            style = styles[name]
            _line(axes, y, row["ci_low"], row["value"], row["ci_high"], style["colour"], style["marker"], "white")
        _finish(axes, list(shown), metric_facts(table.headline).chance, table.metric)
        return finished(figure)


def pair_forest(table: TaskTable, pairs: list[Pair]) -> Plot | None:
    """Difference of each pair with its interval, filled where a claim is made; null where no pair has a value.

    Args:
        table: results of the task.
        pairs: of its primary head.
    """
    shown = [(pair, pair.row) for pair in pairs if pair.row and known(pair.row["difference"])]
    if not shown:
        return None
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(len(shown))
        for y, (pair, row) in enumerate(shown):
            colour = _CLAIMED.get(pair.verdict, _PLAIN)
            face = colour if pair.verdict in _CLAIMED else "white"
            _line(axes, y, row["low"], row["difference"], row["high"], colour, "o", face)
        labels = [f"{pair.first} − {pair.second}" for pair, _ in shown]
        _finish(axes, labels, 0.0, f"difference in {table.metric}")
        return finished(figure)
