"""What a project runs on and what it will cost, in sentences."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from workflow_scripts.config import Config
from workflow_scripts.config.encoders import ENCODERS
from workflow_scripts.project.cost import Cost
from workflow_scripts.project.encoder import PAPER_ENCODER, PAPER_FILE, EncoderChoice, of_tissue, to_be_had
from workflow_scripts.project.machine import Machine
from workflow_scripts.project.rates import SPREAD
from workflow_scripts.project.settings import FEWER_ROUNDS
from workflow_scripts.project.wording import counted, hours, size

_PUBLISHED_STEPS = 62_853 // 512 * 100  # regions of TCGA-NSCLC, batch, epochs
_FEW_STEPS = 1000


def encoder_taken(encoder: EncoderChoice) -> str:
    """The encoder that the configuration names."""
    facts = ENCODERS[encoder.model]
    weights = encoder.weights or ("in the hub's cache" if facts.hub else "in a Python package")
    seen = (
        "" if of_tissue(encoder.model) else " It has seen no tissue: good to start with, weaker than one of pathology."
    )
    return (
        f"Encoder: {encoder.model} ({facts.architecture}), for its weights are on this machine ({weights}). "
        f"Trained on {facts.pretrained_on}; {facts.licence}.{seen}"
    )


def better_encoders(encoder: EncoderChoice, found: Mapping[str, Path | None]) -> list[str]:
    """What else there is, and how to get it."""
    free, gated = to_be_had(found)
    lines = []
    if here := [name for name in encoder.others if of_tissue(name)]:
        lines.append(f"Also on this machine: {', '.join(here)}.")
    lines.append("Others, to be named as model (and as encoder, the folder of their features):")
    if PAPER_ENCODER not in found:
        lines.append(f"- {PAPER_ENCODER}, the paper's, with weights: the path of {PAPER_FILE} (HIPT repository);")
    if free:
        lines.append(f"- {', '.join(free)}, fetched with allow_network: true;")
    if gated:
        lines.append(f"- {', '.join(gated)}, the same once their terms are accepted and `hf auth login` is done.")
    return [*lines, "docs/encoders.md has their licences and what they were trained on."]


def machine_found(machine: Machine) -> str:
    """What this machine has."""
    gpus = counted(machine.gpus, "GPU") if machine.gpus else "no GPU"
    return (
        f"Machine: {counted(machine.cores, 'core')}, {gpus}, {size(machine.memory)} of memory and "
        f"{size(machine.disk_free)} of disk free."
    )


def cost_found(cost: Cost, config: Config) -> list[str]:
    """Hours and bytes of the run."""
    return [
        f"Features: {hours(cost.features_h)}, {size(cost.feature_bytes.high)} on disk.",
        f"Pretraining ({_schedule(config)}): {hours(cost.pretrain_h)}, {size(cost.states * cost.state_bytes)} on disk "
        f"({cost.states:,} training states of {size(cost.state_bytes)}).",
    ]


def disk_found(cost: Cost, slides: float) -> str:
    """Bytes of all together and of one slide, and why training states take what they do.

    Args:
        cost: of the run.
        slides: that will be used.
    """
    return (
        f"Disk in all: {size(cost.disk_bytes)}. Features take {size(cost.feature_bytes.high / slides)} a slide. The "
        "states take the same for any number of slides: that of every round is kept, student, teacher and optimiser, "
        "and two thirds of it are the head's outputs."
    )


def cost_source(machine: Machine) -> str:
    """What the hours rest on."""
    if machine.gpus:
        return "The hours are calculated from the peaks of a small and a large GPU; none was measured."
    return f"The shorter times are those of a processor that was measured; others take up to {SPREAD:g} times."


def shortage_found(cost: Cost, machine: Machine) -> list[str]:
    """What disk and memory do not suffice for."""
    lines = []
    if cost.disk_bytes > machine.disk_free:
        lines.append(
            f"{size(cost.disk_bytes)} of disk are needed and {size(machine.disk_free)} are free: make room, or run "
            "where there is more."
        )
    if cost.feature_bytes.high > machine.memory:
        lines.append("The features do not fit in memory: training reads them from the disk, which is slower.")
    return lines


def steps_found(cost: Cost) -> str:
    """That a cohort is too small to train on with the paper's batches, or nothing."""
    if cost.steps >= _FEW_STEPS:
        return ""
    return (
        f"Few regions: training takes {counted(cost.steps, 'step')} in all, {_PUBLISHED_STEPS:,} on TCGA-NSCLC, "
        "and will not learn much. A smaller pretrain.defaults.optimiser.batch_size makes more of them; more slides are "
        "what helps."
    )


def _schedule(config: Config) -> str:
    run, paper = config.pretrain.defaults, Config().pretrain.defaults
    name = "the paper's network" if (run.model, run.head) == (paper.model, paper.head) else "a smaller network"
    epochs = f" of {run.epochs_per_round} epochs" if run.epochs_per_round > 1 else ""
    runs = " and ".join(config.pretrain.runs)
    return f"{name}, {run.warmup_epochs} epochs and {run.rounds} rounds{epochs}, runs {runs}"


def rounds_taken(paper_cost: Cost, machine: Machine, fewer: bool) -> str:
    """Why there are fewer rounds than the paper's, or how to have fewer.

    Args:
        paper_cost: of a run with the paper's rounds.
        machine: with the disk that is free.
        fewer: whether fewer are taken.
    """
    paper = Config().pretrain.defaults
    rounds, epochs = FEWER_ROUNDS["rounds"], FEWER_ROUNDS["epochs_per_round"]
    if fewer:
        return (
            f"With the paper's {paper.rounds} rounds of one epoch the run would store {size(paper_cost.disk_bytes)}; "
            f"{size(machine.disk_free)} are free: {rounds} rounds of {epochs} epochs are taken, as in the presets."
        )
    return (
        f"The presets' {rounds} rounds of {epochs} epochs, in place of {paper.rounds} of one, take a third of the disk:"
    )


def short_found(cost: Cost, short: Cost, fewer: bool) -> str:
    """What a short pretraining costs in time and disk, to stand above its keys.

    Args:
        cost: of the run as it is configured.
        short: of the run with these keys.
        fewer: whether fewer rounds than the paper's are taken, in lines above.
    """
    instead = "in place of the two lines of rounds above" if fewer else "in place of the rounds above"
    return (
        f"For a first trial, take these lines {instead}: pretraining then takes {hours(short.pretrain_h)} in place "
        f"of {hours(cost.pretrain_h)}, the run {size(short.disk_bytes)} of disk in place of {size(cost.disk_bytes)}, "
        f"and the features {hours(short.features_h)} as before. A small head and a twentieth of the epochs show how "
        "the cohort goes through, not what SLPD can do. The features are kept for the long run."
    )


def trial_found(cost: Cost, short: Cost, keys: Iterable[str], config_file: str) -> str:
    """For the terminal: what a first trial costs, and where its keys are.

    Args:
        cost: of the run as it is configured.
        short: of the run with a short pretraining.
        keys: that make it short.
        config_file: the configuration, which has them as comments.
    """
    return (
        f"For a first trial, take the '# ' off the lines below \"For a first trial\" in {config_file} "
        f"({', '.join(keys)}): pretraining then takes {hours(short.pretrain_h)} in place of {hours(cost.pretrain_h)}, "
        f"and the run {size(short.disk_bytes)} of disk in place of {size(cost.disk_bytes)}."
    )
