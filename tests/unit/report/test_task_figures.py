"""Figures of predictions and of their spread: what is drawn, what is said, and where there is nothing to draw."""

import base64
import re

import numpy as np
import pytest

from workflow_scripts.core.tasks import KINDS, METRICS
from workflow_scripts.report import spread_figures, task_figures
from workflow_scripts.report.curves import LogRank, Patients
from workflow_scripts.report.palette import line_styles
from workflow_scripts.report.spread_figures import BudgetValue, FoldValue, budget_figure, fold_figure
from workflow_scripts.report.task_figures import FIGURES, log_rank_text

NAMES = ["mean", "slpd"]
STYLES = line_styles(NAMES)
CLASSES = {2: ["benign", "a $cure$"], 3: ["G1", "G2", "G3"], 0: []}


def patients(kind: str, n_classes: int = 0, n: int = 40) -> dict[str, Patients]:
    random = np.random.default_rng(0)
    fold, repeat = np.tile(np.arange(n) % 5, 2), np.repeat([0, 1], n)
    if n_classes:
        truth = {"label": np.tile(np.arange(n) % n_classes, 2)}
        scores = random.dirichlet(np.ones(n_classes), 2 * n)
    elif kind == "survival":
        truth = {"time": np.tile(random.exponential(9, n), 2), "event": np.tile(random.random(n) < 0.7, 2)}
        scores = -truth["time"][:, None]
    else:
        truth, scores = {"value": np.tile(random.normal(size=n), 2)}, random.normal(size=(2 * n, 1))
    return {name: Patients(fold, truth, scores, repeat) for name in NAMES}


def svg(uri: str) -> str:
    assert uri.startswith("data:image/svg+xml;base64,")
    return base64.b64decode(uri.partition(",")[2]).decode()


@pytest.fixture
def texts(monkeypatch):
    """Texts of all figures drawn, in place of the outlines that an SVG has of them."""
    found = []

    def read(figure):
        for axes in figure.axes:
            legend = axes.get_legend()
            found.extend([axes.get_title("left"), axes.get_xlabel(), axes.get_ylabel()])
            found.extend(text.get_text() for text in axes.texts)
            found.extend(text.get_text() for text in (legend.get_texts() if legend else []))
        return "data:drawn"

    for module in (task_figures, task_figures.binary_figure.__module__, spread_figures):
        monkeypatch.setattr(f"{getattr(module, '__name__', module)}.finished", read)
    return found


CASES = [("classification", 2), ("classification", 3), ("ordinal", 3), ("survival", 0), ("regression", 0)]


@pytest.mark.parametrize("by_fold", [True, False])
@pytest.mark.parametrize(("kind", "n_classes"), CASES)
def test_every_kind_is_drawn_and_the_same_twice(kind, n_classes, by_fold):
    draw, given = FIGURES[KINDS[kind].figure], patients(kind, n_classes)
    drawn = draw(given, CLASSES[n_classes], STYLES, by_fold)
    assert len(drawn) == (2 if n_classes > 2 else 1)
    for figure in drawn:
        assert len(re.findall("<path", svg(figure.picture.svg))) > 30
        assert base64.b64decode(figure.picture.pdf.removeprefix("data:application/pdf;base64,")).startswith(b"%PDF")
        assert figure.shows and "{" not in figure.caption
    assert drawn == draw(given, CLASSES[n_classes], STYLES, by_fold)


@pytest.mark.parametrize(("kind", "n_classes"), CASES)
def test_without_patients_nothing_is_drawn(kind, n_classes):
    nobody = {name: p.take(np.zeros(0, int)) for name, p in patients(kind, n_classes).items()}
    assert FIGURES[KINDS[kind].figure](nobody, CLASSES[n_classes], STYLES) == []


def test_one_class_has_no_curves():
    one = {name: p.take(p.truth["label"] == 0) for name, p in patients("classification", 2).items()}
    assert FIGURES["classes"](one, CLASSES[2], STYLES) == []


def _area(part: Patients) -> float:
    high, low = (part.scores[part.truth["label"] == k, 1] for k in (1, 0))
    return float(np.mean([(a > b) + 0.5 * (a == b) for a in high for b in low]))


def test_areas_are_those_of_repeats_or_of_folds(texts):
    given = {"mean": patients("classification", 2)["mean"]}
    parts = given["mean"].parts(by_fold=True)
    for by_fold, groups in ((False, given["mean"].parts()), (True, parts)):
        texts.clear()
        FIGURES["classes"](given, CLASSES[2], STYLES, by_fold)
        areas = [_area(part) for part in groups]
        assert f"mean  {np.mean(areas):.3f}" in texts
        assert {"ROC", "Precision-recall", "Calibration"} <= set(texts)


def test_a_reversed_risk_is_no_triumph(texts):
    right = patients("survival")
    FIGURES["survival"](right, [], STYLES)
    assert any(text.startswith("log-rank p") for text in texts) and not any("longer" in text for text in texts)
    texts.clear()
    turned = {name: Patients(p.fold, p.truth, -p.scores, p.repeat) for name, p in right.items()}
    FIGURES["survival"](turned, [], STYLES)
    assert sum(text == "higher risk lives longer, p < 0.001" for text in texts) == len(NAMES)
    assert log_rank_text(LogRank(float("nan"), 0.0)) == "log-rank p –"
    assert log_rank_text(LogRank(0.0421, 3.0)) == "log-rank p = 0.042"


def test_numbers_at_risk_are_of_the_first_repeat(texts):
    FIGURES["survival"](patients("survival"), [], STYLES)
    assert "20" in texts and "40" not in texts  # halves of 40 patients


def test_folds_are_dots_and_undefined_ones_are_left_out(monkeypatch):
    seen = []
    monkeypatch.setattr(spread_figures, "finished", lambda figure: seen.append(figure.axes[0]) or "data:drawn")
    random = np.random.default_rng(0)
    values = {name: [FoldValue(r, f, random.random()) for r in range(3) for f in range(5)] for name in NAMES}
    values["mean"][4] = FoldValue(0, 4, float("nan"))
    fold_figure(values | {"empty": [FoldValue(0, 0, float("nan"))]}, METRICS["auc"], STYLES)
    dots = [len(points.get_offsets()) for points in seen[0].collections]
    assert dots == [14, 15] and [text.get_text() for text in seen[0].get_yticklabels()] == NAMES
    strokes = [line.get_xdata()[0] for line in seen[0].lines if line.get_marker() == "|"]
    assert len(strokes) == 6
    assert strokes[3] == pytest.approx(np.mean([one.value for one in values["slpd"] if one.repeat == 0]))
    assert fold_figure({"empty": [FoldValue(0, 0, float("nan"))]}, METRICS["auc"], STYLES) is None


def test_budgets_stand_in_their_order_and_intervals_may_be_missing(monkeypatch):
    seen = []
    monkeypatch.setattr(spread_figures, "finished", lambda figure: seen.append(figure.axes[0]) or "data:drawn")
    nan = float("nan")
    own = [
        BudgetValue("1/class", 0.5, 0.4, 0.6),
        BudgetValue("2/class", nan, nan, nan),
        BudgetValue("all", 0.8, nan, nan),
    ]
    budget_figure({"slpd": own}, METRICS["auc"], STYLES)
    axes = seen[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1/class", "2/class", "all"]
    line, interval = axes.lines[1:]
    assert list(line.get_xdata()) == [0, 2] and list(line.get_ydata()) == [0.5, 0.8]
    assert list(interval.get_ydata()) == [0.4, 0.6]
    assert budget_figure({"slpd": own[1:2]}, METRICS["auc"], STYLES) is None
