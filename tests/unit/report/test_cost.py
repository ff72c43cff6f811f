"""Cost by stage and rule, from files as Snakemake writes them."""

import logging
import re
from pathlib import Path

import pytest

from workflow_scripts.core.gpu import GPUS_TOLD
from workflow_scripts.core.kept import KeptResult
from workflow_scripts.report.cost import ON_GPU, RULES, Line, cost_lines, read_jobs, untimed_jobs

ROOT = Path(__file__).resolve().parents[3]
HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def write(root, rule, name, seconds, rss="NA", load="NA", log=None):
    file = root / "cost" / rule / f"{name}.tsv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{HEAD}{seconds}\t0:00:01\t{rss}\t1\t1\t1\t0\t0\t{load}\t1.0\n")
    if log is not None:
        write_log(root, name, log)


def write_log(root, name, text):
    file = root / "logs" / f"{name}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def rules():
    """Text of every rule that has a log, by name, with that of the rule it takes over."""
    parts = [
        part
        for file in sorted((ROOT / "rules").glob("*.smk"))
        for part in re.split(r"^(?= *(?:rule|checkpoint|use rule) \w+)", file.read_text(), flags=re.MULTILINE)[1:]
    ]
    heads = [re.match(r" *(?:rule|checkpoint|use rule) (\w+)(?: as (\w+) with)?:", part) for part in parts]
    own = {head[2] or head[1]: part for head, part in zip(heads, parts, strict=True)}
    return {
        head[2] or head[1]: (own[head[2] or head[1]], own[head[1]] if head[2] else "") for head in heads
    }  # fmt: skip


def test_every_rule_writes_its_cost_where_its_log_is():
    found = rules()
    listed = [rule for of_stage in RULES.values() for rule in of_stage]
    assert sorted([*listed, "write_report"]) == sorted(found)
    for rule, (text, _) in found.items():
        log, cost = (re.search(rf'^ +{name}:\n +f?"([^"]+)"', text, re.MULTILINE)[1] for name in ("log", "benchmark"))
        if rule == "make_demo_slide":  # whose slides and logs no cohort has for itself
            assert cost == "<cohort>/cost/make_demo_slide/{demo}.{suffix}.tsv"
        else:
            assert cost == log.replace("<cohort>/logs/", f"<cohort>/cost/{rule}/").replace(".log", ".tsv")


def test_rules_that_may_lease_gpus_are_known():
    assert {rule for rule, (own, base) in rules().items() if "--gpu {" in own + base} == ON_GPU


def test_lines_by_rule_stage_and_of_all(tmp_path):
    told = f"12:00:00 leased GPU GPU-a\n12:00:00 {GPUS_TOLD % 2}\n"
    write(tmp_path, "check_slide", "check/0", 4.0, "100.5", "50.0")
    write(tmp_path, "check_slide", "check/1", 12.0, "300.0", "90.0")
    write(tmp_path, "warm_up", "pretrain/warm_up_0", 100.0, "2000", "150.0", told)
    write(tmp_path, "distill_round", "pretrain/slpd/distill_01", 50.0, "-", "NA", told)
    write(tmp_path, "distill_round", "pretrain/slpd/distill_02", 0.25, log="12:00:00 on cpu\n")
    lines = cost_lines(read_jobs(tmp_path))
    assert lines == [
        Line("cohort", "check_slide", 2, 16.0, 0.0, 300.0, 80.0),
        Line("pretrain", "warm_up", 1, 100.0, 200.0, 2000.0, 150.0),
        Line("pretrain", "distill_round", 2, 50.25, 100.0, None, None),
        Line("pretrain", "", 3, 150.25, 300.0, 2000.0, 150.0),
        Line("", "", 5, 166.25, 300.0, 2000.0, pytest.approx((150 * 100 + 80 * 16) / 116)),
    ]
    assert untimed_jobs(tmp_path) == []


def test_a_job_whose_log_says_that_it_took_its_result_back_is_known(tmp_path, caplog):
    output = tmp_path / "state.safetensors"
    output.write_text("state")
    kept = KeptResult("the same", [str(output)])
    kept.keep()
    caplog.set_level(logging.INFO, "workflow_scripts")
    assert kept.take_back()
    write(tmp_path, "warm_up", "pretrain/warm_up_0", 2.0, log=caplog.text)
    write(tmp_path, "warm_up", "pretrain/warm_up_1", 22.0, log="12:00:00 epoch 0\n")
    assert [job.taken_back for job in read_jobs(tmp_path)["warm_up"]] == [True, False]


def test_gpu_seconds_are_not_known_without_the_log(tmp_path):
    write(tmp_path, "embed_regions", "embed/slpd", 9.0)
    assert [line.gpu_seconds for line in cost_lines(read_jobs(tmp_path))] == [None, None]


def test_a_cohort_without_times_has_no_lines(tmp_path):
    assert cost_lines(read_jobs(tmp_path)) == []
    assert untimed_jobs(tmp_path) == []


@pytest.mark.parametrize("content", ["", HEAD, HEAD + "\n", "s\th:m:s\n-\t-\n", "no table"])
def test_a_file_that_was_cut_off_is_passed_over(tmp_path, content):
    write(tmp_path, "tile_regions", "regions/0", 2.0)
    (tmp_path / "cost/tile_regions/regions/1.tsv").write_text(content)
    assert [line.jobs for line in cost_lines(read_jobs(tmp_path))] == [1, 1]


def test_jobs_with_a_log_and_no_time_are_named(tmp_path):
    write(tmp_path, "warm_up", "pretrain/warm_up_0", 3.0, log="")
    for name in ("pretrain/slpd/cluster_01", "check/0", "report"):
        write_log(tmp_path, name, "")
    assert untimed_jobs(tmp_path) == ["check/0", "pretrain/slpd/cluster_01"]
