import numpy as np
import pyarrow as pa

from workflow_scripts.config import PretrainRun
from workflow_scripts.core import schemas
from workflow_scripts.core.tables import write_table
from workflow_scripts.report.figures import known_any, rounds_figure, training_figure
from workflow_scripts.report.inputs import Results
from workflow_scripts.report.palette import line_styles
from workflow_scripts.report.training import join_parts, round_lines, run_line, told_batch
from workflow_scripts.slpd.explained import tissue_facts


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


def test_earlier_metrics_without_norms_have_no_panels_of_them():
    table = _table([0, 1], 3.0)
    old, styles = table.drop_columns(["gradient_norm", "weight_norm"]), line_styles(["slpd"])
    curves = {name: join_parts([("warm-up", one)]) for name, one in {"old": old, "new": table}.items()}
    assert not known_any(curves["old"]["gradient_norm"]) and curves["new"]["weight_norm"].tolist() == [3, 3]
    before, after = (len(training_figure({"slpd": curves[name]}, styles).svg) for name in ("old", "new"))
    assert before < after


def test_rounds_tell_what_their_clusterings_tell_but_for_those_handed_on(tmp_path):
    tissue = tissue_facts(np.array([0.1, 0.2, 0.8, 0.9]), np.zeros(4, dtype=np.int64), np.array([0, 0, 1, 1]))
    facts = [
        {"feature_rank": 5.0, "agreement": None, "mean_smallest_share": 0.1},
        {"feature_rank": 4.0, "agreement": 0.7, "mean_smallest_share": 0.2} | tissue,
        {"feature_rank": 4.0, "agreement": 1.0, "mean_smallest_share": 0.2, "handed_on": True},
    ]
    for number, one in zip((1, 3, 4), facts, strict=True):  # round 2 distils the prototypes of round 1
        write_table(tmp_path / f"pretrain/slpd/round_{number:02d}/assignments.parquet", [], schemas.ASSIGNMENTS, one)
    found = round_lines(Results(tmp_path).clusterings("slpd", 4))
    assert found["round"].tolist() == [1, 3]
    np.testing.assert_array_equal(found["agreement"], [np.nan, 0.7])
    np.testing.assert_allclose(found["tissue_explained"], [np.nan, 0.98])
    np.testing.assert_allclose(found["tissue_explained_chance"], [np.nan, 1 / 3])
    assert rounds_figure({"slpd": found}, line_styles(["slpd"])) is not None
    assert rounds_figure({"dino": round_lines([])}, line_styles(["dino"])) is None


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
