"""What `slpd show` prints of a cohort's results."""

import pytest

from tests.unit.report.results_folder import FAILURE, TASKS, write_benchmark
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_table, write_table
from workflow_scripts.show_results import main


def _tables(folder):
    return [read_table(folder / f"benchmark/{name}.parquet").to_pylist() for name in ("results", "comparisons")]


@pytest.fixture
def folder(results_folder, tmp_path):
    """The tables that the command reads, which may be changed."""
    (tmp_path / "slides.parquet").write_bytes((results_folder / "slides.parquet").read_bytes())
    write_benchmark(tmp_path, *_tables(results_folder))
    return tmp_path


def _told(folder, capsys):
    main([str(folder)])
    return capsys.readouterr().out


def test_the_headline_of_every_cell_is_told_with_its_interval(folder, capsys):
    told, (rows, _) = _told(folder, capsys), _tables(folder)
    assert "20 of 24 slides used" in told and f"Report: {folder / 'report.html'}" in told
    for row in rows:
        value = f"{row['value']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]" if not row["failure"] else FAILURE
        facts = [row[key] for key in ("task", "head", "representation", "budget", "metric")]
        lines = [line for line in told.splitlines() if line.split()[:5] == facts]
        assert any(value in line for line in lines) == row["headline"], facts
    assert {line.split()[0] for line in told.splitlines() if " all " in line} == set(TASKS)


def test_differences_are_told_of_the_primary_head_alone(folder, capsys):
    rows, pairs = _tables(folder)
    for pair in pairs:
        pair["verdict"] = pair["verdict"] and ("better" if pair["head"] == "abmil" else "not shown")
    assert sum(pair["verdict"] == "better" for pair in pairs) == 3
    write_benchmark(folder, rows, pairs)
    told = _told(folder, capsys)
    assert "is better than" not in told and "No difference between representations is shown." in told
    (one,) = [
        p for p in pairs if (p["task"], p["first"], p["second"], p["metric"]) == ("survival", "dino", "mean", "c_index")
    ]
    one["verdict"] = "better"
    write_benchmark(folder, rows, pairs)
    told = _told(folder, capsys)
    assert (
        "survival, cox: dino is better than mean (one training of dino) in C-index" in told
        and "No difference between" not in told
    )


def test_agreement_of_prototypes_is_told_as_the_mean_of_a_runs_trainings(folder, capsys):
    rows, pairs = _tables(folder)
    write_benchmark(folder, rows, pairs)
    trained = {"slpd": (0.2, 0.4), "slpd-seed1": (0.5, 0.5), "dino-fold1": (0.1, 0.1)}
    left_over = {"slpd-seed2": (0.9, 0.9), "gone": (0.9, 0.9), "gone-fold0": (0.9, 0.9)}
    for run, indices in (trained | left_over).items():
        scored = [
            {"slide_id": name, "n_regions": 9, "n_classes": 2, "ari": ari, "ari_random": 0.0}
            for name, ari in zip("ab", indices, strict=True)
        ]
        write_table(folder / f"benchmark/textures_{run}.parquet", scored, schemas.TEXTURES)
    lines = [line.strip() for line in _told(folder, capsys).splitlines() if "true classes" in line]
    assert sorted(lines) == [
        "prototypes of dino-fold1 (one training) against the true classes: adjusted Rand index 0.100, chance 0.000",
        "prototypes of slpd (mean of 2 trainings) against the true classes: adjusted Rand index 0.400 (standard "
        "deviation 0.141), chance 0.000",
    ]


def test_no_task_and_no_results_are_told(folder, capsys):
    write_benchmark(folder, [], [])
    assert "No task is named under benchmark.tasks" in _told(folder, capsys)
    (folder / "benchmark/comparisons.parquet").unlink()
    with pytest.raises(UserError, match=r"has no benchmark/comparisons.parquet yet; run the workflow first"):
        main([str(folder)])
