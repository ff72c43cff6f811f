"""How long heads take over all folds: the workflow's, which train folds together on packed bags, beside a plain loop.

A made-up cohort (1,000 slides of 60 regions and 192 dimensions; a tenth of the regions of a positive slide lean one
way) is dealt into five folds. The plain loop trains the same networks a fold after another and a slide a step for
20 passes, as they are written in `tests/unit/mil/plain_nets.py` (HIPT's with PyTorch's own layers), with dropout of
every value and PyTorch's Adam at the rate of one slide. It is timed on the first `--plain-folds` folds and multiplied.
The workflow's heads have their default settings, which make 10 passes over a cohort of this size at a larger rate;
`--passes 20` has both visit the slides as often. Both run on one thread by turns, and seconds are of the processor,
so that what else the machine does counts little. AUCs are means over folds.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.heads [--slides 1000] [--heads abmil clam_sb] [--plain-folds 1]
"""

import argparse
import time
from importlib import import_module

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from tests.unit.mil.plain_nets import PLAIN
from workflow_scripts.config import HeadSettings
from workflow_scripts.core.heads import HEADS, heads_for
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Job, balanced
from workflow_scripts.mil.heads import make_head, nets
from workflow_scripts.mil.nets.batch import Sizes, draw_weights
from workflow_scripts.mil.packing import cohort_of, deal_parts

FOLDS, CLASSES, PASSES = 5, 2, 20  # passes of the plain loop, at a rate that larger steps do not allow


def made_up(slides: int, regions: int, dim: int) -> Bags:
    """Slides whose label is carried by a tenth of their regions."""
    random = np.random.default_rng(0)
    label = np.arange(slides) % CLASSES
    matrices = [random.normal(size=(regions, dim)).astype(np.float32) for _ in range(slides)]
    for matrix, positive in zip(matrices, label, strict=True):
        matrix[random.permutation(regions)[: regions // 10], :8] += 0.8 * positive  # TransMIL knows of places
    return Bags(np.stack([matrix.mean(axis=0) for matrix in matrices]), matrices, label, CLASSES)


def fold_jobs(slides: int) -> list[Job]:
    fold = np.random.default_rng(1).permutation(slides) % FOLDS
    none = np.empty(0, np.int64)
    return [Job(np.flatnonzero(fold != f), none, np.flatnonzero(fold == f), f) for f in range(FOLDS)]


def plain_loop(name: str, bags: Bags, job: Job, settings: dict) -> np.ndarray:
    """Probabilities `[n_test]` of the second class, by a network trained slide by slide."""
    head = getattr(nets, HEADS[name].name)
    net_class = getattr(import_module(f"workflow_scripts.mil.nets.{head.module}"), head.name)
    net = net_class(Sizes(1, bags.regions[0].shape[1], CLASSES, settings["hidden"], settings["attention"], settings))
    draw_weights(net, [job.seed])
    p = {key: torch.nn.Parameter(value.detach()[0].clone()) for key, value in net.named_parameters()}
    adam = torch.optim.Adam(p.values(), lr=settings["lr"], weight_decay=settings["weight_decay"])
    mean, inverse = cohort_of(bags, torch.device("cpu")).scaling(job.train, np.ones(len(job.train)))
    inputs = [(torch.from_numpy(region) - mean) * inverse for region in bags.regions]
    weight = torch.from_numpy(balanced(bags.target[job.train], np.ones(len(job.train)))).float()
    torch.manual_seed(job.seed)
    random, hidden = np.random.default_rng(job.seed), settings["hidden"]
    for _ in range(PASSES):
        for place in torch.randperm(len(job.train)).tolist():
            index = int(job.train[place])
            x, label = inputs[index], int(bags.target[index])
            keep = F.dropout(torch.ones(len(x), hidden), settings["dropout"])
            parts = torch.from_numpy(deal_parts(np.array([len(x)]), settings.get("pseudo_bags", 1), 0, random))
            _, trained, own = PLAIN[name](x, p, keep, label, settings | {"parts": parts})
            target = torch.tensor(label)
            loss = sum(share * F.cross_entropy(logits, target) for share, logits in trained)
            loss = (loss + own[0] * own[1] if own else loss) * weight[place]
            adam.zero_grad()
            loss.backward()
            adam.step()
    with torch.no_grad():
        parts = {"parts": torch.arange(len(inputs[0])) % settings.get("pseudo_bags", 1)}
        logits = [PLAIN[name](inputs[i], p, 1.0, None, settings | parts)[0] for i in job.test]
    return torch.stack(logits).softmax(dim=1)[:, 1].numpy()


def timed(work) -> tuple[object, float, float]:
    """What a function returns, its seconds of the clock and of the processor."""
    clock, core = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - clock, time.process_time() - core


def mean_auc(bags: Bags, jobs: list[Job], predictions: list[np.ndarray]) -> float:
    pairs = zip(jobs, predictions, strict=True)
    return float(np.mean([roc_auc_score(bags.target[job.test], values) for job, values in pairs]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=int, default=1000)
    parser.add_argument("--regions", type=int, default=60, help="of each slide")
    parser.add_argument("--dim", type=int, default=192)
    parser.add_argument("--heads", nargs="+", default=heads_for("classification"))
    parser.add_argument("--plain-folds", type=int, default=1, help="folds that the plain loop is timed on")
    parser.add_argument("--passes", type=int, help="over the training slides, of the workflow's networks")
    args = parser.parse_args()
    torch.set_num_threads(1)
    bags, jobs = made_up(args.slides, args.regions, args.dim), fold_jobs(args.slides)
    print(f"{args.slides} slides of {args.regions} regions, {args.dim} dimensions, {FOLDS} folds")
    columns = ("core s", "clock s", "AUC", "same folds", "plain core s", "AUC", "speed")
    print("{:12} {:>8} {:>8} {:>6} {:>10} {:>12} {:>6} {:>6}".format("head", *columns))
    for name in args.heads:
        settings = HeadSettings().of(name) | ({"epochs": args.passes} if args.passes else {})
        found, clock, core = timed(lambda n=name, s=settings: make_head(n, "classification", s).predict(bags, jobs))
        values = [probabilities[:, 1] for probabilities in found]
        line = f"{name:12} {core:8.1f} {clock:8.1f} {mean_auc(bags, jobs, values):6.3f}"
        if name in PLAIN and args.plain_folds:
            some = jobs[: args.plain_folds]
            plain, _, plain_core = timed(
                lambda n=name, s=settings, some=some: [plain_loop(n, bags, job, s) for job in some]
            )
            plain_core *= FOLDS / len(some)
            same = mean_auc(bags, some, values[: len(some)])
            line += f" {same:10.3f} {plain_core:12.1f} {mean_auc(bags, some, plain):6.3f} {plain_core / core:6.1f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
