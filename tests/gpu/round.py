"""The workflow's own commands, each a process as the rules start it, and the projection to the whole pretraining."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks import nsclc
from tests.gpu.cohort import place, scale_of
from tests.gpu.options import Measured, Options


def measure(options: Options) -> Iterator[Measured]:
    """Seconds of each command and of a round beyond its steps, and minutes of the whole."""
    scale = scale_of(options)
    whole = nsclc.small_scale()[1] if options.small else nsclc.nsclc_run()
    epochs = {"warmup_epochs": 1, "epochs_per_round": 1 if options.small else whole.epochs_per_round, "rounds": 1}
    run = whole.model_copy(update=epochs)
    threads = min(8, len(os.sched_getaffinity(0)))  # as the rules ask for
    gpus = int(options.device == "cuda")
    compile = nsclc.compile_by_rule(whole, scale.regions, gpus)
    jobs = nsclc.run_jobs(place(options), Path(options.folder) / "run", run, gpus, threads, compile)
    found = nsclc.project(jobs, whole, scale.regions)
    figures: dict[str, Any] = {f"{job.rule}_s": job.seconds for job in jobs}
    figures |= {f"{job.rule}_beyond_s": job.beyond for job in jobs if job.steps}
    figures |= {f"{job.rule}_regions_per_s": job.rate for job in jobs if job.steps}
    figures |= {f"{job.rule}_way": job.way for job in jobs if job.steps}
    figures |= {"beyond_s": found.round_beyond, "whole_min": found.whole / 60}
    yield figures, [*nsclc.table(jobs), *nsclc.told(found, scale.regions)]
