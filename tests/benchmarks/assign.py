"""Time and memory of the nearest slides by set similarity, beside the published tensor and the bare matrix product.

    python -m tests.benchmarks.assign [--large] [--threads 2] [--count 1] [--plot FILE]

Every case runs in a process of its own. Its memory is the growth of the largest resident set (VmHWM) beyond the
input and everything imported. The forms:

- published: cosines of all prototypes, a tensor of N x N sums for each of the M! permutations, its maximum over
  them, then the nearest (docs/method.md, row 2). Plain PyTorch, built whole, no blocks (864 MB of tensor at
  N = 3,000); permutations first, which is no slower than last, nor than one einsum a permutation.
- product: cosines of all prototypes alone, in blocks of 1,024 rows whose result is thrown away.
- ours: `find_neighbours`.

Prototypes are drawn around 24 shared tissue types with an effect of the slide, d = 256. Times are the best of
`--repeats` runs in a row within the process; ratios are to the product at the same N and M, of the times and of the
processor times of all threads, which other work on the machine disturbs less. `--large` adds N = 30,000
(minutes), where the product alone is timed on a tenth of the rows and scaled.
"""

import argparse
import json
import subprocess
import sys
import time
from itertools import permutations
from pathlib import Path

import numpy as np

DIM = 256
SIZES = (500, 1000, 3000)


def prototypes(slides: int, m: int) -> np.ndarray:
    """Float32 unit prototypes `[slides, m, DIM]`."""
    rng = np.random.default_rng(0)
    types = rng.standard_normal((24, DIM), dtype=np.float32)
    x = np.empty((slides, m, DIM), dtype=np.float32)
    for slide in x:
        slide[:] = types[rng.permutation(24)[:m]] + 0.5 * rng.standard_normal(DIM, dtype=np.float32)
        slide += 0.7 * rng.standard_normal((m, DIM), dtype=np.float32)
        slide /= np.linalg.norm(slide, axis=1, keepdims=True)
    return x


def published(x: np.ndarray, count: int, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    slides, m, d = x.shape
    flat = torch.from_numpy(x).reshape(slides * m, d)
    cosines = (flat @ flat.T).reshape(slides, m, slides, m)
    sums = torch.stack([sum(cosines[:, k, :, o[k]] for k in range(m)) for o in permutations(range(m))])
    similarity = sums.max(dim=0).values
    similarity.topk(count + 1, dim=1)  # the first, the slide itself, is dropped by its place


def product(x: np.ndarray, count: int, threads: int) -> float:
    """Returns the share of the rows that was done."""
    flat = x.reshape(-1, x.shape[2])
    rows = len(flat) if len(flat) < 100_000 else len(flat) // 10
    out = np.empty((1024, len(flat)), dtype=np.float32)
    for start in range(0, rows, 1024):
        part = flat[start : min(start + 1024, rows)]
        np.matmul(part, flat.T, out=out[: len(part)])
    return rows / len(flat)


def ours(x: np.ndarray, count: int, threads: int) -> None:
    from workflow_scripts.config import Neighbours
    from workflow_scripts.slpd.neighbours import find_neighbours

    find_neighbours(x, np.ones(len(x), dtype=bool), Neighbours(count=count), threads=threads)


def peak_bytes() -> int:
    """Largest resident set of this process so far."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def run_case(form: str, slides: int, m: int, count: int, threads: int, repeats: int) -> dict[str, float]:
    """Best time and processor time in seconds and memory in bytes of one case, in this process."""
    from threadpoolctl import threadpool_limits

    work = {"published": published, "product": product, "ours": ours}[form]
    work(prototypes(4, 2), 1, threads)  # imports, first use
    x = prototypes(slides, m)
    before, seconds, processor = peak_bytes(), [], []
    with threadpool_limits(threads):
        for _ in range(repeats):
            began, used = time.perf_counter(), time.process_time()
            share = work(x, count, threads) or 1.0
            seconds.append((time.perf_counter() - began) / share)
            processor.append((time.process_time() - used) / share)
    return {"seconds": min(seconds), "processor": min(processor), "bytes": peak_bytes() - before}


def measure(args: argparse.Namespace, form: str, slides: int, m: int) -> dict[str, float]:
    """`run_case` in a process of its own."""
    repeats = args.repeats if slides * m <= 24_000 else 1
    values = [form, slides, m, args.count, args.threads, repeats]
    command = [sys.executable, "-m", "tests.benchmarks.assign", "--case", json.dumps(values)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def cases(large: bool) -> list[tuple[int, int, list[str]]]:
    """N, M and the forms, those of one size side by side."""
    every = ["published", "product", "ours"]
    chosen = [(n, 4, every) for n in SIZES] + [(10_000, 4, every[1:])] + [(30_000, 4, every[1:])] * large
    return chosen + [(n, m, every[1:]) for m in (8, 16) for n in SIZES[1:]]


def plot(rows: list[tuple[str, int, int, dict[str, float]]], path: str) -> None:
    """Time and memory against N, M = 4 in full lines, others dashed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for form, m in dict.fromkeys((form, m) for form, _, m, _ in rows):
        line = [(n, got) for f, n, k, got in rows if (f, k) == (form, m)]
        for axis, key, unit in zip(axes, ("seconds", "bytes"), (1, 2**20), strict=True):
            x, y = [n for n, _ in line], [max(got[key] / unit, 1e-3) for _, got in line]
            axis.plot(x, y, "o-" if m == 4 else "o--", label=f"{form}, M = {m}")
    for axis, label in zip(axes, ("seconds", "extra memory (MiB)"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel="slides", ylabel=label)
    axes[0].legend(fontsize="small")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="also 30,000 slides")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--count", type=int, default=1, help="nearest slides wanted")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--plot", metavar="FILE", help="draw time and memory against N")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(run_case(*json.loads(args.case))))
        return
    print(f"{'N':>6} {'M':>3} {'form':>10} {'s':>8} {'ratio':>6} {'cpu s':>8} {'ratio':>6} {'extra MiB':>10}")
    rows = []
    for n, m, forms in cases(args.large):
        got = {form: measure(args, form, n, m) for form in forms}
        for form in forms:
            line = f"{n:6} {m:3} {form:>10}"
            for key in ("seconds", "processor"):
                line += f" {got[form][key]:8.3f} {got[form][key] / got['product'][key]:6.2f}"
            print(f"{line} {got[form]['bytes'] / 2**20:10.0f}", flush=True)
            rows.append((form, n, m, got[form]))
    if args.plot:
        plot(rows, args.plot)


if __name__ == "__main__":
    main()
