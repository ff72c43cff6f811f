"""Whether prototypes follow tissue or glass, and what cures it: variants of SLPD on the demo and on a planted cohort.

Every training is done in this process by the engine's own functions, and is a line of the JSON file; what stands there
already is not done again, so a run that was ended goes on. Warm-ups that variants share are kept beside it. The planted
cohort is made here; the demo is read from a finished results folder. Small form: a network of 48 values and two
blocks, 15 epochs, and the demo's tokens on 128 random directions; a minute of a core. With `--full` the demo's own.

    python -m tests.benchmarks.glass --json glass.jsonl --seeds 0 1 2 --cohorts planted
    python -m tests.benchmarks.glass --json glass.jsonl --table      # of what is there
"""

import argparse
import json
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from scipy.stats import t as student_t

from tests.benchmarks.glass_cohorts import CPU, WIDTH, Cohort, demo, planted
from tests.benchmarks.glass_measures import measures
from workflow_scripts.config import PretrainRun, merge
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.slpd.crops import centre_window, window_indices
from workflow_scripts.slpd.explained_rows import explained_row, plain_prototypes
from workflow_scripts.slpd.neighbours import find_neighbours
from workflow_scripts.slpd.prototypes import SlidePrototypes, cluster_slides
from workflow_scripts.slpd.state import TrainState, load_state, new_state, save_state
from workflow_scripts.slpd.targets import PrototypeTargets
from workflow_scripts.slpd.trainer import Trainer, embed_regions

ROOT = Path(__file__).resolve().parents[2]
MEAN = "mean"  # of patches: nothing is trained
_PUBLISHED = {"prototypes": {"mask_glass": False}}  # what the variants are compared with
_ALONE = {"loss": {"intra_weight": 0.0, "inter_weight": 0.0}}
_SMALL = {
    "model": {"dim": 48, "depth": 2, "heads": 2},
    "head": {"hidden": 256, "bottleneck": 64, "out_dim": 512},
    "crops": {"local_count": 4},
    **{"warmup_epochs": 6, "epochs_per_round": 3, "schedule_epochs": 15},
}
_FULL_REGIONS, _CROPS, _MASK = {"min_tissue": 0.8}, {"crops": {"min_tissue": 0.6}}, {"mask_glass": True}
VARIANTS: dict[str, dict[str, Any]] = {
    "slpd": {},
    "dino": _ALONE,
    "slpd, mask_glass": _MASK,
    "dino, mask_glass": _MASK | _ALONE,
    "slpd, min_tissue": {"prototypes": _FULL_REGIONS},
    "slpd, adjust": {"prototypes": {"adjust": "tissue"}},
    "slpd, crops": _CROPS,
    "dino, crops": _CROPS | _ALONE,
    "slpd, mask_glass, adjust": _MASK | {"prototypes": {"adjust": "tissue"}},
    "slpd, mask_glass, min_tissue": _MASK | {"prototypes": _FULL_REGIONS},
    "slpd, mask in clustering": {"prototypes": {"mask_glass": True}},
    "dino, mask in clustering": {"prototypes": {"mask_glass": True}} | _ALONE,
    "slpd, weighting": {"prototypes": {"weighting": "tissue"}},
    "slpd, min_tissue, others none": {"prototypes": _FULL_REGIONS | {"others": "none"}},
    "slpd, mask_glass, crops": _MASK | _CROPS,
    "dino, mask_glass, crops": _MASK | _CROPS | _ALONE,
    "slpd, mask_glass, crops, adjust": _MASK | _CROPS | {"prototypes": {"adjust": "tissue"}},
}
# Of one teacher after the warm-up: what the clustering alone changes.
CLUSTERINGS: dict[str, dict[str, Any]] = {
    "as published": {},
    "full view": {"view": "full"},
    "mask_glass": {"mask_glass": True},
    "mask_glass, full view": {"mask_glass": True, "view": "full"},
    "min_tissue 0.6": {"min_tissue": 0.6},
    "min_tissue 0.8": {"min_tissue": 0.8},
    "min_tissue 0.8, others none": {"min_tissue": 0.8, "others": "none"},
    "weighting": {"weighting": "tissue"},
    "adjust": {"adjust": "tissue"},
    "mask_glass, adjust": {"mask_glass": True, "adjust": "tissue"},
}
PAIRS = [
    ("slpd", "dino"),
    ("slpd, mask in clustering", "dino, mask in clustering"),
    ("slpd, mask_glass", "dino, mask_glass"),
    ("slpd, crops", "dino, crops"),
]


def settings(variant: str, seed: int, full: bool) -> PretrainRun:
    """The demo's settings, glass seen as published, under those of a variant."""
    demo = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))["pretrain"]["defaults"]
    given = merge(demo, _PUBLISHED)
    own = merge(given if full else merge(given, _SMALL), VARIANTS.get(variant, {}))
    return PretrainRun.model_validate(own | {"seed": seed})


def clustered(cohort: Cohort, run: PretrainRun, state: TrainState, number: int) -> SlidePrototypes:
    """Prototypes as `cluster_regions` makes them in round `number`."""
    grid = cohort.tokens.shape[1]
    centre = run.prototypes.view == "centre"
    window = centre_window(grid, run.crops.global_size) if centre else window_indices(grid, grid)[0]
    data = cohort.data(run.clusters_without_glass)
    features, projected = embed_regions(state.teacher, data, window)
    chosen = features if run.prototypes.features == "backbone" else projected
    seed = derive_seed(run.seed, "round", number)
    names, tissue = cohort.facts.slide_ids, cohort.facts.tissue
    return cluster_slides(chosen.numpy(), names, cohort.counts, run.prototypes, seed, tissue=tissue)


def warmed_up(cohort: Cohort, run: PretrainRun, trainer: Trainer, kept: Path) -> TrainState:
    """The state after the warm-up, which is kept for the variants that share it."""
    dim = cohort.tokens.shape[-1]
    path = kept / f"{cohort.name}_{dim}_{run.warm_up_key()}.safetensors"
    if path.exists():
        return load_state(path, run, dim, CPU)[0]
    state = new_state(run, dim, CPU)
    for _ in trainer.steps(state, run.warmup_epochs, None):
        pass
    save_state(path, state)
    return state


def trained(cohort: Cohort, run: PretrainRun, kept: Path) -> TrainState:
    """The state after all rounds."""
    trainer = Trainer(run, cohort.data(run.mask_glass), compile="false")
    state = warmed_up(cohort, run, trainer, kept)
    for number in range(1, run.rounds + 1):
        targets = None
        if run.uses_prototypes:
            found = clustered(cohort, run, state, number)
            near = find_neighbours(found.vectors, found.valid, run.neighbours, cohort.patients)
            targets = PrototypeTargets(found, near, cohort.facts.slide, CPU)
        for _ in trainer.steps(state, state.epoch + run.epochs_per_round, targets):
            pass
    return state


def measured(cohort: Cohort, variant: str, seed: int, full: bool, kept: Path) -> dict[str, float | None]:
    """Measures of a variant, of its last teacher and a clustering of its own."""
    run, facts = settings(variant, seed, full), cohort.facts
    if variant == MEAN:
        every = np.repeat(np.where(cohort.counts >= run.prototypes.min_regions, 0, -1), cohort.counts)
        own = plain_prototypes(facts, cohort.means(), every, run.prototypes, seed)
        return measures(cohort, cohort.means(), own, run.prototypes, seed + 1)
    state, grid = trained(cohort, run, kept), cohort.tokens.shape[1]
    own = clustered(cohort, run, state, run.rounds + 1).assignment
    embeddings = embed_regions(state.teacher, cohort.data(run.mask_glass), window_indices(grid, grid)[0])[0]
    return measures(cohort, embeddings.numpy(), own, run.prototypes, seed)


def tell_clusterings(cohort: Cohort, seeds: list[int], full: bool, kept: Path) -> None:
    """Print what each clustering of the warm-ups' teachers follows and finds, three seeds of k-means each."""
    print(f"\n{cohort.name}, clusterings of the teacher after the warm-up of seeds {seeds}\n")
    print("| clustering | tissue fraction explained, adjusted | true classes | the same, regions of 80 % tissue |")
    print("|---|---|---|---|")
    runs = [settings("slpd", seed, full) for seed in seeds]
    states = [warmed_up(cohort, run, Trainer(run, cohort.data(False), compile="false"), kept) for run in runs]
    for name, over in CLUSTERINGS.items():
        rows = []
        for run, state in zip(runs, states, strict=True):
            own = run.model_copy(update={"prototypes": run.prototypes.model_copy(update=over)})
            found = [clustered(cohort, own, state, number).assignment for number in (1, 2, 3)]
            rows.append([explained_row(cohort.facts, one, None) for one in found])
        values = np.array([[[r["tissue"]["adjusted"], r["truth"], r["truth_tissue"]] for r in own] for own in rows])
        by_seed = values.mean(axis=1)
        spread = by_seed.std(axis=0, ddof=1) if len(seeds) > 1 else np.full(3, np.nan)
        told = [f"{mean:.3f} ({sd:.3f})" for mean, sd in zip(by_seed.mean(axis=0), spread, strict=True)]
        print(f"| {name} | {' | '.join(told)} |", flush=True)


def read_lines(path: Path) -> dict[tuple[str, str, int, bool], dict[str, float | None]]:
    """Measures by cohort, variant, seed and form."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {(one["cohort"], one["variant"], one["seed"], one["full"]): one["measures"] for one in lines}


def _values(lines: dict, cohort: str, variant: str, full: bool) -> dict[int, dict]:
    return {key[2]: value for key, value in lines.items() if key[:2] == (cohort, variant) and key[3] == full}


def _difference(one: dict[int, dict], other: dict[int, dict], name: str) -> str:
    """Mean paired difference over the seeds that both have, with its 95 % t interval."""
    seeds = sorted(set(one) & set(other))
    pairs = [(one[seed][name], other[seed][name]) for seed in seeds]
    d = np.array([a - b for a, b in pairs if a is not None and b is not None])
    if not len(d):
        return ""
    if len(d) < 2:
        return f"{d[0]:+.3f}"
    half = student_t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d))
    return f"{d.mean():+.3f} [{d.mean() - half:+.3f}, {d.mean() + half:+.3f}]"


def tell(lines: dict, cohort: str, full: bool) -> None:
    """Print means over seeds with their standard deviation, and paired differences."""
    found = {variant: _values(lines, cohort, variant, full) for variant in [MEAN, *VARIANTS]}
    found = {variant: values for variant, values in found.items() if values}
    if not found:
        return
    names = list(next(iter(next(iter(found.values())).values())))
    print(f"\n{cohort}{', full' if full else ''}\n\n| variant | seeds | {' | '.join(names)} |")
    print("|---" * (len(names) + 2) + "|")
    for variant, values in found.items():
        cells = []
        for name in names:
            own = np.array([one[name] for one in values.values() if one[name] is not None])
            spread = f" ({own.std(ddof=1):.3f})" if len(own) > 1 else ""
            cells.append(f"{own.mean():.3f}{spread}" if len(own) else "")
        print(f"| {variant} | {len(values)} | {' | '.join(cells)} |")
    pairs = [*PAIRS, *((variant, "slpd") for variant in found if variant not in ("slpd", MEAN))]
    print(f"\n| difference | {' | '.join(names)} |")
    print("|---" * (len(names) + 1) + "|")
    for one, other in pairs:
        if one in found and other in found:
            cells = [_difference(found[one], found[other], name) for name in names]
            print(f"| {one} - {other} | {' | '.join(cells)} |")


def make_cohort(name: str, args: argparse.Namespace) -> Cohort:
    """A cohort by its name."""
    if name == "planted":
        return planted()
    return demo(args.demo, args.truth, ROOT / "config/demo/slides.csv", 10**6 if args.full else WIDTH)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="file of lines, appended to")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--cohorts", nargs="*", default=["planted"], choices=["planted", "demo"])
    parser.add_argument("--variants", nargs="*", default=[MEAN, *VARIANTS])
    parser.add_argument("--full", action="store_true", help="the demo's own network and tokens")
    parser.add_argument("--demo", type=Path, default=ROOT / "results/demo", help="a finished demo")
    parser.add_argument("--truth", type=Path, default=ROOT / "resources/demo/truth", help="its maps of classes")
    parser.add_argument("--table", action="store_true", help="print what is there, and do nothing")
    parser.add_argument("--clusterings", action="store_true", help="cluster the warm-ups' teachers, train no rounds")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    cohorts = {} if args.table else {name: make_cohort(name, args) for name in args.cohorts}
    if args.clusterings:
        for cohort in cohorts.values():
            tell_clusterings(cohort, args.seeds, args.full, args.json.parent)
        return
    for variant, (name, cohort), seed in product(args.variants, cohorts.items(), args.seeds):
        if (name, variant, seed, args.full) in read_lines(args.json):
            continue
        began = time.monotonic()
        found = measured(cohort, variant, seed, args.full, args.json.parent)
        line = {"cohort": name, "variant": variant, "seed": seed, "full": args.full, "measures": found}
        with args.json.open("a") as file:
            file.write(json.dumps(line | {"seconds": round(time.monotonic() - began, 1)}) + "\n")
        print(f"{name}, {variant}, seed {seed}: {time.monotonic() - began:.0f} s", flush=True)
    for name in ("planted", "demo"):
        tell(read_lines(args.json), name, args.full)


if __name__ == "__main__":
    main()
