"""SLPD against DINO alone and the mean of patches on the demo cohort, over several seeds.

Pretrains variants of the demo's settings on the features of a finished demo (`make demo` first), embeds its slides and
fits the demo's heads on the demo's own folds. Differences are paired by patient and averaged over seeds; an interval is
the 95 % patient bootstrap of that average, on resamples that all variants share. Also two probes of regions, which say
what the wide intervals of two dozen patients cannot: a region's planted texture told from its embedding, on other
patients, by a linear model and by its 20 nearest neighbours.

    python -m tests.benchmarks.demo_seeds --seeds 0 1 2
    python -m tests.benchmarks.demo_seeds --variant slpd8 prototypes.count=8 --variant k3 neighbours.count=3
"""

import argparse
import json
import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.unit.slpd.cohort import run_epochs
from workflow_scripts.config import PretrainRun, load_config, merge
from workflow_scripts.core.feature_store import FeatureStore, usable_slides
from workflow_scripts.core.labels import read_labels
from workflow_scripts.core.manifest import read_manifest
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.core.tables import read_table
from workflow_scripts.mil.agreement import majority_classes, prototype_agreement
from workflow_scripts.mil.bags import Bags, target_array
from workflow_scripts.mil.crossval import fold_jobs, predict_jobs
from workflow_scripts.mil.intervals import bootstrap_values, patient_resamples, percentile_interval
from workflow_scripts.mil.metrics import metrics_of
from workflow_scripts.mil.predictions import patient_outcomes, prediction_rows
from workflow_scripts.slpd.crops import centre_window, window_indices
from workflow_scripts.slpd.memory import keep_freed_memory
from workflow_scripts.slpd.neighbours import find_neighbours
from workflow_scripts.slpd.prototypes import cluster_slides
from workflow_scripts.slpd.state import new_state
from workflow_scripts.slpd.targets import PrototypeTargets
from workflow_scripts.slpd.tokens import TokenData, open_tokens
from workflow_scripts.slpd.trainer import Trainer, embed_regions

MEAN = "mean of patches"
DINO = {"loss": {"intra_weight": 0.0, "inter_weight": 0.0}}


class Demo:
    """Features, planted textures, labels and folds of the finished demo."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = load_config(yaml.safe_load(Path("config/config.yaml").read_text()))
        encoder = folder / "features" / self.config.features.encoder
        slides = usable_slides(folder / "slides.parquet")
        self.store, self.data = open_tokens(encoder, slides, torch.device("cpu"))
        self.manifest = read_manifest(self.config.cohort.manifest)
        patients = {row.slide_id: row.patient_id for row in self.manifest}
        self.patients = [patients[name] for name in self.store.slide_ids]
        self.textures = np.concatenate([self._textures(name) for name in self.store.slide_ids])

    def _textures(self, slide_id: str) -> np.ndarray:
        """Planted majority class of each region of a slide, -1 where there is none."""
        rows = read_table(self.folder / "regions" / f"{slide_id}.parquet").to_pylist()
        facts = read_table(self.folder / "check" / f"{slide_id}.parquet").to_pylist()[0]
        files = list(Path(self.config.benchmark.region_truth).glob(f"{slide_id}.*npz"))
        boxes = np.array([[row[key] for key in ("x", "y", "size_x", "size_y")] for row in rows])
        with np.load(files[0]) as planted:
            return majority_classes(
                planted["map"], boxes, (facts["mpp_x"], facts["mpp_y"]), float(planted["um_per_px"])
            )

    def slide_means(self, vectors: np.ndarray) -> np.ndarray:
        starts = np.cumsum(self.store.counts) - self.store.counts
        return np.add.reduceat(vectors.astype(np.float64), starts) / self.store.counts[:, None]


def pretrain(settings: PretrainRun, store: FeatureStore, data: TokenData) -> tuple[np.ndarray, np.ndarray | None]:
    """Region embeddings `[N, dim]` after the run, and the last clustering's prototypes of the regions `[N]`."""
    trainer, state = Trainer(settings, data), new_state(settings, data.dim, torch.device("cpu"))
    run_epochs(trainer, state, settings.warmup_epochs, None)
    view = centre_window(data.grid, settings.crops.global_size)
    found = targets = None
    for number in range(1, settings.rounds + 1):
        if settings.uses_prototypes and settings.clustered_in(number) == number:
            _, z = embed_regions(state.teacher, data, view)
            seed = derive_seed(settings.seed, "round", number)
            found = cluster_slides(z.numpy(), store.slide_ids, store.counts, settings.prototypes, seed, 2)
            near = find_neighbours(found.vectors, found.valid, settings.neighbours)
            targets = PrototypeTargets(found, near, store.slide_index, torch.device("cpu"))
        run_epochs(trainer, state, state.epoch + settings.epochs_per_round, targets)
    vectors, _ = embed_regions(state.teacher, data, window_indices(data.grid, data.grid)[0])
    return vectors.numpy(), None if found is None else found.assignment


def benchmark(demo: Demo, vectors: np.ndarray, bootstraps: int) -> dict[tuple[str, str, str], tuple[float, np.ndarray]]:
    """Pooled value and patient bootstrap of every task, head and metric, as the workflow's benchmark has them."""
    results, means = {}, demo.slide_means(vectors)
    place = {name: i for i, name in enumerate(demo.store.slide_ids)}
    regions = np.split(vectors, np.cumsum(demo.store.counts)[:-1])
    for name, task in demo.config.benchmark.tasks.items():
        splits = read_table(demo.folder / "benchmark" / name / "splits.parquet")
        slides = list(dict.fromkeys(splits["slide_id"].to_pylist()))
        labels = read_labels(demo.manifest, task, "manifest", slides)
        own = [place[slide] for slide in labels.slide_ids]
        rows = (means[own].astype(np.float32), [regions[i] for i in own])
        bags = Bags(*rows, target_array(labels.kind, labels.values, labels.classes), len(labels.classes))
        first = [row for row in splits.to_pylist() if row["repeat"] == 0 and row["budget"] == "all"]
        part = {(row["fold"], row["slide_id"]): row["part"] for row in first}
        folds = sorted({fold for fold, _ in part})
        parts = np.array([[part[fold, slide] for slide in labels.slide_ids] for fold in folds])
        for head in demo.config.benchmark.heads[task.kind]:
            jobs = fold_jobs(head, parts, demo.config.benchmark.seed)
            values, _ = predict_jobs(head, task.kind, bags, jobs, demo.config.benchmark.head_settings.of(head))
            found = [(job.test, value) for job, value in zip(jobs, values, strict=True)]
            _, _, outcomes = patient_outcomes(prediction_rows(labels, found), labels.kind, labels.classes)
            metric, function = next(iter(metrics_of(task.kind).items()))
            resamples = patient_resamples(len(outcomes), bootstraps, derive_seed(0, name))
            drawn = bootstrap_values({metric: function}, outcomes, resamples)[metric]
            results[name, head, metric] = function(outcomes), drawn
    return results


def probe_regions(demo: Demo, vectors: np.ndarray, folds: int = 5) -> tuple[float, float]:
    """Balanced accuracies of a linear and a nearest-neighbour probe for planted textures, patients held out in turn."""
    owner = np.asarray(demo.patients, dtype=object)[demo.store.slide_index]
    names = sorted(set(demo.patients))
    fold_of = {name: i % folds for i, name in enumerate(np.random.default_rng(0).permutation(names))}
    fold = np.array([fold_of[name] for name in owner])
    known, scores = demo.textures >= 0, []
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    for model in (linear, KNeighborsClassifier(20, metric="cosine")):
        guess = np.full(len(vectors), -1)
        for number in range(folds):
            train, test = known & (fold != number), known & (fold == number)
            guess[test] = model.fit(vectors[train], demo.textures[train]).predict(vectors[test])
        scores.append(balanced_accuracy_score(demo.textures[known], guess[known]))
    return scores[0], scores[1]


def texture_agreement(demo: Demo, assignment: np.ndarray) -> float:
    """Mean adjusted Rand index of prototypes with planted textures, over slides with two textures or more."""
    values = []
    for number in range(len(demo.store.slide_ids)):
        rows = demo.store.slide_index == number
        found = prototype_agreement(assignment[rows], demo.textures[rows], 0, permutations=1)
        if found.n_classes >= 2 and (assignment[rows] >= 0).all():
            values.append(found.ari)
    return float(np.mean(values))


def overrides(words: list[str]) -> dict:
    """`a.b=1` words as a nested dict."""
    nested: dict = {}
    for word in words:
        key, _, value = word.partition("=")
        entry = yaml.safe_load(value)
        for part in reversed(key.split(".")):
            entry = {part: entry}
        nested = merge(nested, entry)
    return nested


def evaluate(demo: Demo, vectors: np.ndarray, assignment: np.ndarray | None, bootstraps: int) -> dict:
    """All that the tables need of one trained representation, JSON-serialisable."""
    return {
        "scores": [
            [*key, value, drawn.tolist()] for key, (value, drawn) in benchmark(demo, vectors, bootstraps).items()
        ],
        "probes": probe_regions(demo, vectors),
        "ari": [] if assignment is None else [texture_agreement(demo, assignment)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, default=Path("results/demo"), help="results of the finished demo")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variant", nargs="+", action="append", default=[], help="a name, then key=value of a run")
    parser.add_argument("--variants-only", action="store_true", help="leave out slpd and dino")
    parser.add_argument("--all", nargs="*", default=[], help="key=value that every pretrained variant gets")
    parser.add_argument("--bootstraps", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kept", type=Path, nargs="+", default=[], help="JSON files of finished runs; the first grows")
    args = parser.parse_args()
    logging.getLogger("workflow_scripts").setLevel(logging.ERROR)
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    demo = Demo(args.demo)
    tokens = demo.store.tokens.astype(np.float32)
    seen = demo.store.read_ok[..., None]
    mean = (tokens * seen).sum(axis=(1, 2)) / np.maximum(seen.sum(axis=(1, 2)), 1)
    base_runs = {} if args.variants_only else {"slpd": {}, "dino": DINO}
    variants = base_runs | {name: overrides(words) for name, *words in args.variant}
    base = merge(demo.config.pretrain.defaults.model_dump(), overrides(args.all))
    files = [json.loads(file.read_text()) for file in args.kept if file.exists()]
    done = {key: run for kept in reversed(files) for key, run in kept.items()}
    found = {MEAN: [evaluate(demo, mean, None, args.bootstraps)] * len(args.seeds)}
    for name, over in variants.items():
        found[name] = []
        for seed in args.seeds:
            key = f"{name}, seed {seed}"
            if key not in done:
                settings = PretrainRun.model_validate(merge(merge(base, over), {"seed": seed}))
                done[key] = evaluate(demo, *pretrain(settings, demo.store, demo.data), args.bootstraps)
                if args.kept:
                    args.kept[0].write_text(json.dumps(done))
            print(f"{key}: probes {by_seed(done[key]['probes'])}, ARI {by_seed(done[key]['ari'])}", flush=True)
            found[name].append(done[key])
    tell(found)


def by_seed(values: Iterable[float]) -> str:
    """The values in one cell of a table."""
    return " ".join(f"{value:.3f}" for value in values)


def tell(found: dict[str, list[dict]]) -> None:
    """Print the tables."""
    print("\n| representation | linear probe, by seed | mean | neighbour probe, by seed | mean | ARI, by seed |")
    print("|---|---|---|---|---|---|")
    for name, runs in found.items():
        probes = zip(*(run["probes"] for run in runs), strict=True)
        cells = [words for kind in probes for words in (by_seed(kind), f"{np.mean(kind):.3f}")]
        print("| " + " | ".join([name, *cells, by_seed(value for run in runs for value in run["ari"])]) + " |")
    pairs = [(name, "dino") for name in found if "dino" in found and name not in ("dino", MEAN)]
    pairs += [("slpd", MEAN)] if "slpd" in found else []
    print("\n| task, head | metric | " + " | ".join([*found, *(f"{one} - {other}" for one, other in pairs)]) + " |")
    print("|---" * (len(found) + len(pairs) + 2) + "|")
    for row, (task, head, metric, *_) in enumerate(found[MEAN][0]["scores"]):
        values = {name: np.array([run["scores"][row][3] for run in runs]) for name, runs in found.items()}
        drawn = {name: np.array([run["scores"][row][4] for run in runs]) for name, runs in found.items()}
        cells = [f"{value.mean():.3f}" for value in values.values()]
        for one, other in pairs:
            change = values[one].mean() - values[other].mean()
            interval = percentile_interval(change, (drawn[one] - drawn[other]).mean(axis=0))
            cells.append(f"{change:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]")
        print(f"| {task}, {head} | {metric} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
