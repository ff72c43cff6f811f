"""Heads on the public sets of multiple-instance learning, ten times ten-fold, beside published accuracies.

Musk1, Musk2, Fox, Tiger, Elephant and UCSB's breast cancer bags, from a folder of `{set}.npz` with `X` (instances),
`bag` (ids) and `y` (labels of bags in the order of their ids). Each set is dealt ten times into ten folds, stratified
by label; a bag is a patient. Heads have their default settings; those on vectors get the bag's mean. Printed is the
accuracy over all bags of a repeat, its mean and standard deviation over repeats, and core seconds.
Published: Ilse et al. 2018 (arXiv 1802.04712), table 1, means of five times ten-fold and their standard errors, of
networks that were tuned for these sets.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.mil_sets ../shared/data/mil [--sets musk1] [--heads abmil]
"""

import argparse
import time
from pathlib import Path

import numpy as np

from workflow_scripts.config import HeadSettings
from workflow_scripts.core.heads import heads_for
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Job
from workflow_scripts.mil.heads import make_head

SETS = ("musk1", "musk2", "fox", "tiger", "elephant", "ucsb_breast_cancer")


def read_set(file: Path) -> Bags:
    """Bags of a set; the vector of a bag is the mean of its instances."""
    data = np.load(file)
    names, owner = np.unique(data["bag"], return_inverse=True)
    regions = [data["X"][owner == i].astype(np.float32) for i in range(len(names))]
    vectors = np.stack([region.mean(axis=0) for region in regions])
    return Bags(vectors, regions, (np.asarray(data["y"]) > 0).astype(np.int64), 2)


def repeated_folds(bags: Bags, repeats: int, folds: int = 10) -> list[Job]:
    """Jobs of all folds of all repeats, the labels dealt in turn to the folds."""
    jobs, none = [], np.empty(0, np.int64)
    for repeat in range(repeats):
        random = np.random.default_rng(derive_seed(0, "sets", repeat))
        order = np.concatenate([random.permutation(np.flatnonzero(bags.target == label)) for label in (0, 1)])
        fold = np.empty(len(bags), np.int64)
        fold[order] = np.arange(len(bags)) % folds
        parts = [(np.flatnonzero(fold != f), none, np.flatnonzero(fold == f)) for f in range(folds)]
        jobs += [Job(*part, derive_seed(0, "head", repeat, f)) for f, part in enumerate(parts)]
    return jobs


def accuracies(head: str, bags: Bags, repeats: int) -> np.ndarray:
    """Accuracy over all bags of each repeat, `[repeats]`."""
    jobs = repeated_folds(bags, repeats)
    found = make_head(head, "classification", HeadSettings().of(head)).predict(bags, jobs)
    right = [(values.argmax(axis=1) == bags.target[job.test]).sum() for job, values in zip(jobs, found, strict=True)]
    return np.array(right).reshape(repeats, -1).sum(axis=1) / len(bags)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--heads", nargs="+", default=heads_for("classification"))
    parser.add_argument("--repeats", type=int, default=10)
    args = parser.parse_args()
    for name in args.sets:
        bags = read_set(args.folder / f"{name}.npz")
        print(f"\n{name}: {len(bags)} bags, {int(bags.target.sum())} positive, {sum(map(len, bags.regions))} instances")
        print(f"{'head':12} {'accuracy':>8} {'sd':>6} {'core s':>7}")
        for head in args.heads:
            began = time.process_time()
            found = accuracies(head, bags, args.repeats)
            print(f"{head:12} {found.mean():8.3f} {found.std(ddof=1) if len(found) > 1 else np.nan:6.3f} "
                  f"{time.process_time() - began:7.1f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
