"""What the parts compute, against sums by hand; that the parity part sees an engine that is wrong."""

import multiprocessing as mp
import threading
from argparse import Namespace

import numpy as np
import pytest
import torch

from tests.benchmarks import nsclc
from tests.benchmarks.nsclc import Job, Scale, project, region_counts, settled_rate, write_cohort
from tests.benchmarks.step import plain
from tests.gpu import parity
from tests.gpu.unit import files_with_gpu_cases
from tests.gpu.ways import Way, not_so, told_lines
from workflow_scripts.config import PretrainRun
from workflow_scripts.core.entry import log
from workflow_scripts.core.feature_store import load_features, usable_slides


def test_parity_sees_another_temperature_and_a_lost_loss() -> None:
    settings, wanted = parity.run_settings(), parity.wanted_losses(True, 2)
    cpu = torch.device("cpu")
    assert parity.apart(parity.found_losses(settings, cpu, True, 2), wanted) < 1e-5
    warmer = settings.model_copy(update={"loss": settings.loss.model_copy(update={"student_temp": 0.1001})})
    assert parity.apart(parity.found_losses(warmer, cpu, True, 2), wanted) > 1e-4
    alone = settings.model_copy(update={"loss": settings.loss.model_copy(update={"inter_weight": 0.0})})
    assert parity.apart(parity.found_losses(alone, cpu, True, 2), wanted) > 1e-2


def test_a_loss_that_is_no_number_is_as_far_apart_as_can_be() -> None:
    one = torch.tensor([[1.0, 2.0]])
    assert parity.apart(torch.tensor([[1.0, float("nan")]]), one) == float("inf")
    assert parity.apart(torch.tensor([[1.0, 2.2]]), one) == pytest.approx(0.1)


def test_a_made_cohort_has_the_regions_that_were_asked_for(tmp_path) -> None:
    scale = Scale(slides=5, regions=37, grid=4, dim=6)
    assert write_cohort(tmp_path, scale) == 37 * 16 * 6 * 2
    slides = usable_slides(tmp_path / "slides.parquet")
    store = load_features(tmp_path / "features", slides)
    assert (len(slides), len(store.region_ids), store.grid, store.dim, store.nbytes) == (5, 37, 4, 6, 37 * 16 * 6 * 2)
    assert store.counts.tolist() == region_counts(scale)
    first = [store.tokens[start] for start in store.starts]
    assert not any(np.array_equal(first[0], other) for other in first[1:])  # slides differ


def test_the_published_cohort_has_its_size() -> None:
    counts = region_counts(Scale())
    assert (len(counts), sum(counts)) == (1041, 62_853)
    assert min(counts) >= 28 and max(counts) <= 95  # half to one and a half times 60


JOBS = [
    Job("warm_up", 30.0, {"imports": 4.0, "exit": 0.5, "open_session": 5.0, "train": 20.0, "main itself": 0.5},
        steps=10, rate=100.0, batch=100, way="compiled and recorded"),
    Job("cluster_regions", 8.0, {"embed_regions": 3.0, "imports": 5.0}),
    Job("assign_neighbours", 2.0, {"find_neighbours": 2.0}),
    Job("distill_round", 26.0, {"train": 22.0, "imports": 4.0}, steps=10, rate=50.0, batch=100, way="recorded"),
]  # fmt: skip


def test_where_the_time_of_a_job_went_adds_up() -> None:
    for job in JOBS:
        assert sum(job.pieces().values()) == pytest.approx(job.seconds)
    warm_up = JOBS[0].pieces()
    assert warm_up["steps"] == 10.0 and warm_up["first steps"] == 10.0 and warm_up["features"] == 5.0
    assert (JOBS[0].beyond, JOBS[1].beyond, JOBS[3].beyond) == (20.0, 8.0, 6.0)


def test_the_projection_by_hand() -> None:
    run = PretrainRun(warmup_epochs=21, rounds=26, epochs_per_round=3)
    found = project(JOBS, run, 1050)  # ten steps of 100; the rest is left out
    assert found.steps == 21 * 10 * 1.0 + 78 * 10 * 2.0
    assert (found.warm_up_beyond, found.round_beyond) == (20.0, 8.0 + 2.0 + 6.0)
    assert found.whole == found.steps + 20.0 + 26 * 16.0
    assert "steps of the warm-up are compiled and recorded, of rounds recorded;" in nsclc.told(found, 1050)[1]
    assert nsclc.table(JOBS)[2].endswith("| 100 | compiled and recorded |")


def test_jobs_are_compiled_where_those_of_the_whole_are() -> None:
    """By `auto`, 21 epochs of the cohort are beyond a million regions, and the three of a round are not."""
    whole = nsclc.nsclc_run()
    assert nsclc.compile_by_rule(whole, nsclc.REGIONS, 1) == {"warm_up": "true", "distill_round": "auto"}
    assert nsclc.compile_by_rule(whole, 40_000, 1) == nsclc.compile_by_rule(whole, nsclc.REGIONS, 0)
    assert set(nsclc.compile_by_rule(whole, nsclc.REGIONS, 0).values()) == {"auto"}


def test_the_way_of_a_job_is_what_its_log_tells() -> None:
    took = [f"{what} took 2.0 s\n" for what in ("compiling the training step", "recording the step as a CUDA graph")]
    assert nsclc.way_of("") == "as written"
    assert nsclc.way_of("compiling the training step did not work here") == "as written"
    assert nsclc.way_of("".join(took)) == "compiled and recorded"
    assert nsclc.way_of(took[1]) == "recorded"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--small", "--epochs", "3", "--slides", "9"], "leave out --slides and --epochs"),
        (["--gpus", "0", "--epochs", "0"], "argument --epochs: 0 is no whole number from 1 on"),
        (["--gpus", "-1"], "argument --gpus"),
        (["--small", "--folder", "/no/such"], "argument --folder: /no/such is no folder"),
        (["--small", "--json", "/no/such/file"], "argument --json: /no/such is no folder"),
        (["--smal"], "unrecognized arguments: --smal"),
    ],
)
def test_arguments_are_checked_before_anything_runs(words: list[str], told: str, capsys) -> None:
    with pytest.raises(SystemExit):
        nsclc.arguments(words)
    assert told in capsys.readouterr().err


def test_the_whole_size_without_a_gpu_ends_in_a_sentence(monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    with pytest.raises(SystemExit, match=r"no GPU here; python -m tests\.benchmarks\.nsclc --small"):
        nsclc.arguments([])
    assert nsclc.arguments(["--small"]).gpus == 0 and nsclc.arguments(["--gpus", "0"]).gpus == 0


def test_the_rate_is_that_of_the_later_steps() -> None:
    assert settled_rate([1, 1, 1, 10, 10, 30, 30]) == pytest.approx(4 / (2 / 10 + 2 / 30))
    assert settled_rate([2.0, 4.0]) == pytest.approx(2 / 0.75)


def test_the_preset_is_read() -> None:
    run = nsclc.nsclc_run()
    assert (run.rounds, run.epochs_per_round, run.warmup_epochs, run.optimiser.batch_size) == (26, 3, 21, 512)


def test_the_plain_loop_runs_on_batches_at_hand() -> None:
    ours, theirs = mp.Pipe()
    args = Namespace(regions=8, batch=2, workers=0, threads=1, device="cpu", out_dim=16)
    loop = threading.Thread(target=plain, args=(theirs, args))
    loop.start()
    assert ours.recv() == "float32"
    for _ in range(2):
        ours.send("step")
        seconds, mib = ours.recv()
        assert seconds > 0 and mib > 0
    ours.send("end")
    loop.join()


def test_steps_that_were_not_computed_as_asked_are_told() -> None:
    way = Way({"compile": "true"}, "compiling the training step took")
    assert not_so(way, ["compiling the training step took 20.0 s"]) == ""
    failed = "compiling the training step did not work here, so training goes on without: no compiler"
    assert not_so(way, [failed]) == failed
    assert not_so(way, ["training epochs 0 to 1"]) == not_so(way, []) == "the log does not tell of it"
    assert not_so(Way({}), []) == ""  # as written, it says nothing


def test_what_the_log_tells_is_heard_meanwhile_alone() -> None:
    with told_lines() as told:
        log.info("%d steps", 3)
    log.warning("afterwards")
    assert told == ["3 steps"]


def test_all_files_with_cases_for_a_gpu_are_run() -> None:
    files = files_with_gpu_cases()
    assert "tests/unit/slpd/test_tokens.py" in files
    assert not [file for file in files if file.startswith("tests/unit/gpu/")]  # which would run themselves
