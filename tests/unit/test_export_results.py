"""Exported results, read back as CSV, Markdown and LaTeX and held against the tables they come from."""

import csv
import io
import json
import re

import pytest

from tests.unit.report.results_folder import PERMUTED, REPRESENTATIONS, TASKS, with_a_clear_best, write_benchmark
from workflow_scripts.core.tables import read_table
from workflow_scripts.export_results import main
from workflow_scripts.report.paper_tables import Column, PaperTable, Value, escaped, latex_text, markdown_text

FILES = ("results.csv", "comparisons.csv", "sets.csv", "results.md", "results.tex")


def _export(folder, output, spread="interval"):
    config = {"spread": spread, "tasks": list(TASKS), "representations": REPRESENTATIONS, "controls": [PERMUTED]}
    tables = [f"--{name}={folder}/benchmark/{name}.parquet" for name in ("results", "comparisons", "sets")]
    main(["--config", json.dumps(config), *tables, "--output", str(output)])
    return {name: (output / name).read_text(encoding="utf-8") for name in FILES}


@pytest.fixture(scope="module")
def texts(results_folder, tmp_path_factory):
    return _export(results_folder, tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def rows(results_folder):
    return read_table(results_folder / "benchmark/results.parquet").to_pylist()


def _same(text, value):
    if isinstance(value, list):
        parts = text.split(";") if value else []
        return len(parts) == len(value) and all(map(_same, parts, value))
    if value is None or value != value:
        return text == ""
    return float(text) == value if isinstance(value, float) else text == str(value)


@pytest.mark.parametrize("name", ["results", "comparisons"])
def test_csv_holds_every_value_in_full(results_folder, texts, name):
    table = read_table(results_folder / f"benchmark/{name}.parquet").to_pylist()
    read = list(csv.DictReader(io.StringIO(texts[f"{name}.csv"])))
    assert len(read) == len(table) > 20
    for line, row in zip(read, table, strict=True):
        assert list(line) == list(row)
        assert all(_same(line[key], value) for key, value in row.items())


def _markdown_tables(text):
    """Header and rows of each table."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        lines = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in block.splitlines()]
        assert set(lines[1]) == {"---"} and len({len(line) for line in lines}) == 1
        found.append((lines[0], {line[0]: line[1:] for line in lines[2:]}))
    return found


def _numbers(text):
    plain = text.replace("−", "-").replace("$-$", "-").replace("~", " ")
    return [float(value) for value in re.findall(r"-?\d+\.\d+", plain)]


def _wanted(rows, task, name, head):
    mine = [r for r in rows if (r["task"], r["representation"], r["head"], r["budget"]) == (task, name, head, "all")]
    return next(row for row in mine if row["headline"])


TRUE = [task for task in TASKS if task != PERMUTED]
HEAD = {"subtype": "logistic", PERMUTED: "logistic", "grade": "logistic", "survival": "cox"}


def test_markdown_has_a_column_a_task_and_then_one_a_head(texts, rows):
    (header, lines), (heads, by_head), (control, dealt) = _markdown_tables(texts["results.md"])
    assert [cell.split(" ")[0] for cell in header[1:-1]] == TRUE and list(lines) == REPRESENTATIONS
    assert heads[1:-1] == ["logistic", "abmil"] and control[1].split(" ")[0] == PERMUTED and list(dealt) == list(lines)
    for name, cells in lines.items():
        for task, cell in zip([*TRUE, PERMUTED], [*cells[:-1], dealt[name][0]], strict=True):
            row = _wanted(rows, task, name, HEAD[task])
            assert _numbers(cell) == pytest.approx([row[k] for k in ("value", "ci_low", "ci_high")], abs=0.00051)
    assert by_head["colour"][1] == "failed" and all(_numbers(by_head[name][1]) for name in ("mean", "slpd", "dino"))


def _latex_tables(text):
    """Column letters and rows of each tabular."""
    pattern = r"\\begin\{tabular\}\{l(c+)l\}\n\\toprule\n(.*?)\\midrule\n(.*?)\\bottomrule\n\\end\{tabular\}"
    found = re.findall(pattern, text, flags=re.DOTALL)
    for letters, header, body in found:
        rows = [line.removesuffix(r" \\").split(" & ") for line in (header + body).splitlines()]
        assert all(len(row) == len(letters) + 2 for row in rows)
        yield rows[header.count("\n") :]


def test_latex_is_balanced_and_holds_the_same_numbers(texts, rows):
    text = texts["results.tex"]
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 3
    assert text.count("{") == text.count("}") and text.isascii()
    overview, heads, dealt = _latex_tables(text)
    assert [row[0] for row in overview] == [row[0] for row in heads] == REPRESENTATIONS
    for row in overview:
        own = next(other for other in dealt if other[0] == row[0])
        for task, cell in zip([*TRUE, PERMUTED], [*row[1:-1], own[1]], strict=True):
            wanted = _wanted(rows, task, row[0], HEAD[task])
            assert _numbers(cell) == pytest.approx([wanted[k] for k in ("value", "ci_low", "ci_high")], abs=0.00051)


def test_the_spread_of_the_test_parts_can_stand_in_place_of_the_interval(results_folder, tmp_path, rows):
    texts = _export(results_folder, tmp_path, "folds")
    (_, lines), *_ = _markdown_tables(texts["results.md"])
    row = _wanted(rows, "subtype", "mean", "logistic")
    assert lines["mean"][0] == f"{row['value']:.3f} ± {row['sd_folds']:.3f}" and "[" not in lines["mean"][0]
    assert "± standard deviation between test parts" in texts["results.md"]
    assert r"$\pm$" in texts["results.tex"] and texts["results.csv"] == _export(results_folder, tmp_path)["results.csv"]


def test_only_the_head_of_claims_has_a_best(results_folder, tmp_path):
    rows, pairs = (
        read_table(results_folder / f"benchmark/{n}.parquet").to_pylist() for n in ("results", "comparisons")
    )
    with_a_clear_best(rows, pairs)
    write_benchmark(tmp_path, rows, pairs)
    text = _export(tmp_path, tmp_path)["results.md"]
    (_, overview), (_, heads), _ = _markdown_tables(text)
    assert overview["slpd"][0].startswith("**0.900**") and heads["slpd"][0].startswith("**0.900**")
    assert heads["slpd"][1].startswith("0.900") and text.count("**") == 4


def test_what_pretraining_saw_of_the_test_stands_beside_every_value(results_folder, tmp_path, texts):
    for _, lines in _markdown_tables(texts["results.md"]):
        assert {name: cells[-1] for name, cells in lines.items()} == {
            "mean": "none", "colour": "none", "slpd": "all", "dino": "all",
        }  # fmt: skip
    for table in _latex_tables(texts["results.tex"]):
        assert [row[-1] for row in table] == ["none", "none", "all", "all"]
    assert texts["results.md"].count("what patch encoders and encoders of other tools have seen is not known") == 3
    rows, pairs = (
        read_table(results_folder / f"benchmark/{n}.parquet").to_pylist() for n in ("results", "comparisons")
    )
    for row in rows:
        if (row["task"], row["representation"]) == ("grade", "dino"):
            row |= {"n_test_seen": 3, "n_tested": 9}
    write_benchmark(tmp_path, rows, pairs)
    (_, overview), *_ = _markdown_tables(_export(tmp_path, tmp_path)["results.md"])
    assert overview["dino"][-1] == "all (subtype, survival); 3 of 9 (grade)"


def test_controls_stand_apart_and_are_held_against_chance(texts):
    *_, control = texts["results.md"].split("\n\n| representation")
    caption = texts["results.md"].split("\n\n| representation")[-2].splitlines()[-1]
    assert caption.startswith("Controls of the benchmark, 95 % interval in brackets. subtype-permuted: ")
    assert "labels are dealt to the patients by chance" in caption and "of AUC holds chance (0.5) in" in caption
    assert "In bold" not in caption and PERMUTED in control
    assert PERMUTED not in texts["results.md"].split("\n\n| representation")[1]


def _table(best):
    cells = [Value("0.900", "[0.8, 1.0]", best), Value("–", "", False)]
    return PaperTable(
        "50 % of a_b & c\\d^2 ~ {x} #1 $", "t", ["my_run", "a|b"], [Column("a_b", "knn", cells)], ["none", "3 of 9"]
    )


def test_bold_is_what_is_shown_to_be_best():
    for best in (True, False):
        assert ("**0.900** [0.8, 1.0]" in markdown_text([_table(best)])) == best
        assert (r"\textbf{0.900} [0.8, 1.0]" in latex_text([_table(best)])) == best


def test_signs_of_both_languages_are_escaped():
    assert r"| a\|b | – | 3 of 9 |" in markdown_text([_table(False)])
    text = latex_text([_table(False)])
    assert r"\caption{50 \% of a\_b \& c\textbackslash{}d\textasciicircum{}2 \textasciitilde{} \{x\} \#1 \$}" in text
    assert r"my\_run & 0.900 [0.8, 1.0] & none \\" in text and r" & a\_b &  \\" in text
    assert escaped("−0.1–0.2 ± 3 × 4") == r"$-$0.1--0.2 $\pm$ 3 $\times$ 4"


def test_without_a_task_the_tables_say_so():
    assert markdown_text([]) == "Nothing was benchmarked.\n" and "tabular" not in latex_text([])
