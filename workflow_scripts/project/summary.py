"""What a person reads once the project is written: problems, regions, cost, the command to run, and what comes next."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.project.findings import (
    doubts_found,
    excluded_found,
    limits_found,
    regions_found,
    remote_found,
    slides_found,
    too_many_lost,
    twins_found,
)
from workflow_scripts.project.outlook import (
    cost_found,
    disk_found,
    rounds_taken,
    shortage_found,
    steps_found,
    trial_found,
)
from workflow_scripts.project.places import CONFIG, DEPLOYED_CONFIG
from workflow_scripts.project.plan import Plan
from workflow_scripts.project.settings import SHORT
from workflow_scripts.project.wording import wrapped

_WIDTH = 100


def run_commands(root: Path, folder: Path, gpus: int) -> list[str]:
    """The commands that run the workflow in a project's folder, to be given there.

    Snakemake finds the `Snakefile` of a clone by itself, and the `workflow/Snakefile` that `snakedeploy` writes. The
    latter always reads `config/config.yaml`, the demo's, below any `--configfile`: the project's takes its place.

    Args:
        root: the workflow's clone, or where its package is installed, which has no `Snakefile`.
        folder: the project's.
        gpus: that Snakemake may lease.
    """
    command = ["snakemake", "--cores", "all"]
    own, deployed = ((folder / place).is_file() for place in ("Snakefile", "workflow/Snakefile"))
    if not own and not deployed:
        clone = root.as_posix() if (root / "Snakefile").is_file() else "CLONE"
        command += ["--snakefile", f"{clone}/Snakefile"]
    command += ["--resources", f"gpu={gpus}"] if gpus else []
    if deployed and not own:
        return [f"cp {CONFIG} {DEPLOYED_CONFIG}", shlex.join(command)]
    return [shlex.join([*command, "--configfile", CONFIG])]


def _paragraph(*sentences: str) -> list[str]:
    """Sentences with an empty line after them; nothing where all are empty."""
    lines = wrapped(sentences, _WIDTH, further="  ")
    return [*lines, ""] if lines else []


def _commands(folder: Path | None, *commands: str) -> list[str]:
    return [f"    {line}" for line in ([f"cd {shlex.quote(folder.as_posix())}"] if folder else []) + list(commands)]


def _found(plan: Plan) -> list[str]:
    """Slides and what is wrong with them, the choice of regions, and the cost; my.yaml says the rest."""
    survey, layout = plan.survey, plan.layout
    manifest = plan.config.cohort.manifest
    problems = [*twins_found(survey, manifest), *excluded_found(survey, manifest), *doubts_found(survey)]
    problems.append(too_many_lost(survey))
    lines = _paragraph(slides_found(survey), remote_found(survey), *problems)
    lines += _paragraph(regions_found(survey, layout), *limits_found(survey, layout))
    if not survey.counts:
        return lines
    fewer = rounds_taken(plan.paper_cost, plan.machine, True) if plan.fewer_rounds else ""
    costs = [*cost_found(plan.cost, plan.config), disk_found(plan.cost, survey.expected_slides)]
    lines += _paragraph(*costs, *shortage_found(plan.cost, plan.machine), fewer, steps_found(plan.cost))
    return lines + _paragraph(trial_found(plan.cost, plan.short_cost, SHORT, CONFIG))


def _run(plan: Plan, commands: Sequence[str], folder: Path | None) -> list[str]:
    """The commands to run; where no slide can be used yet, what to do before."""
    cohort = plan.config.cohort
    if not plan.survey.counts:
        return _paragraph(
            f"No slide can be used yet. Fill in column mpp of {cohort.manifest} or mend the slides, then start the "
            f"project again, with --manifest {cohort.manifest} --force in place of the folder."
        )
    clone = " (CLONE is the folder of the workflow's clone)" if "CLONE/Snakefile" in commands[-1] else ""
    return [f"Run this, and open results/{cohort.name}/report.html{clone}:", "", *_commands(folder, *commands), ""]


def summary(plan: Plan, written: Sequence[Path], commands: Sequence[str], folder: Path | None) -> str:
    """Text for the terminal.

    Args:
        plan: the project.
        written: files that were written.
        commands: that run the workflow.
        folder: where the commands are to be given; None where it is the current folder.
    """
    files = ", ".join(path.as_posix() for path in written)
    manifest = plan.config.cohort.manifest
    patients = (
        f"Where a patient has several slides, fill in patient_id in {manifest} before the first run: filling it in "
        "later trains again."
    )
    labels = (
        f"Labels can be added at any time: as columns of {manifest}, named under benchmark.tasks in {CONFIG}, whose "
        "last lines show how. Run the same again, and only the benchmark and the report run."
    )
    lines = [
        *_found(plan),
        f"Written: {files}. {CONFIG} says more on each of these points.",
        "",
        *_run(plan, commands, folder),
        *wrapped([patients, labels], _WIDTH, further="  "),
    ]
    return "\n".join(lines)
