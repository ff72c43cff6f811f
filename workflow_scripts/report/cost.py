"""What the jobs of a cohort took, by stage and rule, from the files of Snakemake's `benchmark` directive.

The rules write `cost/{rule}/` and the path of the job's log below `logs`, so each file has its log. A file is of the
last time that its job ran to its end.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from workflow_scripts.core.gpu import GPUS_TOLD
from workflow_scripts.core.kept import TAKEN_BACK

RULES = {
    "demo": ("make_demo_slide",),
    "cohort": ("fetch_slide", "check_slide", "summarise_cohort", "summarise_test_cohort"),
    "tissue": ("segment_tissue",),
    "regions": ("tile_regions", "import_features"),
    "features": (
        "extract_features",
        "extract_test_features",
        "index_features",
        "index_test_features",
        "export_features",
    ),
    "pretrain": (
        *("choose_slides", "warm_up", "cluster_regions", "assign_neighbours", "distill_round", "cluster_test_regions"),
        "export_model",
    ),
    "embed": (
        *("embed_regions", "embed_baseline", "embed_patches", "embed_prototypes", "embed_table", "export_prototypes"),
        *("index_regions", "export_anndata"),
    ),
    "atlas": ("group_prototypes", "describe_groups", "explain_prototypes", "map_attention", "export_qupath"),
    "benchmark": (
        *("split_patients", "fit_head", "measure_retrieval", "collect_results", "export_heads", "score_textures"),
        "export_results",
    ),
    "report": ("draw_figures",),
    "apply": ("apply_slides",),
}
"""Rules of each stage; without the report's own, whose writing is under way while it is written."""
ON_GPU = {
    *("extract_features", "extract_test_features", "warm_up", "cluster_regions", "cluster_test_regions"),
    *("distill_round", "embed_regions", "map_attention", "fit_head"),
}
"""Rules whose jobs may lease GPUs, and tell how many in their log."""


class Job(NamedTuple):
    """What one job took.

    Attributes:
        seconds: from its start to its end.
        gpus: that it leased; None where its log is gone.
        peak_mib: greatest resident memory of all its processes, MiB, which Snakemake calls MB; None of a job too short
            to be looked at.
        load: mean load of the processors, per cent of one core; None likewise.
        taken_back: whether it took its last result back in place of making it, as its log tells.
    """

    seconds: float
    gpus: int | None
    peak_mib: float | None
    load: float | None
    taken_back: bool = False


class Line(NamedTuple):
    """What the jobs of a rule, of a stage or of the cohort took; None is what no job, or not every job, tells.

    Attributes:
        stage, rule: empty where the line is of all.
        jobs: their number.
        seconds, gpu_seconds: sums; a job's GPU seconds are its seconds times the GPUs that it leased.
        peak_mib: greatest of any job, MiB.
        load: mean over the seconds of the jobs that tell it, per cent of one core.
    """

    stage: str
    rule: str
    jobs: int
    seconds: float
    gpu_seconds: float | None
    peak_mib: float | None
    load: float | None


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:  # NA: the job was over before Snakemake looked at it; - : nothing was measured
        return None


def _text(log: Path | None) -> str | None:
    """What a log says; None where there is none."""
    try:
        return log.read_text(encoding="utf-8", errors="replace") if log else ""
    except OSError:
        return None


def _gpus(text: str) -> int:
    """GPUs that a job has leased, as its log tells; 0 where it says nothing of any."""
    told = re.search(GPUS_TOLD.replace("%d", r"(\d+)"), text)
    return int(told[1]) if told else 0


def _read_job(file: Path, log: Path | None) -> Job | None:
    """What a file of `benchmark` says; None where it is cut off or of another form."""
    with file.open(encoding="utf-8", errors="replace", newline="") as lines:
        row = next(csv.DictReader(lines, delimiter="\t"), {})
    seconds = _number(row.get("s"))
    if seconds is None:
        return None
    text = _text(log)
    gpus = None if text is None else _gpus(text)
    return Job(seconds, gpus, _number(row.get("max_rss")), _number(row.get("mean_load")), TAKEN_BACK in (text or ""))


def read_jobs(root: Path) -> dict[str, list[Job]]:
    """Jobs of each rule in a cohort's folder, as far as they were timed."""
    found: dict[str, list[Job]] = {}
    for rule in (rule for rules in RULES.values() for rule in rules):
        folder = root / "cost" / rule
        jobs = []
        for file in sorted(folder.rglob("*.tsv")):
            log = root / "logs" / file.relative_to(folder).with_suffix(".log") if rule in ON_GPU else None
            jobs.append(_read_job(file, log))
        found[rule] = [job for job in jobs if job is not None]
    return found


def untimed_jobs(root: Path) -> list[str]:
    """Logs of jobs of which no time is recorded, below `logs` and without their suffix.

    Such jobs ran before times were recorded, failed, or are running as the report is written.
    """
    cost = root / "cost"
    timed = {Path(*file.relative_to(cost).parts[1:]).with_suffix("") for file in cost.rglob("*.tsv")}
    logs = {file.relative_to(root / "logs").with_suffix("") for file in (root / "logs").rglob("*.log")}
    return sorted(path.as_posix() for path in logs - timed - {Path("report")})


def _line(stage: str, rule: str, jobs: list[Job]) -> Line:
    on_gpu = [None if job.gpus is None else job.gpus * job.seconds for job in jobs]
    known = [value for value in on_gpu if value is not None]
    peaks = [job.peak_mib for job in jobs if job.peak_mib is not None]
    loads = [(job.load, job.seconds) for job in jobs if job.load is not None and job.seconds > 0]
    told = sum(seconds for _, seconds in loads)
    return Line(
        stage,
        rule,
        len(jobs),
        sum(job.seconds for job in jobs),
        sum(known) if len(known) == len(on_gpu) else None,
        max(peaks, default=None),
        sum(load * seconds for load, seconds in loads) / told if told else None,
    )


def cost_lines(jobs: dict[str, list[Job]]) -> list[Line]:
    """A line for each rule that has jobs, one for each stage of several rules below them, and one of all at the end.

    Args:
        jobs: of each rule, from `read_jobs`.
    """
    lines = [line for stage, rules in RULES.items() for line in _of_stage(stage, rules, jobs)]
    return [*lines, _line("", "", [*_all(jobs.values())])] if lines else []


def _of_stage(stage: str, rules: Iterable[str], jobs: dict[str, list[Job]]) -> Iterator[Line]:
    there = [rule for rule in rules if jobs.get(rule)]
    for rule in there:
        yield _line(stage, rule, jobs[rule])
    if len(there) > 1:
        yield _line(stage, "", [*_all(jobs[rule] for rule in there)])


def _all(lists: Iterable[list[Job]]) -> Iterator[Job]:
    return (job for one in lists for job in one)
