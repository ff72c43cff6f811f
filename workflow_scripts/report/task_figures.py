"""What is drawn of a task's predictions; `core.tasks` says which figure a kind of task has."""

from typing import Any, NamedTuple, Protocol

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow_scripts.report.class_figures import binary_figure, confusion_figure, top_class_figure
from workflow_scripts.report.curves import LogRank, Patients, kaplan_meier, log_rank, risk_halves
from workflow_scripts.report.figures import STYLE, Plot, Styles, finished

_REVERSED = "#B00020"


class Drawn(NamedTuple):
    """A figure: its picture, what it shows in a few words, and its caption as HTML."""

    picture: Plot
    shows: str
    caption: Markup


def log_rank_text(test: LogRank) -> str:
    """The test of the half with higher risk; that it lives longer, which is a failure, is said whatever its p value."""
    if np.isnan(test.p):
        return "log-rank p –"
    value = "< 0.001" if test.p < 0.001 else f"= {test.p:.3f}"
    return f"higher risk lives longer, p {value}" if test.excess < 0 else f"log-rank p {value}"


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
    test = log_rank(p.truth["time"], p.truth["event"], high)
    axes.set_title(title, pad=17)
    ink = _REVERSED if test.excess < 0 else "#3d444d"
    axes.text(0, 1.02, log_rank_text(test), transform=axes.transAxes, va="bottom", color=ink)
    axes.set(xlim=(0, last * 1.02), ylim=(0, 1.03), xlabel="time")
    axes.legend(loc="upper right")
    ticks = np.asarray([t for t in axes.get_xticks() if 0 <= t <= last])
    for row, (inside, _, _, shade) in enumerate(halves):
        for tick in ticks:
            axes.annotate(
                str(int((p.truth["time"][inside] >= tick).sum())),
                (tick, 0),
                xytext=(0, -37 - 11 * row),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                color=shade,
            )


def _grid(count: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """A figure of that many panels, at most four side by side, with a common y axis; spare places are empty."""
    across = count if count <= 4 else 3
    down = -(-count // across)
    figure = Figure(figsize=(width * across, height * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    return figure, grid


def survival_figure(patients: dict[str, Patients], styles: Styles) -> Plot | None:
    """Kaplan-Meier curves of the lower and the higher half of risk, a panel for each representation."""
    first = {name: p.first_repeat() for name, p in patients.items()}
    shown = {name: p for name, p in first.items() if len(p.fold) and np.isfinite(p.truth["time"]).all()}
    if not shown:
        return None
    with matplotlib.rc_context(STYLE):
        figure, grid = _grid(len(shown), 2.9 if len(shown) == 4 else 3.15, 3.1)
        for axes, (name, p) in zip(grid.flat, shown.items(), strict=False):
            _km_panel(axes, p, name, styles[name])
        for row in grid:
            row[0].set_ylabel("survival")
        return finished(figure)


def value_figure(patients: dict[str, Patients], styles: Styles) -> Plot | None:
    """Predicted over true value of each patient, a panel for each representation, with the line of equality."""
    shown = {name: p for name, p in ((name, p.first_repeat()) for name, p in patients.items()) if len(p.fold)}
    if not shown:
        return None
    true = {name: next(iter(p.truth.values())) for name, p in shown.items()}
    every = np.concatenate([*true.values(), *(p.scores[:, 0] for p in shown.values())])
    margin = 0.04 * (every.max() - every.min()) or 1.0
    ends = (every.min() - margin, every.max() + margin)
    with matplotlib.rc_context(STYLE):
        figure, grid = _grid(len(shown), 2.4, 2.9)
        for axes, (name, p) in zip(grid.flat, shown.items(), strict=False):
            axes.plot(ends, ends, color="#b3bac2", lw=0.8, ls=(0, (3, 3)))
            style = styles[name]
            axes.plot(true[name], p.scores[:, 0], style["marker"], color=style["colour"], ms=3.5, mew=0, alpha=0.6)
            axes.set(title=name, xlabel="true", xlim=ends, ylim=ends, box_aspect=1)
        for row in grid:
            row[0].set_ylabel("predicted")
        return finished(figure)


def _drawn(picture: Plot | None, shows: str, caption: Markup) -> list[Drawn]:
    return [Drawn(picture, shows, caption)] if picture else []


def classes_figures(
    patients: dict[str, Patients], classes: list[str], styles: Styles, by_fold: bool = False
) -> list[Drawn]:
    """ROC, precision-recall and calibration of two classes; confusion matrices and calibration of more."""
    bins = Markup("calibration in ten bins of equal width, larger marks for more patients")
    if len(classes) == 2:
        over = "the folds of all repeats, as scores of different folds have no common scale" if by_fold else "repeats"
        caption = Markup(
            "All test patients, probabilities averaged over a patient's slides; positive is {}. Curves and their areas "
            "are means over {}; the dashed line is chance; " + bins + "."
        ).format(classes[1], over)
        picture = binary_figure(patients, classes, styles, by_fold)
        return _drawn(picture, "ROC, precision-recall and calibration curves", caption)
    caption = Markup(
        "Test patients by true and predicted class, mean over repeats, shaded by the share of the true class."
    )
    return [
        *_drawn(confusion_figure(patients, classes), "Confusion matrices", caption),
        *_drawn(
            top_class_figure(patients, styles),
            "Calibration curves",
            Markup("Fraction of test patients whose most probable class is theirs, over its probability; ")
            + bins
            + Markup("."),
        ),
    ]


def risk_figures(
    patients: dict[str, Patients], classes: list[str], styles: Styles, by_fold: bool = False
) -> list[Drawn]:
    """Survival of the halves of patients with lower and higher risk."""
    caption = Markup(
        "Survival of the halves with lower (dashed) and higher (solid) predicted risk, split at the median of each "
        "test fold of the first repeat; ticks are censored patients, below the axis the numbers at risk. The log-rank "
        "test takes the halves as given, although models of other folds have seen these patients."
    )
    return _drawn(survival_figure(patients, styles), "Kaplan-Meier curves", caption)


def value_figures(
    patients: dict[str, Patients], classes: list[str], styles: Styles, by_fold: bool = False
) -> list[Drawn]:
    """Predicted against true values."""
    caption = Markup(
        "Predicted over true value of the test patients of the first repeat; on the dashed line they agree."
    )
    return _drawn(value_figure(patients, styles), "Predicted and true values", caption)


class Figures(Protocol):
    """Figures of a head's predictions of a task by each representation; none where there is nothing to draw."""

    def __call__(
        self, patients: dict[str, Patients], classes: list[str], styles: Styles, by_fold: bool = False
    ) -> list[Drawn]: ...


FIGURES: dict[str, Figures] = {"classes": classes_figures, "survival": risk_figures, "values": value_figures}
"""Functions of the figures that `core.tasks` names."""
