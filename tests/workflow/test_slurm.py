"""The workflow submitted through a real SLURM with the profile that users get: its features, then all of it."""

import csv
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
import yaml

from tests.faults.round_commands import content_of
from tests.workflow.slurm_cluster import CannotRun, Cluster, toy_cluster
from tests.workflow.tiny import CONFIG, changed, copy_project, write_config
from workflow_scripts.core.chunks import chunk_count, chunk_of
from workflow_scripts.core.manifest import shard_of

_REPOSITORY = Path(__file__).resolve().parents[2]
_PROFILE = _REPOSITORY / "profiles" / "slurm"
_PX = 1200  # of a slide
_MPP = 0.5  # um/px
_SLIDES = ("s1", "s2", "s3")
_SHARDS = 2
_CHUNKS = Counter(chunk_of(slide, chunk_count(len(_SLIDES), _SHARDS)) for slide in _SLIDES)
_RULES = {  # jobs of each rule
    "check_slide": len(_CHUNKS),
    "segment_tissue": len(_CHUNKS),
    "tile_regions": len(_CHUNKS),
    "extract_features": _SHARDS,
    "summarise_cohort": 1,
}


class Call(NamedTuple):
    """A command, where it is run, and its environment."""

    command: list[str]
    cwd: Path
    env: dict[str, str]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    pytest.importorskip("snakemake_executor_plugin_slurm")
    try:
        with toy_cluster() as running:
            yield running
    except CannotRun as reason:
        pytest.skip(str(reason))


def _write_slide(path: Path, seed: int) -> None:
    """A stained disc of 0.8 mm on glass, with grain, as a tiled TIFF that says 0.5 um/px."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:_PX, :_PX] - _PX // 2
    disc = (x**2 + y**2 < 520**2)[..., None]
    colour = np.where(disc, (185, 90, 150), (243, 243, 244)) + rng.normal(0, 6, (_PX, _PX, 3)) * (1 + 3 * disc)
    tifffile.imwrite(
        path,
        colour.clip(0, 255).astype(np.uint8),
        photometric="rgb",
        tile=(256, 256),
        compression="jpeg",
        resolution=(1e4 / _MPP, 1e4 / _MPP),
        resolutionunit="CENTIMETER",
        metadata=None,
    )


def _write_cohort(folder: Path) -> None:
    """Slides, manifest and configuration, and another configuration whose feature jobs must fail."""
    for seed, slide in enumerate(_SLIDES):
        _write_slide(folder / f"{slide}.tiff", seed)
    with (folder / "slides.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("slide_id", "path"), *((s, f"{s}.tiff") for s in _SLIDES)])
    config = {
        "cohort": {"name": "toy", "manifest": "slides.csv"},
        "regions": {"mpp": _MPP, "patch_px": 96, "grid": 4},
        "features": {"encoder": "lite", "model": "efficientnet_lite0", "shards": _SHARDS},
        "pretrain": {"defaults": {"crops": {"global_size": 3, "local_size": 2}}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    config["features"] |= {"encoder": "broken", "weights": "broken.pth"}
    (folder / "broken.pth").write_bytes(b"no weights")
    (folder / "broken.yaml").write_text(yaml.safe_dump(config))


def _call(folder: Path, config: str, *options: str, target: str = "features", profile: Path = _PROFILE) -> Call:
    """Snakemake on a target in `folder` with the profile; the options shorten its waits for a small cluster."""
    env = {**os.environ, "SLPD_GPU_LOCKS": str(folder / "locks"), "XDG_CACHE_HOME": str(folder / "cache")}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    env.pop("CUDA_VISIBLE_DEVICES", None)
    command = [sys.executable, "-m", "snakemake", target, "--snakefile", str(_REPOSITORY / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(folder / config)]
    command += ["--workflow-profile", str(profile)]
    command += ["--slurm-status-command", "squeue", "--slurm-keep-successful-logs"]
    command += ["--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2"]
    return Call([*command, "--latency-wait", "5", *options], folder, env)


def _snakemake(*args: Any, limit_s: float = 400, **more: Any) -> subprocess.CompletedProcess:
    """Run `_call` to its end."""
    call = _call(*args, **more)
    return subprocess.run(call.command, cwd=call.cwd, env=call.env, text=True, capture_output=True, timeout=limit_s)


@pytest.fixture(scope="module")
def run(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder and printed text of one successful run."""
    folder = tmp_path_factory.mktemp("slurm")
    _write_cohort(folder)
    done = _snakemake(folder, "config.yaml")
    text = done.stdout + done.stderr
    assert done.returncode == 0, f"{text[-6000:]}\n{cluster.logs()}"
    return folder, text


def _jobs_of(cluster: Cluster, rule: str) -> list[dict[str, str]]:
    return [job for job in cluster.jobs() if re.fullmatch(rf"rule_{rule}(_wildcards_.*)?", job.get("Comment", ""))]


def _overlap(a: dict[str, str], b: dict[str, str]) -> bool:
    return max(a["StartTime"], b["StartTime"]) < min(a["EndTime"], b["EndTime"])


def test_every_job_goes_through_slurm_and_ends_well(cluster: Cluster, run: tuple[Path, str]) -> None:
    _, text = run
    assert {rule: len(_jobs_of(cluster, rule)) for rule in _RULES} == _RULES
    assert text.count("submitted with SLURM jobid") == sum(_RULES.values())
    for rule in _RULES:
        assert {job["JobState"] for job in _jobs_of(cluster, rule)} == {"COMPLETED"}


def test_only_feature_jobs_ask_for_a_gpu_and_go_to_the_gpu_partition(cluster: Cluster, run: tuple[Path, str]) -> None:
    for rule in _RULES:
        for job in _jobs_of(cluster, rule):
            gpu = rule == "extract_features"
            assert job.get("TresPerJob") == ("gres:gpu:1" if gpu else None)
            assert job["Partition"] == ("gpu" if gpu else "cpu")


def test_memory_time_and_cores_come_from_the_rules(cluster: Cluster, run: tuple[Path, str]) -> None:
    checks = {("1", "1000M", f"00:{10 + slides}:00") for slides in _CHUNKS.values()}  # a minute more for each slide
    wanted = {"check_slide": checks, "extract_features": {("8", "16000M", "12:00:00")}}
    for rule, values in wanted.items():
        found = {
            tuple(job[key] for key in ("NumCPUs", "MinMemoryNode", "TimeLimit")) for job in _jobs_of(cluster, rule)
        }
        assert found == values


def test_slurm_sets_the_device_and_nothing_is_leased(cluster: Cluster, run: tuple[Path, str]) -> None:
    folder, _ = run
    for rule in _RULES:
        wanted = {"0", "1"} if rule == "extract_features" else {"unset"}
        numbers = {job["JobId"] for job in _jobs_of(cluster, rule)}
        seen = [device for job, device in cluster.tasks_seen if job in numbers]
        assert len(seen) >= len(numbers)
        assert set(seen) <= wanted
    first, second = _jobs_of(cluster, "extract_features")
    if first["NodeList"] == second["NodeList"] and _overlap(first, second):
        device = dict(cluster.tasks_seen)
        assert device[first["JobId"]] != device[second["JobId"]]
    assert not list(folder.glob("locks/**/*.lock"))
    logs = [file.read_text() for file in folder.glob("results/toy/logs/features/**/*.log")]
    assert len(logs) == _SHARDS
    assert not any("leased" in text for text in logs)


def test_features_are_whole(run: tuple[Path, str]) -> None:
    folder, _ = run
    slides = pq.read_table(folder / "results/toy/slides.parquet").to_pandas().set_index("slide_id")
    assert sorted(slides.index) == sorted(_SLIDES)
    assert set(slides.status) == {"ok"}
    assert np.allclose(slides.mpp_x, _MPP)
    assert np.allclose(slides.tissue_mm2, np.pi * (520 * _MPP / 1000) ** 2, rtol=0.1)  # the disc that was drawn
    assert {shard_of(slide, _SHARDS) for slide in _SLIDES} == {0, 1}  # or one of the jobs had nothing to do
    for shard in range(_SHARDS):
        index = folder / f"results/toy/features/lite/shard_{shard}.parquet"
        rows = pq.read_table(index).to_pylist()
        assert {row["slide_id"] for row in rows} == {s for s in _SLIDES if shard_of(s, _SHARDS) == shard}
        for row in rows:
            assert row["n_regions"] == slides.n_regions[row["slide_id"]] > 0
            assert (index.parent / row["file"]).is_file()


def test_a_second_run_submits_nothing(cluster: Cluster, run: tuple[Path, str]) -> None:
    before = len(cluster.jobs())
    done = _snakemake(run[0], "config.yaml")
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr
    assert len(cluster.jobs()) == before


def test_a_failed_job_is_noticed_and_tried_again_with_more_memory(cluster: Cluster, run: tuple[Path, str]) -> None:
    """Comes after those that look at all jobs of a rule: the cluster remembers them."""
    known = {job["JobId"] for job in cluster.jobs()}
    done = _snakemake(run[0], "broken.yaml", "--retries", "1")
    assert done.returncode == 1
    assert "the weights broken.pth are no file of plain tensors" in done.stdout + done.stderr
    failed = [job for job in cluster.jobs() if job["JobId"] not in known]
    assert {job["JobState"] for job in failed} == {"FAILED"}
    assert sorted(job["MinMemoryNode"] for job in failed) == ["16000M"] * _SHARDS + ["32000M"] * _SHARDS


def _results(project: Path) -> dict[str, Any]:
    """Content of all that a project has made: tables, features, models; without what tells how fast it went."""
    top = project / "results/tiny"
    files = [file for file in top.rglob("*.*") if file.is_file() and not file.name.startswith("shard_")]
    made = [file for file in files if not {"cost", "logs", "speed", ".kept"} & set(file.parts) and file.name[0] != "."]
    return {
        str(file.relative_to(top)): content_of(file) for file in made if file.name not in ("report.html", "speed.json")
    }


def _site_profile(folder: Path) -> Path:
    """The profile as a site would edit it: a rule asks for its GPU with --gres."""
    text = (_PROFILE / "profile.v9+.yaml").read_text(encoding="utf-8")
    before, after = text.split("\n  distill_round:\n", 1)
    rule, rest = after.split("\n\n", 1)
    rule = re.sub(r"    gpu_model: .*", "    gpu: 0\n    gres: gpu:1", rule)
    folder.mkdir()
    (folder / "profile.v9+.yaml").write_text(f"{before}\n  distill_round:\n{rule}\n\n{rest}", encoding="utf-8")
    return folder


def test_all_of_it_from_slides_to_report_equals_the_local_run(
    cluster: Cluster, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """With as many threads a job as the local run has cores, for sums of floats are dealt to threads."""
    project = shutil.copytree(finished, tmp_path / "tiny", ignore=shutil.ignore_patterns("results", ".snakemake"))
    wide = ("extract_features", "warm_up", "cluster_regions", "assign_neighbours", "distill_round", "embed_regions")
    options = ["--jobs", "4", "--set-threads", *(f"{rule}=2" for rule in wide)]
    profile = _site_profile(tmp_path / "profile")
    done = _snakemake(project, "config/config.yaml", *options, target="all", profile=profile, limit_s=3000)
    text = done.stdout + done.stderr
    assert done.returncode == 0, f"{text[-6000:]}\n{cluster.logs()}"
    assert (project / "results/tiny/report.html").stat().st_size > 100_000
    local, here = _results(finished), _results(project)
    assert len(local) > 60 and here.keys() == local.keys()
    assert [name for name in local if here[name] != local[name]] == []
    mine = [job for job in cluster.jobs() if job["WorkDir"] == str(project)]
    with capsys.disabled():
        print(f"\n{len(mine)} SLURM jobs, {len(local)} files equal the local run's")
    gpus = {job["Comment"].partition("_wildcards")[0]: job.get("TresPerNode") or job.get("TresPerJob") for job in mine}
    assert gpus["rule_distill_round"] == gpus["rule_warm_up"] == "gres:gpu:1"
    assert {job["JobState"] for job in mine} == {"COMPLETED"}


def _until(ready: Callable[[], Any], limit_s: float) -> Any:
    """What `ready` gives as soon as that is true."""
    end = time.monotonic() + limit_s
    while not (found := ready()):
        assert time.monotonic() < end, f"not within {limit_s:.0f} s"
        time.sleep(0.5)
    return found


def _text(file: Path) -> str:
    """Text of a log, which Snakemake deletes as it starts the job."""
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""


def test_a_training_that_is_preempted_goes_on_where_it_was(cluster: Cluster, finished: Path, tmp_path: Path) -> None:
    """Requeued by SLURM while it trains, as a job of higher priority would have it; that the end is the same, other
    tests show (tests/faults)."""
    project = copy_project(finished, tmp_path / "tiny")
    config = changed(CONFIG, "pretrain.runs", {"slpd": {}})
    for key, value in {"rounds": 1, "epochs_per_round": 300, "schedule_epochs": 400, "optimiser.lr": 0.0001}.items():
        config = changed(config, f"pretrain.defaults.{key}", value)
    write_config(project, config)
    place = "results/tiny/pretrain/slpd/round_01/state.safetensors"
    log = project / "results/tiny/logs/pretrain/slpd/distill_01.log"
    log.unlink()
    call = _call(project, "config/config.yaml", "--slurm-requeue", target=place)
    (project / place).unlink()
    told = tmp_path / "told"
    with told.open("w") as file:
        run = subprocess.Popen(call.command, cwd=call.cwd, env=call.env, stdout=file, stderr=subprocess.STDOUT)
    try:
        _until(lambda: run.poll() is not None or "regions/s" in _text(log), 300)
        assert run.poll() is None, told.read_text()[-3000:]
        (job,) = [job for job in _jobs_of(cluster, "distill_round") if job["WorkDir"] == str(project)]
        subprocess.run(["scontrol", "requeue", job["JobId"]], check=True)
        _until(lambda: "the state is saved" in _text(log), 60)
        _until(lambda: "resuming after step" in _text(log), 400)  # SLURM lets a requeued job wait for two minutes
    finally:
        subprocess.run(["scancel", "--full", "--user=root"], check=True)
        run.kill()
        run.wait()
    (again,) = [each for each in cluster.jobs() if each["JobId"] == job["JobId"]]
    assert again["Restarts"] == "1"
