import numpy as np
import pyarrow as pa

from workflow_scripts.core import schemas
from workflow_scripts.core.tables import write_table
from workflow_scripts.report.inputs import Results
from workflow_scripts.report.training import join_parts


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
