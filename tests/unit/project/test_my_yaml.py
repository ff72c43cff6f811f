"""The text of my.yaml: what it says of each finding, and that it is read back as the keys that it was made of."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.unit.project.made import LAPTOP, counts, row, survey
from workflow_scripts.config import load_config
from workflow_scripts.project.my_yaml import mapping, my_yaml, schema_line
from workflow_scripts.project.plan import Plan, make_plan
from workflow_scripts.project.summary import run_commands, summary
from workflow_scripts.project.survey import Survey
from workflow_scripts.project.wording import hours, size

FOUND = {"efficientnet_lite0": None}
MANY = [60, 60, 40, 33]
ROOT = Path(__file__).resolve().parents[3]


def _plan(found: Survey, machine=LAPTOP, encoders=FOUND, name="mine") -> Plan:
    return make_plan(found, machine, encoders, name, "slides.csv")


def _text(plan: Plan) -> str:
    return my_yaml(plan, "/data/slides", [])


def _said(text: str) -> str:
    """The comments as running text."""
    return " ".join(text.replace("\n# ", " ").split())


def _summary(plan: Plan) -> str:
    return " ".join(summary(plan, [], ["snakemake"], None).split())


@pytest.mark.parametrize("regions", [60, 20, 13, 5, 1])
@pytest.mark.parametrize("name", ["mine", "2024", "true", "1e3"])
def test_the_text_is_read_back_as_the_keys(regions, name):
    plan = _plan(survey(4, [regions] * 4), name=name)
    assert yaml.safe_load(_text(plan)) == plan.keys
    assert load_config(yaml.safe_load(_text(plan))).cohort.name == name
    assert max(map(len, _text(plan).splitlines())) <= 120


def test_lines_of_comments_can_be_taken_up_as_they_are():
    """The presets' rounds, a cap and the tasks, with their '# ' off, are valid keys in the place where they stand."""
    for regions, cap in ((90, 32), (60, None), (13, None), (4, 32)):
        text = _text(_plan(survey(4, [regions] * 4)))
        text, trial = text.split("# For a first trial")
        text += trial[trial.index("\n\n") :]
        lines, kept = text.splitlines(), []
        keys = "regions: max_per_slide: pretrain: defaults: rounds: epochs_per_round:".split()
        keys += "benchmark: tasks: response: survival: folds:".split()
        for line in lines:
            bare = line.replace("# ", "", 1)
            kept.append(bare if line.lstrip().startswith("# ") and bare.split()[0] in keys else line)
        config = load_config(yaml.safe_load("\n".join(kept)))
        assert (config.pretrain.defaults.rounds, config.pretrain.defaults.epochs_per_round) == (26, 3)
        assert config.regions.max_per_slide == cap
        assert set(config.benchmark.tasks) == {"response", "survival"} and config.benchmark.folds == 5
        assert "#   folds:" in text  # 5 is the default too


def test_regions_of_the_paper():
    text = _said(_text(_plan(survey(4, MANY))))
    assert "50 a slide (median) at the paper's 4096 px; 75% of the slides should have 32. They have" in text
    assert "small for SLPD" not in text


def test_smaller_regions_with_their_figures():
    text = _said(_text(_plan(survey(4, [13] * 4))))
    assert "13 a slide (median) at the paper's 4096 px; 75% of the slides should have 32. So grid 8 (2048 px)" in text
    assert "which gives 52." in text and "small for SLPD" not in text


def test_two_prototypes_as_for_brca():
    text = _said(_text(_plan(survey(4, [20] * 4))))
    assert "should have 32, and have 16: 2 prototypes a slide are taken, as in the paper for TCGA-BRCA" in text


def test_slides_that_are_too_small_are_told_what_slpd_cannot_do():
    few = [counts(0)] * 4
    few = [{grid: count._replace(regions=2 if grid == 4 else 1, patches=20) for grid, count in c.items()} for c in few]
    text = _said(_text(_plan(Survey(4, [row(str(i)) for i in range(4)], few, []))))
    assert "a prototype stands for 1 of a slide's regions, in the paper for 8 and more" in text
    assert "fewer than 4 regions: 4 of 4" in text and "hardly be more than DINO" in text


def test_slides_are_counted_with_those_that_are_left_out():
    rows = [row("a"), row("b", mpp_x=0.5, mpp_y=0.5, mpp_source="ome_xml", detail="the objective says 40x")]
    rows += [row("c", status="excluded", reason="no_mpp", guessable=True)]
    rows += [row("d", status="excluded", reason="implausible_mpp")]
    rows += [row("e", status="excluded", reason="unreadable_file", detail="it is empty")]
    found = Survey(7, rows, [counts(60)], [row("b", status="excluded", reason="no_tissue", detail="none")], remote=2)
    for text in (_said(_text(_plan(found))), _summary(_plan(found))):
        assert "7 slides; 1 can be used." in text and "2 slides of these are addresses" in text
        assert "they record no scale: c. Write the true value" in text and "cannot be true: d." in text
        assert "Of 1 slide without a scale the objective's power" in text
        assert "Left out: e, unreadable_file: it is empty." in text and "Left out: b, no_tissue: none." in text
        assert "Used, with a doubt: b, the objective says 40x." in text
        assert "80% of the slides are left out, and the run stops where more than 50% are" in text
    text = _said(_text(_plan(found)))
    assert "0.25 to 0.5 (median 0.375) um/px, from the scanner's tags (1) and OME-XML (1)" in text


def test_long_lists_are_cut():
    rows = [row(f"n{i}", status="excluded", reason="no_mpp") for i in range(30)]
    rows += [row(f"u{i}", status="excluded", reason="read_error", detail="x") for i in range(30)]
    text = _said(_text(_plan(Survey(61, [*rows, row("ok")], [counts(60)], []))))
    assert "n7 and 22 more" in text and "n8" not in text
    assert "u7, read_error" in text and "u8" not in text and "22 more, read_error" in text


def test_a_sample_is_said_to_be_one():
    text = _said(_text(_plan(survey(12_000, MANY, opened=300))))
    assert "12,000 slides; 300 of them, drawn by chance, were opened: all can be used." in text
    assert "by the tissue of 4 slides" in text and "by the tissue of all slides" in _text(_plan(survey(4, MANY)))


def test_where_no_slide_can_be_used_the_list_comes_first():
    plan = _plan(Survey(1, [row("a", status="excluded", reason="no_mpp")], [], []))
    said = _summary(plan)
    assert "Fill in column mpp of slides.csv" in said and "--manifest slides.csv --force" in said
    assert "snakemake" not in said and "hours" not in said
    assert plan.layout.grid == 16


def test_the_encoder_and_what_would_be_better():
    text = _said(_text(_plan(survey(4, MANY))))
    assert "Encoder: efficientnet_lite0" in text and "It has seen no tissue" in text and "Apache-2.0" in text
    assert (
        "phikon, phikon_v2, kaiko_vitl14, lunit_vits8, fetched with allow_network: true" in text
        and "hf auth login" in text
    )
    assert "vit256_small_dino.pth (HIPT repository)" in text
    other = _said(_text(_plan(survey(4, MANY), encoders=FOUND | {"phikon": None, "uni": None})))
    assert "Encoder: phikon" in other and "Also on this machine: uni." in other and "seen no tissue" not in other


def test_cost_disk_and_machine():
    text = _said(_text(_plan(survey(1000, MANY))))
    assert "Machine: 2 cores, no GPU, 16 GB of memory and 1 TB of disk free." in text
    assert "days" in text and "(159 training states of 400 MB)" in text and "do not fit in memory" in text
    gpu = _said(_text(_plan(survey(1000, MANY), LAPTOP._replace(gpus=2, disk_free=10**10))))
    assert "Disk in all: 100 GB. Features take 41 MB a slide. The states take the same" in text
    assert "2 GPUs" in gpu and "none was measured" in gpu and "make room" in gpu
    assert "rounds: 26 # the paper: 79" in gpu


def test_a_small_cohort_is_told_that_it_learns_little():
    assert "training takes 100 steps in all, 12,200 on TCGA-NSCLC" in _said(_text(_plan(survey(4, MANY))))
    assert "steps in all" not in _text(_plan(survey(1000, MANY)))


@pytest.mark.parametrize("regions", [60, 20])
@pytest.mark.parametrize("disk", [10**12, 10**10])
def test_the_lines_that_make_pretraining_short_can_be_taken_up(regions, disk):
    """With their '# ' off, and the presets' rounds out where those are taken, they are valid and as short as told."""
    plan = _plan(survey(1000, [regions] * 4), LAPTOP._replace(disk_free=disk))
    head, tail = _text(plan).split("# For a first trial", 1)
    assert plan.fewer_rounds is (disk < 10**11)
    assert f"pretraining then takes {hours(plan.short_cost.pretrain_h)} in place of" in _said("# For" + tail)
    assert plan.short_cost.pretrain_h.high < plan.cost.pretrain_h.high / 20
    block = [line for line in tail.split("\n\n")[0].splitlines() if re.match("(#  | +#|# pretrain:)", line)]
    above = [line for line in head.splitlines() if not line.strip().startswith(("rounds:", "epochs_per_round:"))]
    taken = [line.replace("# ", "", 1) for line in block]
    config = load_config(yaml.safe_load("\n".join([*above, *taken])))
    run = config.pretrain.run("slpd")
    assert (run.head.out_dim, run.warmup_epochs, run.rounds, run.epochs_per_round) == (2048, 2, 3, 1)
    assert run.schedule_epochs == 5 and run.optimiser.lr_warmup_epochs == 1
    assert run.prototypes.count == plan.layout.prototypes


def test_of_any_length_the_disk_and_a_first_trial_are_told():
    """The training states are as large for 8 slides as for 1,000: that is what surprises."""
    plan = _plan(survey(8, MANY))
    assert plan.cost.pretrain_h.high < 24 and plan.cost.disk_bytes > 100 * plan.short_cost.disk_bytes / 2
    for said in (_said(_text(plan)), _summary(plan)):
        assert f"Disk in all: {size(plan.cost.disk_bytes)}. Features take 38 MB a slide." in said
        assert f"{size(plan.short_cost.disk_bytes)} of disk in place of {size(plan.cost.disk_bytes)}" in said
    assert "(head, optimiser, warmup_epochs, rounds, epochs_per_round, schedule_epochs)" in _summary(plan)
    assert "first trial" not in _text(_plan(Survey(1, [row("a", status="excluded", reason="no_mpp")], [], [])))


def test_two_thirds_of_a_training_state_are_the_heads_outputs():
    run, plan = load_config({}).pretrain.defaults, _plan(survey(8, MANY))
    outputs = 4 * 4 * run.head.bottleneck * run.head.out_dim  # of student, teacher and two moments, in float32
    assert outputs / plan.cost.state_bytes == pytest.approx(2 / 3, abs=0.02)


def test_patients_come_before_the_first_run_and_labels_at_any_time():
    plan = _plan(survey(4, MANY))
    for text in (_said(_text(plan)), _summary(plan)):
        assert "fill in patient_id in slides.csv before the first run" in text and "later trains again" in text
        assert "Labels can be added at any time" in text and "only the benchmark and the report run" in text


def test_the_summary_has_problems_regions_and_cost_alone():
    plan = _plan(survey(1000, MANY), LAPTOP._replace(disk_free=10**10))
    said = _summary(plan)
    assert "1,000 slides" in said and "the paper's regions" in said and "make room" in said and "days" in said
    for sentence in ("Scale at full", "Encoder:", "Machine:", "In all", "The shorter times"):
        assert sentence in _text(plan) and sentence not in said


def test_mappings_and_their_notes():
    lines = mapping({"a": {"b": {"c": {"d": 1, "e": None}}, "f": 0.002}}, {"a.b.c": "x", "a.f": "y", "a": "z"})
    assert lines == ["a: # z", "  b:", "    c: { d: 1, e: null } # x", "  f: 0.002 # y"]


def test_the_schema_is_named_as_seen_from_the_configuration(tmp_path):
    schema = tmp_path / "config/config.schema.json"
    head = "# yaml-language-server: $schema="
    assert schema_line(schema, tmp_path) == [f"{head}config/config.schema.json"]
    assert schema_line(tmp_path / "config.schema.json", tmp_path) == [f"{head}config.schema.json"]
    assert schema_line(schema, tmp_path / "elsewhere") == [f"{head}{schema}"]
    plan = _plan(survey(4, MANY))
    assert my_yaml(plan, "x", schema_line(schema, tmp_path)).startswith(f"{head}config/config.schema.json\n# Slides")


def test_the_command_to_run(tmp_path):
    clone, project = tmp_path / "a clone", tmp_path / "project"
    for folder in (clone, project):
        folder.mkdir()
    (clone / "Snakefile").touch()
    assert run_commands(clone, clone, 0) == ["snakemake --cores all --configfile my.yaml"]
    there = run_commands(clone, project, 4)
    assert there == [f"snakemake --cores all --snakefile '{clone}/Snakefile' --resources gpu=4 --configfile my.yaml"]
    plan = _plan(survey(4, MANY))
    assert "cd 'a b'" in summary(plan, [], there, Path("a b")) and "CLONE" not in summary(plan, [], there, None)
    installed = run_commands(tmp_path / "site-packages", project, 0)
    assert "--snakefile CLONE/Snakefile" in installed[0]
    assert "CLONE is the folder of the workflow's clone" in summary(plan, [], installed, None)


def test_deployed_the_commands_leave_nothing_of_the_demos_configuration(tmp_path):
    plan = _plan(survey(4, MANY))
    for name, text in {
        "workflow/Snakefile": """
import json
configfile: "config/config.yaml"
json.dump(config, open("seen.json", "w"))
rule all:
""",
        "config/config.yaml": (ROOT / "config/config.yaml").read_text(),
        "my.yaml": _text(plan),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    commands = run_commands(ROOT, tmp_path, 0)
    said = summary(plan, [], commands, tmp_path)
    lines = [line.strip() for line in said.splitlines() if line.startswith("    ")]
    assert lines == [f"cd {tmp_path}", "cp my.yaml config/config.yaml", "snakemake --cores all"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run("\n".join(lines), shell=True, check=True, env=os.environ | {"PATH": path}, cwd=tmp_path)
    assert json.loads((tmp_path / "seen.json").read_text()) == plan.keys
