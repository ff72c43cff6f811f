from pathlib import Path

from workflow_scripts.config import Task
from workflow_scripts.core.manifest import SlideRow
from workflow_scripts.report.inputs import Results
from workflow_scripts.report.manifest_columns import few_valued, label_columns_of
from workflow_scripts.report.settings import ReportSettings
from workflow_scripts.report.slide_table import manifest_cells


def _rows(count, **columns):
    return [
        SlideRow(f"s{n}", f"{n}.svs", f"p{n}", None, {name: value(n) for name, value in columns.items()})
        for n in range(count)
    ]


def test_columns_of_few_values_are_taken_and_those_of_one_or_of_many_are_not():
    rows = _rows(
        60,
        site=lambda n: f" {'ABC'[n % 3]} ",
        scanner=lambda n: ("GT450", "NA", "", "S60")[n % 4],
        same=lambda n: "x",
        name=lambda n: f"n{n}",
        age=lambda n: str(20 + n % 21),
        label=lambda n: str(n % 2),
    )
    found = few_valued(rows, {"label"})
    assert list(found) == ["site", "scanner"]
    assert found["site"]["s4"] == "B" and set(found["scanner"]) == {f"s{n}" for n in range(60) if n % 4 in (0, 3)}


def test_of_a_small_cohort_no_column_counts_that_tells_every_slide_apart():
    assert few_valued(_rows(5, batch=lambda n: str(n % 2), name=str, most=lambda n: str(n % 3)), ()) == {
        "batch": {f"s{n}": str(n % 2) for n in range(5)}
    }


def test_no_more_than_a_dozen_are_taken_in_the_order_of_the_manifest():
    columns = {f"c{i}": lambda n: str(n % 2) for i in range(30)}
    assert list(few_valued(_rows(8, **columns), ())) == [f"c{i}" for i in range(12)]


def test_labels_of_tasks_are_told_elsewhere_but_for_those_of_controls_and_of_other_files():
    tasks = [
        Task(kind="classification", label="a"),
        Task(kind="classification", label="b", permuted=True),
        Task(kind="classification", label="c", table="labels.csv"),
        Task(kind="survival", time="days", event="dead"),
    ]
    assert label_columns_of(tasks) == {"a", "days", "dead"}


def test_the_table_of_slides_has_them_of_both_cohorts(tmp_path: Path):
    manifests = tmp_path / "slides.csv", tmp_path / "test.csv"
    for path, letter in zip(manifests, "ab", strict=True):
        lines = [f"{letter}{n},{letter}{n}.svs,{'XY'[n % 2]},{n % 2}" for n in range(4)]
        path.write_text("\n".join(["slide_id,path,site,subtype", *lines, ""]))
    settings = ReportSettings(
        cohort="c", representations=["mean"], encoder="e", tasks={"t": Task(kind="classification", label="subtype")}
    )
    (column,), cells = manifest_cells(Results(tmp_path, manifests), settings)
    assert (column.title, column.chosen, column.detail) == ("site", True, True)
    assert cells["b1"] == {"manifest.site": "Y"} and len(cells) == 8
    assert manifest_cells(Results(tmp_path), settings) == ([], {})
