"""Memory that a head on bags of patches takes, as a multiple of what the patches take as stored.

A made-up cohort is written as feature files; then one process reads it as fit_head does and trains a network for one
pass in two folds. Told is the most that this process held, less what it held before it read anything.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.patch_memory [--slides 120] [--regions 12] [--dim 1024]
"""

import argparse
import resource
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import torch

from workflow_scripts.config import HeadSettings
from workflow_scripts.core.feature_file import FEATURE_PARQUET, feature_schema, slide_file
from workflow_scripts.core.tables import write_table
from workflow_scripts.core.tasks import KINDS
from workflow_scripts.core.tensors import to_column
from workflow_scripts.mil.crossval import predict_jobs
from workflow_scripts.mil.head import Job
from workflow_scripts.mil.units import LABELS, make_units
from workflow_scripts.representations.patch_bags import PatchBags

GRID, CLASSES = 16, ["a", "b"]


def write_cohort(folder: Path, slides: int, regions: int, dim: int) -> None:
    """Feature files of slides whose patches are all tissue."""
    schema, shape = feature_schema(GRID, dim), (regions, GRID, GRID)
    random = np.random.default_rng(0)
    for slide in range(slides):
        arrays = {
            "features": random.standard_normal((*shape, dim), np.float32).astype(np.float16),
            "read_ok": np.ones(shape, bool),
            "tissue": np.ones(shape, np.float32),
            "colour": np.zeros((*shape, 6), np.float32),
        }
        columns = {name: to_column(values, schema.field(name)) for name, values in arrays.items()}
        columns |= {"slide_id": [f"s{slide}"] * regions, "region_id": [f"{i}_0" for i in range(regions)]}
        table = pa.table({name: columns[name] for name in schema.names}, schema=schema)
        write_table(slide_file(folder, f"s{slide}"), table, schema, {}, **FEATURE_PARQUET)


def _peak() -> float:
    """The most that this process has held until now, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def fit(folder: Path, slides: int) -> None:
    """Read the cohort and train mean_mil in two folds for one pass, and say what that took."""
    torch.zeros(1).sum().item()  # what torch itself takes does not count
    before = _peak()
    names = [f"s{slide}" for slide in range(slides)]
    rows = {name: [None] * slides for name in LABELS.names}
    rows |= {"slide_id": names, "patient_id": names, "label": [CLASSES[i % 2] for i in range(slides)]}
    labels = pa.table(rows, schema=LABELS)
    vectors = np.zeros((slides, 1), np.float32)
    units = make_units(labels, KINDS["classification"], CLASSES, False, vectors, PatchBags(folder, names))
    index = np.arange(slides)
    jobs = [Job(index[index // 2 % 2 != fold], index[:0], index[index // 2 % 2 == fold], fold) for fold in (0, 1)]
    predict_jobs("mean_mil", "classification", units.bags, jobs, HeadSettings().of("mean_mil") | {"epochs": 1})
    print(f"held at most {_peak() - before:.2f} GB more than at the start ({before:.2f} GB)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=int, default=120)
    parser.add_argument("--regions", type=int, default=12)
    parser.add_argument("--dim", type=int, default=1024)
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        tasks = (write_cohort, (Path(folder), args.slides, args.regions, args.dim)), (fit, (Path(folder), args.slides))
        stored = args.slides * args.regions * GRID**2 * args.dim * 2 / 1e9
        print(f"{args.slides} slides of {args.regions * GRID**2} patches x {args.dim}: {stored:.2f} GB as stored")
        for target, arguments in tasks:  # each in a process of its own, so that writing counts for nothing
            process = get_context("spawn").Process(target=target, args=arguments)
            process.start()
            process.join()


if __name__ == "__main__":
    main()
