"""Tables, claims and facts of planted predictions that the benchmark's own functions scored."""

import math
from itertools import product

import numpy as np
import pytest
from lifelines import KaplanMeierFitter

from tests.unit.report.results_folder import (
    EVENT,
    FAILURE,
    HEADS,
    PAIRS,
    PATIENTS,
    PERMUTED,
    REPEATS,
    REPRESENTATIONS,
    TASKS,
    TIME,
    TIMES,
    TRAININGS,
)
from workflow_scripts.core.tasks import KINDS, METRICS
from workflow_scripts.mil.result_text import result_text
from workflow_scripts.report.claims import family_text, pairs_of, sentence, shown_best
from workflow_scripts.report.facts import denominators, spread_lines
from workflow_scripts.report.inputs import Results
from workflow_scripts.report.results import (
    control,
    in_order,
    missing_value,
    smaller_is_better,
    task_tables,
    trainings_note,
)

NAN = math.nan


@pytest.fixture(scope="module")
def inputs(results_folder):
    return Results(results_folder)


@pytest.fixture
def rows(inputs):
    return inputs.benchmark()


@pytest.fixture
def comparisons(inputs):
    return inputs.comparisons()[0]


def tables_of(rows):
    return {table.name: table for table in task_tables(rows, TASKS, REPRESENTATIONS)}


def _among(rows, **wanted):
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def test_tables_are_in_the_order_of_the_configuration_with_the_primary_head_first(rows):
    tables = tables_of(rows)
    assert list(tables) == list(TASKS)
    for name, table in tables.items():
        assert table.representations == REPRESENTATIONS
        assert table.heads == HEADS[name] and table.primary == HEADS[name][0]
    assert tables["grade"].budgets == ["50%", "all"] and tables["grade"].headline == "quadratic_kappa"
    assert in_order("baa", "abca") == ["a", "b"]


def test_budgets_rise(rows):
    grade = [row for row in rows if row["task"] == "grade"]
    names = ["all", "50%", "8/class", "25%", "16/class"]
    more = [row | {"budget": name} for name in names for row in grade if row["budget"] == "all"]
    assert tables_of(more)["grade"].budgets == ["8/class", "16/class", "25%", "50%", "all"]


def test_trainings_by_several_seeds_are_one_row_and_the_cells_are_those_of_the_table(rows):
    for table in tables_of(rows).values():
        for (name, head, budget, metric), cell in table.rows.items():
            found = _among(rows, task=table.name, representation=name, head=head, budget=budget, metric=metric)
            assert [cell] == found
            assert cell["trainings"] == TRAININGS.get(name, [])


def test_a_failed_cell_has_its_reason_and_an_undefined_one_too(rows):
    table = tables_of(rows)["subtype"]
    assert table.failures() == [("colour", "abmil", FAILURE)]
    part = next(row for row in rows if row["task"] == "grade" and row["budget"] == "50%" and row["headline"])
    with_one = [row | ({"failure": FAILURE, "value": None} if row is part else {}) for row in rows]
    told = (part["representation"], f"{part['head']} trained on 50%", FAILURE)
    assert tables_of(with_one)["grade"].failures() == [told]
    assert missing_value(table.cell("colour", "abmil")) == f"failed: {FAILURE}"
    assert missing_value(table.cell("mean", "abmil")) == ""
    undefined = table.cell("mean", "abmil") | {"value": NAN, "n_defined": 0}
    assert missing_value(undefined) == f"not defined in any of {REPEATS} repeats"


def test_metrics_of_which_less_is_better_are_named(rows):
    named = ("brier", "calibration_error", "integrated_brier")
    assert smaller_is_better(rows) == [METRICS[name].label for name in named]


def test_the_control_counts_the_intervals_that_hold_chance(rows):
    table = tables_of(rows)[PERMUTED]
    cells = [table.cell(name, "logistic") for name in REPRESENTATIONS]
    holding = sum(cell["ci_low"] <= 0.5 <= cell["ci_high"] for cell in cells)
    assert f"holds chance (0.5) in {holding} of 4 cells" in control(table)
    for name in REPRESENTATIONS[:2]:
        table.cell(name, "logistic").update(ci_low=0.51, ci_high=0.9)
    table.cell("dino", "logistic").update(ci_low=NAN, ci_high=NAN)
    holding = table.cell("slpd", "logistic")["ci_low"] <= 0.5 <= table.cell("slpd", "logistic")["ci_high"]
    assert f"in {int(holding)} of 3 cells" in control(table)


def test_the_control_of_a_kind_whose_headline_has_no_chance_is_read_by_another_metric():
    def row(name, metric, low, high):
        facts = {"task": "age", "kind": "regression", "representation": name, "head": "ridge", "budget": "all"}
        facts |= {"primary": True, "metric": metric, "headline": metric == "r2", "failure": None}
        return facts | {"value": (low + high) / 2, "ci_low": low, "ci_high": high}

    rows = [row("mean", "r2", -0.6, -0.1), row("slpd", "r2", -0.9, -0.2)]
    rows += [row("mean", "spearman", -0.2, 0.3), row("slpd", "spearman", 0.1, 0.5)]
    (table,) = task_tables(rows, ["age"], REPRESENTATIONS)
    assert control(table).startswith(
        "R squared has no value of chance, so Spearman correlation is looked at. The 95 % interval of Spearman "
        "correlation holds chance (0.0) in 1 of 2 cells of representation and head."
    )
    (table,) = task_tables(rows[:2], ["age"], REPRESENTATIONS)
    assert control(table).endswith("No cell of representation and head has an interval of Spearman correlation.")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_metric_with_a_value_of_chance(kind):
    metric = KINDS[kind].of_chance
    assert (
        KINDS[kind].metrics[metric].chance == {"auc": 0.5, "quadratic_kappa": 0, "c_index": 0.5, "spearman": 0}[metric]
    )


def test_pairs_are_those_asked_for_by_the_headline_and_all_training_patients(rows, comparisons):
    table = tables_of(rows)["grade"]
    pairs = pairs_of(table, "logistic", comparisons, PAIRS)
    assert [pair[:2] for pair in pairs] == PAIRS
    for pair in pairs:
        (row,) = _among(
            comparisons, task="grade", budget="all", metric="quadratic_kappa", first=pair.first, second=pair.second
        )
        assert pair.row == row
    assert [pair[:2] for pair in pairs_of(table, "logistic", comparisons, [])] == PAIRS


def test_a_pair_with_a_failed_cell_is_not_compared_and_says_why(rows, comparisons):
    table = tables_of(rows)["subtype"]
    pair = pairs_of(table, "abmil", comparisons, PAIRS)[-1]
    assert pair.row is None and pair.verdict == "not compared" and pair.why == f"colour failed: {FAILURE}"
    told = sentence(table, "abmil", pair)
    assert told.says == "slpd and colour are not compared" and told.numbers == pair.why
    (absent,) = pairs_of(table, "logistic", [], [("slpd", "titan")])
    assert absent.why == "titan has no result"


@pytest.mark.parametrize(("verdict", "says"), [
    ("better", "dino is better than mean (one training of dino)"),
    ("worse", "dino is worse than mean (one training of dino)"),
    ("not shown", "no difference shown between dino and mean (one training of dino)"),
])  # fmt: skip
def test_a_sentence_says_what_the_verdict_says(rows, comparisons, verdict, says):
    table = tables_of(rows)["survival"]
    (row,) = _among(comparisons, task="survival", metric="c_index", first="dino", second="mean")
    row |= {"verdict": verdict, "difference": 0.1234, "low": -0.2, "high": 0.3, "p_holm": 0.0312, "comparisons": 4}
    pair = next(pair for pair in pairs_of(table, "cox", comparisons, PAIRS) if pair[:2] == ("dino", "mean"))
    told = sentence(table, "cox", pair)
    assert (told.verdict, told.says) == (verdict, says)
    assert "difference +0.123 [−0.200,\u00a0+0.300], p\u00a0=\u00a00.031 corrected for 4 comparisons" in told.numbers
    row |= {"low": NAN, "high": NAN, "p_holm": NAN}
    assert sentence(table, "cox", pair).numbers.endswith("whose interval and p value are not defined")


def test_of_how_many_trainings_values_and_verdicts_are_is_said_beside_them(rows, comparisons):
    table = tables_of(rows)["survival"]
    says = {
        pair[:2]: sentence(table, "cox", pair).says.partition(" (")[2]
        for pair in pairs_of(table, "cox", comparisons, [])
    }
    assert says == {
        ("slpd", "dino"): "2 trainings of slpd, one of dino)",
        ("slpd", "mean"): "2 trainings of slpd)",
        ("dino", "mean"): "one training of dino)",
        ("slpd", "colour"): "2 trainings of slpd)",
    }
    assert trainings_note([table]) == "By seeds of pretraining, mean of 2 trainings: slpd; one training: dino."
    assert dict(denominators(table, {}))["Seeds"] == "heads 1; pretraining 2 (slpd); 1 (dino)"
    text = result_text(rows, [row | {"verdict": "better", "p_holm": 0.01} for row in comparisons if row["primary"]])
    assert "slpd is better than dino (2 trainings of slpd, one of dino) in C-index by" in text
    assert {line.endswith("one training") for line in text.splitlines() if "  dino " in line} == {True}
    assert not [line for line in text.splitlines() if "  mean  " in line and "training" in line]
    untrained = [row | {"trainings": []} for row in rows]
    assert trainings_note(tables_of(untrained).values()) == ""


def test_the_family_is_named_with_all_its_tasks(rows, comparisons):
    tables = tables_of(rows)
    assert "8 pairs of representations with head logistic by the headline metrics of grade and subtype" in family_text(
        tables["subtype"], "logistic", comparisons
    )
    assert "4 pairs of representations with head cox by C-index in task survival" in family_text(
        tables["survival"], "cox", comparisons
    )
    assert "3 pairs" in family_text(tables["subtype"], "abmil", comparisons)  # one cell failed
    assert family_text(tables["subtype"], "logistic", []) == ""


def test_the_best_is_marked_only_where_it_beats_the_second_in_a_named_pair(rows, comparisons):
    table = tables_of(rows)["subtype"]
    for name, value in zip(REPRESENTATIONS, (0.7, 0.5, 0.9, 0.8), strict=True):  # slpd before dino before mean
        table.cell(name, "logistic")["value"] = value
    for row in comparisons:
        row["verdict"] = "not shown"

    def marked():
        return shown_best(table, "logistic", pairs_of(table, "logistic", comparisons, []))

    (between,) = _among(comparisons, task="subtype", head="logistic", metric="auc", first="slpd", second="dino")
    (other,) = _among(comparisons, task="subtype", head="logistic", metric="auc", first="slpd", second="mean")
    assert marked() is None
    other["verdict"] = "better"
    assert marked() is None  # it beats the third, not the second
    between["verdict"] = "better"
    assert marked() == "slpd"
    between |= {"first": "dino", "second": "slpd", "verdict": "worse"}
    assert marked() == "slpd"
    between["verdict"] = "better"  # against what the values say
    assert marked() is None
    comparisons.remove(between)
    assert marked() is None


def test_of_an_error_the_smallest_is_the_best(rows, comparisons):
    table = tables_of(rows)["subtype"]
    table = type(table)(**{**vars(table), "headline": "brier"})
    cells = table.cells("logistic")
    for row in comparisons:
        row |= {"headline": row["metric"] == "brier", "verdict": "not shown"}
    for name, value in zip(REPRESENTATIONS, (0.3, 0.4, 0.1, 0.2), strict=True):
        cells[name]["value"] = value
    (between,) = _among(comparisons, task="subtype", head="logistic", metric="brier", first="slpd", second="dino")
    between["verdict"] = "better"
    assert shown_best(table, "logistic", pairs_of(table, "logistic", comparisons, PAIRS)) == "slpd"


def _within():
    """Pairs of patients of two classes in one fold, mean over the two deals; a patient's class is its number's."""
    found = 0
    for repeat in range(REPEATS):
        deal = np.random.default_rng(repeat).permutation(PATIENTS) % 5
        for fold in range(5):
            inside = np.flatnonzero(deal == fold)
            found += (inside % 2 == 0).sum() * (inside % 2 == 1).sum()
    return round(found / REPEATS)


def test_the_comparable_pairs_of_a_c_index_are_told(rows, inputs):
    """Counted by hand: within a fold, of two patients of different times, the earlier one has an event."""
    found = 0
    for repeat, fold in product(range(REPEATS), range(5)):
        inside = np.flatnonzero(np.random.default_rng(repeat).permutation(PATIENTS) % 5 == fold)
        found += sum(EVENT[i] and TIME[i] < TIME[j] for i, j in product(inside, inside))
    facts = dict(denominators(tables_of(rows)["survival"], inputs.splits("survival").facts))
    assert facts["Pairs of cases that C-index compares"] == f"{round(found / REPEATS)} a repeat"
    assert {row["n_pairs"] for row in rows if row["metric"] == "quadratic_kappa"} == {None}
    assert "Pairs of cases that quadratic kappa compares" not in dict(denominators(tables_of(rows)["grade"], {}))


def test_denominators_stand_beside_the_numbers(rows, inputs):
    table, splits = tables_of(rows)["subtype"], inputs.splits("subtype")
    facts = dict(denominators(table, splits.facts))
    slides = PATIENTS + math.ceil(PATIENTS / 10)
    tested = f"{PATIENTS} patients (adeno {PATIENTS // 2}, squamous {PATIENTS // 2}), {slides} slides"
    assert facts == {
        "Tested": f"{tested}; smallest group {PATIENTS // 2} patients",
        "Left out": "4 slides: no label 1, not usable 3",
        "Scored by": "patient; predictions of its slides averaged",
        "Positive class": "squamous: sensitivity, average precision and AUC are of it, specificity is of adeno",
        "Pairs of cases that AUC compares": f"{(PATIENTS // 2) ** 2} (logistic); {_within()} (abmil) a repeat",
        "Splits": f"{REPEATS} × 5 folds",
        "Folds put together": "pooled over folds (logistic); within folds (abmil)",
        "Repeats in which it is defined": f"all {REPEATS} repeats in every cell",
        "Seeds": "heads 1 (logistic); 2 (abmil); pretraining 2 (slpd); 1 (dino)",
        "Test slides that pretraining saw": (
            f"0 of {slides} unless its encoder did (mean, colour); {slides} of {slides} (slpd, dino)"
        ),
    }


def test_leaks_unknown_slides_and_undefined_repeats_are_told(rows, inputs):
    table = tables_of(rows)["subtype"]
    for row in table.rows.values():
        row["level"] = "slide"
    table.cell("mean", "abmil")["n_defined"] = 1
    leak = {"patients": 12, "in_validation": 0}
    splits = inputs.splits("subtype").facts | {
        "leaks": {"policy": "report", "splits": [leak, {"patients": 0, "in_validation": 0}]},
        "unknown": {"count": 7, "first": []},
    }
    facts = dict(denominators(table, splits))
    assert "patients in two parts of 1 of 2 splits, up to 12 in train and test: left in" in facts["Splits"]
    assert facts["Left out"].endswith("7 in the splits and not in the manifest")
    assert facts["Repeats in which it is defined"] == f"1 of {REPEATS} (mean, abmil); all in the other cells"
    assert facts["Scored by"].startswith("slide; folds, intervals and p values are by patient")


def test_only_a_task_of_two_classes_has_a_positive_one(rows, inputs):
    splits = inputs.splits("subtype").facts
    turned = dict(denominators(tables_of(rows)["subtype"], splits | {"classes": splits["classes"][::-1]}))
    assert turned["Positive class"].startswith("adeno: ") and turned["Positive class"].endswith(" of squamous")
    for task in ("grade", "survival"):
        assert "Positive class" not in dict(denominators(tables_of(rows)[task], inputs.splits(task).facts))


def test_what_to_compare_an_integrated_brier_score_with(rows, inputs):
    found = {
        name: dict(denominators(tables_of(rows)[name], inputs.splits(name).facts)) for name in ("subtype", "survival")
    }
    curve = KaplanMeierFitter().fit(TIME, EVENT).survival_function_at_times(TIMES).to_numpy()
    told = f"{(curve * (1 - curve)).mean():.3f}: of the survival curve of all tested patients"
    assert found["survival"]["Integrated Brier score without skill"] == told
    assert "Integrated Brier score without skill" not in found["subtype"]


def test_a_task_of_which_all_failed_has_facts(rows):
    failed = [row for row in rows if row["failure"]]
    facts = dict(denominators(tables_of(failed)["subtype"], {}))
    assert facts["Tested"] == facts["Repeats in which it is defined"] == "not recorded"


def test_spreads_are_apart(rows):
    lines = {(line["head"], line["representation"]): line for line in spread_lines(tables_of(rows)["subtype"])}
    assert set(lines) == {(h, r) for h in ("logistic", "abmil") for r in REPRESENTATIONS} - {("abmil", "colour")}
    seeds = {key: math.isfinite(line["cell"]["sd_seeds"]) for key, line in lines.items()}
    trainings = {key: math.isfinite(line["cell"]["sd_trainings"]) for key, line in lines.items()}
    assert {key for key, there in seeds.items() if there} == {key for key in lines if key[0] == "abmil"}
    assert {key for key, there in trainings.items() if there} == {key for key in lines if key[1] == "slpd"}
    assert lines["logistic", "slpd"]["trainings"] == "slpd and slpd-seed1"
