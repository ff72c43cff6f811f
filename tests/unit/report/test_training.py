import numpy as np
import pyarrow as pa

from workflow_scripts.config import PretrainRun
from workflow_scripts.core import schemas
from workflow_scripts.core.tables import write_table
from workflow_scripts.report.inputs import Results
from workflow_scripts.report.training import join_parts, run_line, told_batch


def _table(steps, loss=1.0):
    columns = {name: np.full(len(steps), loss) for name in schemas.METRICS.names} | {
        "step": steps,
        "epoch": [0] * len(steps),
    }
    return pa.Table.from_pydict(columns, schema=schemas.METRICS)


def test_parts_are_joined_in_order():
    curve = join_parts([("warm-up", _table([0, 1, 2], 3.0)), ("round 1", _table([3, 4], 2.0))])
    assert curve["step"].tolist() == [0, 1, 2, 3, 4]
    assert curve["loss"].tolist() == [3, 3, 3, 2, 2]
    assert curve["starts"] == {"warm-up": 0, "round 1": 3}


def test_steps_that_start_again_are_moved_behind():
    curve = join_parts([("warm-up", _table([0, 1, 2])), ("round 1", _table([0, 1]))])
    assert curve["step"].tolist() == [0, 1, 2, 3, 4]


def test_no_metrics_give_an_empty_curve():
    assert len(join_parts([])["step"]) == 0


def test_a_round_handed_on_counts_once_and_an_absent_one_not_at_all(tmp_path):
    for name, table in {"w": _table([0]), "slpd/round_01": _table([1]), "slpd/round_02": _table([1])}.items():
        write_table(tmp_path / "pretrain" / name / "metrics.parquet", table, schemas.METRICS)
    assert [name for name, _ in Results(tmp_path).metrics("w", "slpd", 3)] == ["warm-up", "round 1"]


def test_the_divergence_is_the_cross_entropy_less_the_entropy_of_its_targets():
    table = _table([0, 1, 2, 3], 3.0)
    falling = table.set_column(table.schema.get_field_index("entropy_intra"), "entropy_intra", [[0.5, 1.0, 1.5, 2.0]])
    curve = join_parts([("warm-up", _table([0], 3.0)), ("round 1", falling)])
    np.testing.assert_allclose(curve["divergence_intra"], [0, 2.5, 2.0, 1.5, 1.0])  # while the cross-entropy stays
    line = run_line("slpd", PretrainRun(), 1, curve)
    assert line["divergences"] == [(0.0, 0.0), (2.5, 1.0), (0.0, 0.0)]


def test_metrics_without_the_entropy_of_prototype_targets_have_no_divergence_of_them():
    old = _table([0, 1], 3.0).drop_columns(["entropy_intra", "entropy_inter"])
    curve = join_parts([("round 1", old)])
    assert np.isnan(curve["divergence_intra"]).all() and curve["divergence_self"].tolist() == [0, 0]
    assert run_line("slpd", PretrainRun(), 1, curve)["divergences"][1:] == [None, None]


def test_minutes_are_of_the_regions_that_a_step_had_and_not_of_the_batch_asked_for():
    curve = join_parts([("warm-up", _table([0, 1, 2])), ("round 1", _table([3]))])
    curve["regions_per_s"] = np.array([161.0, 80.5, 161.0, 161.0])
    jobs = [{"run": "dino, slpd", "part": "warm-up", "batch": 161}, {"run": "other", "part": "round 1", "batch": 512}]
    found = [told_batch(run, jobs) for run in ("slpd", "other", "unheard-of")]
    assert found == [161, 512, None]
    line = run_line("slpd", PretrainRun(), 1, curve, found[0])
    assert (line["batch"], line["speed"]) == (161, 161.0)
    np.testing.assert_allclose(line["minutes"], (1 + 2 + 1 + 1) / 60)
    assert run_line("slpd", PretrainRun(), 1, curve)["minutes"] is None  # where no job tells its batch
