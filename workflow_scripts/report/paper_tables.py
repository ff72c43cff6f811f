"""Results as CSV, and as tables for a paper in Markdown and LaTeX: representations are rows, tasks or heads columns."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from workflow_scripts.core.tasks import LIKENESSES
from workflow_scripts.report.claims import pairs_of, shown_best
from workflow_scripts.report.results import Row, TaskTable, chance_cells, control, retrieval_note, trainings_note
from workflow_scripts.report.wording import counted, interval, known, metric_facts, metric_name, number

Spread = Literal["interval", "folds"]
_SPREADS = {"interval": "95 % interval in brackets", "folds": "± standard deviation between test parts"}
_BEST = "In bold: the best, where it is shown to beat the second best after correction (Holm)."
_CONTROL = "Control: the labels are dealt to the patients by chance, so that nothing can be learnt."
_SEEN_HEADING = "test slides seen in pretraining"
_SEEN = (
    "Seen: test slides that pretraining in this workflow took, without their labels; what patch encoders and encoders "
    "of other tools have seen is not known here."
)
_LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "–": "--",
    "±": r"$\pm$",
    "×": r"$\times$",
    "\u00a0": "~",
}


class Value(NamedTuple):
    """A cell: its value and spread as text, and whether it is shown to be the best."""

    text: str
    spread: str
    best: bool


class Column(NamedTuple):
    """A column: the line above, its own heading, and its cells in the order of the representations."""

    group: str
    heading: str
    cells: list[Value]


class PaperTable(NamedTuple):
    """A table of a paper: its caption, the name that it is referred to by, representations, columns, and for each
    representation what its pretraining saw of the test slides."""

    caption: str
    label: str
    representations: list[str]
    columns: list[Column]
    seen: list[str]


def csv_text(table: pa.Table) -> str:
    """A table as CSV with a header: floats in full, null and NaN empty, lists joined by semicolons."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows([_plain(value) for value in row.values()] for row in table.to_pylist())
    return buffer.getvalue()


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ";".join(_plain(one) for one in value)
    return "" if value is None or value != value else str(value)  # only NaN is not itself


def paper_tables(
    tables: Sequence[TaskTable],
    comparisons: list[Row],
    wanted: list[tuple[str, str]],
    spread: Spread,
    controls: Sequence[str],
) -> list[PaperTable]:
    """All tasks with the head that claims are made of, then each with all its heads; last, and apart, the controls.

    Args:
        tables: results of the tasks.
        comparisons: rows of `schemas.COMPARISONS`.
        wanted: pairs that are compared.
        spread: what stands beside a value.
        controls: names of the tasks whose labels are dealt by chance.
    """

    def best(table: TaskTable, head: str) -> str | None:
        pairs = pairs_of(table, head, comparisons, wanted)
        return shown_best(table, head, pairs) if head == table.primary and table.name not in controls else None

    def made(of: list[TaskTable], label: str, first: str, last: str, heads: bool = False) -> PaperTable:
        parts = [(t, t.primary, t.name, f"{t.metric}, {t.primary}") for t in of]
        parts = [(of[0], head, "", head) for head in of[0].heads] if heads else parts
        every = dict.fromkeys(name for table in of for name in table.representations)
        names = [name for name in every if any(table.cell(name, head) for table, head, *_ in parts)]
        columns = [
            Column(group, heading, [_value(t.cell(name, h), name == best(t, h), spread) for name in names])
            for t, h, group, heading in parts
        ]
        caption = f"{first}, {_SPREADS[spread]}. {_notes(of)} {last} {_SEEN}"
        return PaperTable(caption, label, names, columns, [_seen(of, name) for name in names])

    true, dealt = ([table for table in tables if (table.name in controls) == chance] for chance in (False, True))
    found = [made(true, "tasks", "Expected performance in the tasks of the benchmark", _BEST)] if true else []
    told = " ".join([_CONTROL, *(f"{table.name}: {control(table)}" for table in dealt)])
    apart = [made(dealt, "controls", "Controls of the benchmark", told)] if dealt else []
    for table in (one for one in tables if len(one.heads) > 1):
        last = _CONTROL if table in dealt else f"{_BEST} Claims are made of head {table.primary} alone."
        first, place = f"{table.metric} in task {table.name}", apart if table in dealt else found
        place.append(made([table], table.name, first, last, heads=True))
    return found + apart


def retrieval_papers(tables: Sequence[TaskTable], controls: Sequence[str]) -> list[PaperTable]:
    """A table for each task and likeness: what is retrieved by each representation, and the last row what chance would.

    Args:
        tables: results of retrieval.
        controls: names of the tasks whose labels are dealt by chance, which come last.
    """
    found = []
    for table in sorted(tables, key=lambda one: one.name in controls):
        for likeness in table.heads:
            names, chance = list(table.cells(likeness)), chance_cells(table)
            columns = [
                Column(
                    "",
                    metric_name(metric),
                    [_value(table.cell(name, likeness, metric), False, "interval") for name in names]
                    + [Value(number(value), "", False)],
                )
                for metric, value in chance.items()
            ]
            told = f"{_CONTROL} " if table.name in controls else ""
            caption = (
                f"Retrieval in task {table.name} by {LIKENESSES[likeness]}, {_SPREADS['interval']}. "
                f"{retrieval_note(table)}. {told}{trainings_note([table])} {_SEEN}"
            )
            seen = [_seen([table], name) for name in names]
            found.append(PaperTable(caption, f"{table.name}-{likeness}", [*names, "chance"], columns, [*seen, ""]))
    return found


def _seen(tables: Sequence[TaskTable], name: str) -> str:
    """What pretraining saw of the test slides of the tasks; by task where it is not the same."""
    told: dict[str, list[str]] = {}
    for table in tables:
        for row in table.rows.values():
            if row["representation"] == name:
                seen, tested = row["n_test_seen"], row["n_tested"]
                part = "none" if not seen else "all" if seen == tested else f"{seen} of {tested}"
                told.setdefault(part, []).append(table.name)
    if len(told) == 1:
        return next(iter(told))
    return "; ".join(f"{part} ({', '.join(dict.fromkeys(of))})" for part, of in told.items())


def _notes(tables: Sequence[TaskTable]) -> str:
    """Denominators and direction of each task, and of how many trainings the values are."""
    return " ".join(filter(None, [*(f"{_note(table)}." for table in tables), trainings_note(tables)]))


def _note(table: TaskTable) -> str:
    row = next((row for row in table.cells(table.primary).values() if not row["failure"]), None)
    if row is None:
        return f"{table.name}: no result"
    tested = "slides" if row["level"] == "slide" else "patients"
    aside = "" if metric_facts(table.headline).larger_is_better else ", smaller is better"
    splits = str(row["splits"]).replace(" x ", " × ")
    count = row["n_slides"] if row["level"] == "slide" else row["n_patients"]
    return (
        f"{table.name}: {count} {tested}, {counted(row['smallest_group'], 'patient')} in the smallest group, {splits}, "
        f"{row['aggregation']}{aside}"
    )


def _value(row: Row | None, best: bool, spread: Spread) -> Value:
    if row is None or row["failure"] or not known(row["value"]):
        return Value("failed" if row and row["failure"] else "–", "", False)
    beside = interval(row["ci_low"], row["ci_high"])
    if spread == "folds":
        beside = f"± {number(row['sd_folds'])}" if known(row["sd_folds"]) else ""
    return Value(number(row["value"]), beside, best)


def markdown_text(tables: Sequence[PaperTable]) -> str:
    """Tables in Markdown, each after its caption."""
    return "\n".join(_markdown(table) for table in tables) or "Nothing was benchmarked.\n"


def _markdown(table: PaperTable) -> str:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    headings = [f"{one.group} ({one.heading})" if one.group else one.heading for one in table.columns]
    headings = ["representation", *headings, _SEEN_HEADING]
    lines = [table.caption, "", line(headings), line(["---"] * len(headings))]
    for place, name in enumerate(table.representations):
        cells = [one.cells[place] for one in table.columns]
        lines.append(line([name, *(_joined(cell, lambda text: f"**{text}**") for cell in cells), table.seen[place]]))
    return "\n".join([*lines, ""])


def _joined(cell: Value, bold: Callable[[str], str]) -> str:
    return f"{bold(cell.text) if cell.best else cell.text} {cell.spread}".strip()


def latex_text(tables: Sequence[PaperTable]) -> str:
    r"""Tables in LaTeX for `\input`; they need the package booktabs."""
    return "\n".join([r"% \usepackage{booktabs}", *(_latex(table) for table in tables)]) + "\n"


def escaped(text: str) -> str:
    """Text in which LaTeX sees no command."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _latex(table: PaperTable) -> str:
    def line(cells: list[str]) -> str:
        return " & ".join(cells) + r" \\"

    groups, headings = ([escaped(getattr(one, key)) for one in table.columns] for key in ("group", "heading"))
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{escaped(table.caption)}}}", rf"\label{{tab:{table.label}}}"]
    lines += [rf"\begin{{tabular}}{{l{'c' * len(groups)}l}}", r"\toprule"]
    lines += [line(["", *groups, ""])] if any(groups) else []
    lines += [line(["representation", *headings, _SEEN_HEADING]), r"\midrule"]
    for place, name in enumerate(table.representations):
        cells = [_latex_cell(one.cells[place]) for one in table.columns]
        lines.append(line([escaped(name), *cells, escaped(table.seen[place])]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _latex_cell(cell: Value) -> str:
    parts = cell._replace(text=escaped(cell.text), spread=escaped(cell.spread))
    return _joined(parts, lambda text: rf"\textbf{{{text}}}")
