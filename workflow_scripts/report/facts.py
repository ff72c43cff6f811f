"""What stands beside a task's numbers: who was tested, who was left out, and how the numbers came about."""

from typing import Any

from workflow_scripts.report.results import Row, TaskTable
from workflow_scripts.report.wording import counted, known, listed, number

Facts = list[tuple[str, str]]
_NONE = "not recorded"


def denominators(table: TaskTable, splits: dict[str, Any]) -> Facts:
    """Name and text of each fact of a task.

    Args:
        table: its results.
        splits: metadata of its splits.parquet; empty where there is none.
    """
    row = next((row for row in table.rows.values() if not row["failure"]), next(iter(table.rows.values())))
    return [
        ("Tested", _tested(row, splits)),
        ("Left out", _left_out(row, splits)),
        ("Scored by", _level(row["level"], splits.get("slides_of_patient", ""))),
        *_positive_class(table, splits),
        *_pairs(table),
        *_without_skill(splits),
        ("Splits", _splits(row, splits)),
        ("Folds put together", _by_head(table, "aggregation")),
        ("Repeats in which it is defined", _defined(table)),
        ("Seeds", _seeds(table)),
        ("Test slides that pretraining saw", _seen(table)),
    ]


def _tested(row: Row, splits: dict[str, Any]) -> str:
    if row["n_patients"] is None:
        return _NONE
    counts = ", ".join(f"{name} {count}" for name, count in splits.get("counts", {}).items())
    whole = sum(splits.get("counts", {}).values()) == row["n_patients"]  # else some are learnt from alone
    groups = f" ({counts})" if len(splits.get("counts", {})) > 1 and whole else ""
    return (
        f"{counted(row['n_patients'], 'patient')}{groups}, {counted(row['n_slides'], 'slide')}; smallest group "
        f"{counted(row['smallest_group'], 'patient')}"
    )


def _left_out(row: Row, splits: dict[str, Any]) -> str:
    reasons = [f"{name.replace('_', ' ')} {count}" for name, count in splits.get("excluded", {}).items() if count]
    unknown = splits.get("unknown", {}).get("count", 0)
    told = f"{counted(row['n_excluded'], 'slide')}{': ' + ', '.join(reasons) if reasons else ''}"
    return f"{told}; {unknown} in the splits and not in the manifest" if unknown else told


def _level(level: str, slides_of_patient: str) -> str:
    if level == "slide":
        return "slide; folds, intervals and p values are by patient"
    ways = {"average": "; predictions of its slides averaged", "bag": "; all its slides are one bag"}
    return f"patient{ways.get(slides_of_patient, '')}"


def _positive_class(table: TaskTable, splits: dict[str, Any]) -> Facts:
    """Of which of two classes one-sided metrics speak, which is the last; nothing where no metric is of one."""
    classes = splits.get("classes", [])
    if len(classes) != 2 or "sensitivity" not in {metric for *_, metric in table.rows}:
        return []
    told = f"{classes[1]}: sensitivity, average precision and AUC are of it, specificity is of {classes[0]}"
    return [("Positive class", told)]


def _pairs(table: TaskTable) -> Facts:
    """How many pairs of cases the headline compares; nothing where it compares none."""
    told = _by_head(table, "n_pairs")
    return [] if told == _NONE else [(f"Pairs of cases that {table.metric} compares", f"{told} a repeat")]


def _without_skill(splits: dict[str, Any]) -> Facts:
    """What to compare an integrated Brier score with; nothing for other kinds of task."""
    value = splits.get("brier_without_skill")
    if value is None:
        return []
    return [("Integrated Brier score without skill", f"{number(value)}: of the survival curve of all tested patients")]


def _splits(row: Row, splits: dict[str, Any]) -> str:
    told = str(row["splits"] or _NONE).replace(" x ", " × ")
    leaks = splits.get("leaks", {})
    leaking = [leak for leak in leaks.get("splits", []) if leak["patients"] or leak["in_validation"]]
    if not leaking:
        return told
    most = max(leak["patients"] for leak in leaking)
    done = {"report": "left in, as asked for", "drop_from_train": "their slides dropped from training"}
    done["drop_from_test"] = "their slides dropped from the test"
    return (
        f"{told}; patients in two parts of {len(leaking)} of {len(leaks['splits'])} splits, up to {most} in train and "
        f"test: {done.get(leaks.get('policy', ''), 'refused')}"
    )


def _grouped(values: dict[str, str]) -> str:
    """Values with the names that have them: `a (x, y); b (z)`; the value alone where all have the same."""
    names: dict[str, list[str]] = {}
    for name, value in values.items():
        names.setdefault(value, []).append(name)
    if len(names) == 1:
        return next(iter(names))
    return "; ".join(f"{value} ({', '.join(of)})" for value, of in names.items())


def _by_head(table: TaskTable, key: str) -> str:
    """A fact of the headline by head, of the first cell of each that did not fail."""
    known_of = {head: [row[key] for row in table.cells(head).values() if row[key] is not None] for head in table.heads}
    return _grouped({head: str(values[0]) for head, values in known_of.items() if values}) or _NONE


def _defined(table: TaskTable) -> str:
    found = [(head, name, row) for head in table.heads for name, row in table.cells(head).items() if not row["failure"]]
    fewer = [(head, name, row) for head, name, row in found if row["n_defined"] < row["n_repeats"]]
    if not found:
        return _NONE
    if not fewer:
        return f"all {counted(found[0][2]['n_repeats'], 'repeat')} in every cell"
    told = [f"{row['n_defined']} of {row['n_repeats']} ({name}, {head})" for head, name, row in fewer]
    return f"{', '.join(told)}; all in the other cells"


def _seeds(table: TaskTable) -> str:
    counts = {name: table.trainings(name) for name in table.representations}
    told = _grouped({name: str(count) for name, count in counts.items() if count}) if any(counts.values()) else "none"
    return f"heads {_by_head(table, 'n_seeds')}; pretraining {told}"


def _seen(table: TaskTable) -> str:
    """Of the test slides of one deal: seen in this workflow's pretraining; of other encoders it is not known."""
    told = {}
    for row in table.rows.values():
        seen, tested = row["n_test_seen"], row["n_tested"]
        told[row["representation"]] = f"{seen} of {tested}" + ("" if seen else " unless its encoder did")
    return _grouped({name: told[name] for name in table.representations})


def spread_lines(table: TaskTable) -> list[Row]:
    """How the headline varies, a line a head and representation: the spreads, and the trainings whose mean it is."""
    return [
        {"head": head, "representation": name, "cell": row, "trainings": listed(row["trainings"]) or "–"}
        for head in table.heads
        for name, row in table.cells(head).items()
        if not row["failure"] and known(row["value"])
    ]
