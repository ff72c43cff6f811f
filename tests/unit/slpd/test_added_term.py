"""A loss term added in three spots of a copied package, as CONTRIBUTING shows: it is trained, measured and drawn."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.faults.round_commands import write_cohort
from workflow_scripts.core.loss_terms import TERMS
from workflow_scripts.core.tables import read_table

ROOT = Path(__file__).resolve().parents[3]

FUNCTION = '''

def same_loss(pairs: TargetPairs, loss: Loss) -> Tensor:
    """L_same: mean cross-entropy of target t with crop t, over targets and regions."""
    same = torch.stack([pairs.cross[t, t] for t in range(len(pairs.cross))])
    return torch.where(pairs.present, same, 0.0).sum() / (pairs.regions * len(same)).clamp(min=1)
'''
WEIGHT = '''    same_weight: float = Field(0.0, ge=0)
    """Weight of L_same, distillation of a crop by its own view."""
'''

# Warm-up and round of a run with the term and of one without, and what the configuration and the report make of it.
SCRIPT = """
import importlib, json, sys
from pathlib import Path
import workflow_scripts
from tests.faults.round_commands import RULES, command, settings
from workflow_scripts.config import Config, PretrainRun
from workflow_scripts.config.reruns import dependents
from workflow_scripts.report.training import PANELS

folder = Path(sys.argv[1])
runs = {name: settings(warmup_epochs=1, epochs_per_round=1, loss={"same_weight": weight})
        for name, weight in (("with", 0.5), ("without", 0.0))}
for name, run in runs.items():
    for rule in RULES:
        todo = command(rule, run, folder, folder / name, folder / name)
        importlib.import_module(f"workflow_scripts.{rule}").main(todo.arguments)
only = {"self_weight": 0, "intra_weight": 0, "inter_weight": 0, "same_weight": 1}
print(json.dumps({
    "package": workflow_scripts.__file__,
    "shared": runs["with"].warm_up_key() == runs["without"].warm_up_key(),
    "needs_prototypes": PretrainRun(loss=only).uses_prototypes,
    "dino": Config().pretrain.run("dino").uses_prototypes,
    "reruns": dependents("pretrain.defaults.loss.same_weight"),
    "label": PANELS["loss_same"],
}))
"""


def add_term(package: Path, targets: str) -> None:
    """The three edits: function, entry, weight."""
    with (package / "slpd/losses.py").open("a") as file:
        file.write(FUNCTION)
    entry = f'    LossTerm("same", "L same", "same_loss", "{targets}"),\n'
    last = '    LossTerm("inter", "L inter", "prototype_loss", "neighbours"),\n'
    for name, after, new in (
        ("core/loss_terms.py", last, last + entry),
        ("config/run_sections.py", "    teacher_temp:", WEIGHT + "    teacher_temp:"),
    ):
        text = (package / name).read_text()
        assert text.count(after) == 1
        (package / name).write_text(text.replace(after, new))


@pytest.mark.parametrize(
    ("targets", "reruns"),
    [pytest.param("crops", ["warm_up", "distill_round"], marks=pytest.mark.slow), ("own", ["distill_round"])],
)
def test_a_term_takes_a_function_an_entry_and_a_weight(tmp_path, targets, reruns):
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "workflow_scripts", copy / "workflow_scripts", ignore=shutil.ignore_patterns("__pycache__"))
    add_term(copy / "workflow_scripts", targets)
    write_cohort(tmp_path)
    path = os.pathsep.join((str(copy), str(ROOT)))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    end = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert end.returncode == 0, end.stderr
    told = json.loads(end.stdout)
    assert told == {
        "package": str(copy / "workflow_scripts/__init__.py"),
        "shared": targets != "crops",
        "needs_prototypes": targets != "crops",
        "dino": False,
        "reruns": reruns,
        "label": "L same: cross-entropy (nats)",
    }
    states = {}
    for run, weight in (("with", 0.5), ("without", 0.0)):
        for rule in ("warm_up", "distill_round"):
            table = read_table(tmp_path / run / rule / "metrics.parquet")
            columns = {name: table[name].to_numpy() for name in ("loss", "loss_same", *(t.column for t in TERMS))}
            there = targets == "crops" or rule == "distill_round"
            assert (columns["loss_same"] > 0).all() if there else not columns["loss_same"].any()
            total = sum(columns[term.column] for term in TERMS) + weight * columns["loss_same"]
            np.testing.assert_allclose(columns["loss"], total, rtol=1e-5)
            states[run, rule] = (tmp_path / run / rule / "state.safetensors").read_bytes()
    assert (states["with", "warm_up"] != states["without", "warm_up"]) == (targets == "crops")
    assert states["with", "distill_round"] != states["without", "distill_round"]
