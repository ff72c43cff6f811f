"""A tiny cohort and configuration, and Snakemake run on it as a user does."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SEED = 7

CONFIG = {
    "cohort": {"name": "tiny", "manifest": "slides.csv"},
    "tissue": {"min_area_um2": 20000, "min_hole_um2": 20000},
    "regions": {"patch_px": 64, "grid": 4, "min_tissue_fraction": 0.3},
    "features": {"encoder": "lite0", "model": "efficientnet_lite0", "shards": 2},
    "pretrain": {
        "defaults": {
            "model": {"dim": 24, "depth": 2, "heads": 2},
            "head": {"hidden": 48, "bottleneck": 16, "out_dim": 64},
            "crops": {"global_size": 3, "local_size": 2, "local_count": 2},
            "optimiser": {"batch_size": 32, "lr": 0.004, "teacher_momentum": 0.98},
            "prototypes": {"count": 2, "min_regions": 8},
            "warmup_epochs": 2,
            "rounds": 2,
            "epochs_per_round": 2,
            "schedule_epochs": 12,
        }
    },
    "embed": {"baselines": ["mean"]},
    "benchmark": {
        "tasks": {"subtype": {"kind": "classification", "label": "subtype"}},
        "heads": {"classification": ["knn", "logistic"]},
        "folds": 2,
        "repeats": 2,
    },
    "report": {"example_slides": 1},
}


def make_project(folder: Path, slides: int = 8, side_px: int = 1536) -> Path:
    """Slides, manifest and config in `folder`; the last slide of the manifest is a file that is not there."""
    from workflow_scripts.demo.plan import cohort_plan  # whoever wants the settings alone needs no slide writer
    from workflow_scripts.demo.slide import make_slide

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "slides").mkdir(exist_ok=True)
    plans = [plan for plan in cohort_plan(SEED) if plan.kind == "normal" and plan.mpp_in_file]
    by_patient = {plan.patient_id: plan for plan in plans if plan.mpp == 0.5}
    lines = ["slide_id,path,patient_id,mpp,subtype"]
    chosen: Counter[str] = Counter()
    for plan in by_patient.values():
        if chosen[plan.subtype] < slides // 2:
            chosen[plan.subtype] += 1
            path = f"slides/{plan.slide_id}.{plan.suffix}"
            make_slide(plan._replace(size_px=(side_px, side_px)), SEED, folder / path)
            lines.append(f"{plan.slide_id},{path},{plan.patient_id},,{plan.subtype}")
    lines.append("gone,slides/gone.svs,nobody,,solid")
    (folder / "slides.csv").write_text("\n".join(lines) + "\n")
    write_config(folder, CONFIG)
    return folder


def copy_slide(source: Path, target: Path) -> None:
    """The same pixels as another slide: one byte more, for a slide may not stand in two rows."""
    target.write_bytes(source.read_bytes() + b"\0")


def write_config(folder: Path, config: dict) -> None:
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def changed(config: dict, key: str, value: object) -> dict:
    """Copy of a nested dict with one dotted key set."""
    head, _, rest = key.partition(".")
    inner = changed(config.get(head, {}), rest, value) if rest else value
    return {**config, head: inner}


def snakemake(folder: Path, *args: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in `folder` with the workflow in `root`; stdout and stderr together in `stdout`."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(root / "Snakefile"), "--directory", str(folder)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(root)}
    return subprocess.run(
        [*command, "--cores", "2", *args], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def planned(folder: Path, *args: str, root: Path = ROOT) -> dict[str, int]:
    """Jobs that a dry run plans, by rule; empty where there is nothing to do."""
    result = snakemake(folder, "-n", *args, root=root)
    assert result.returncode == 0, result.stdout[-3000:]
    return job_counts(result.stdout)


def job_counts(output: str) -> dict[str, int]:
    """Jobs of a dry run's output, by rule, without `all`."""
    if "Nothing to be done" in output:
        return {}
    table = output.rpartition("Job stats:")[2]
    rows = re.findall(r"^(\w+) +(\d+)$", table, flags=re.MULTILINE)
    return {rule: int(count) for rule, count in rows if rule not in ("total", "all")}


def copy_project(source: Path, target: Path) -> Path:
    """A finished project elsewhere, with the file times and Snakemake's records."""
    shutil.copytree(source, target)
    return target


def copy_workflow(target: Path) -> Path:
    """What runs of the workflow, elsewhere, so that its code can be edited."""
    for name in ("rules", "envs", "profiles", "workflow_scripts"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "Snakefile", target)
    return target
