"""How fast features are loaded, how much memory that takes, and what a batch of 128 regions costs afterwards.

Writes the features of a made-up cohort (256 tokens of 384 float16 a region, as HIPT's) into a folder, once as
extract_features writes them now and once as before (lz4), and prints two tables: loading all of it, each way in a
process of its own, with its peak memory; and a batch drawn at random, warm and with the files dropped from the page
cache.

    python -m tests.benchmarks.loading [--slides 60] [--regions 60] [--folder FOLDER]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GRID, DIM, BATCH = 16, 384, 128


def write_cohort(folder: Path, slides: int, regions: int, options: dict) -> list[str]:
    """Feature files of random tokens; ids of the slides."""
    import numpy as np
    import pyarrow as pa

    from workflow_scripts.core.feature_file import feature_schema, slide_file
    from workflow_scripts.core.tables import table_writer
    from workflow_scripts.core.tensors import to_column

    schema, rng = feature_schema(GRID, DIM), np.random.default_rng(0)
    tokens = rng.standard_normal((regions, GRID, GRID, DIM), dtype=np.float32).astype(np.float16)
    arrays = {
        "read_ok": np.ones((regions, GRID, GRID), bool),
        "tissue": rng.random((regions, GRID, GRID), dtype=np.float32),
        "colour": rng.random((regions, GRID, GRID, 6), dtype=np.float32),
    }
    names = [f"slide_{i:04d}" for i in range(slides)]
    for number, name in enumerate(names):
        arrays["features"] = np.roll(tokens, number, axis=0)
        with table_writer(slide_file(folder, name), schema, **options) as writer:
            for start in range(0, regions, 32):
                rows = slice(start, min(start + 32, regions))
                columns = {key: to_column(values[rows], schema.field(key)) for key, values in arrays.items()}
                columns["slide_id"] = [name] * (rows.stop - rows.start)
                columns["region_id"] = [f"{name}_{i}" for i in range(rows.start, rows.stop)]
                writer.write(pa.table({key: columns[key] for key in schema.names}, schema=schema))
    return names


def slide_names(folder: Path) -> list[str]:
    return sorted(path.stem for path in (folder / "slides").iterdir())


def load_joined(folder: Path) -> int:
    """The plain way: read every table, then join the arrays."""
    import numpy as np

    from workflow_scripts.core.feature_file import slide_file
    from workflow_scripts.core.tables import read_table
    from workflow_scripts.core.tensors import from_column

    columns = ["slide_id", "region_id", "features", "read_ok"]
    tables = [read_table(slide_file(folder, name), columns) for name in slide_names(folder)]
    return np.concatenate([from_column(table, "features") for table in tables]).nbytes


def load_in_place(folder: Path) -> int:
    """One array, filled slide by slide."""
    from workflow_scripts.core.feature_store import load_features

    return load_features(folder, slide_names(folder)).tokens.nbytes


def load_index(folder: Path) -> int:
    """Ids, flags and offsets alone: what `mapped` does before training."""
    from workflow_scripts.core.feature_store import load_features

    return load_features(folder, slide_names(folder)).nbytes


WAYS = {"tables, joined": load_joined, "one array": load_in_place, "index alone": load_index}


def child(way: str, folder: Path) -> None:
    """Load once warm; print seconds, bytes, and the growth of the peak resident memory in MB."""
    import workflow_scripts.core.feature_store  # noqa: F401 (imports are no part of the time)

    def peak() -> int:
        status = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

    before, began = peak(), time.perf_counter()
    nbytes = WAYS[way](folder)
    print(time.perf_counter() - began, nbytes, (peak() - before) / 1024)


def loading_table(folders: dict[str, Path], repeats: int = 3) -> None:
    print(f"{'files':14} {'way':15} {'s':>7} {'MB/s':>7} {'peak, MB':>9} {'of the data':>11}")
    for kind, folder in folders.items():
        for way in WAYS:
            command = [sys.executable, "-m", "tests.benchmarks.loading", "--child", way, "--folder", str(folder)]
            runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(repeats)]
            seconds, nbytes, peak = min(tuple(map(float, run.stdout.split())) for run in runs)
            share = peak * 2**20 / nbytes
            print(f"{kind:14} {way:15} {seconds:7.2f} {nbytes / seconds / 1e6:7.0f} {peak:9.0f} {share:11.2f}")


def drop(folder: Path) -> None:
    """Have the system forget the files' pages."""
    for path in (folder / "slides").iterdir():
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def time_batch(data, draw) -> float:
    """Seconds for one batch of regions drawn at random, on the device."""
    import torch

    index = torch.randperm(len(data), generator=draw)[:BATCH]
    began = time.perf_counter()
    data.take(index)
    if data.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def batch_table(folders: dict[str, Path], repeats: int = 15) -> None:
    import torch

    from workflow_scripts.slpd.tokens import open_tokens

    devices = [torch.device("cpu"), *([torch.device("cuda")] if torch.cuda.is_available() else [])]
    print(f"\n{'files':14} {'placement':10} {'device':7} {'batch, ms':>10} {'MB/s':>7} {'cold, ms':>9}")
    for kind, folder in folders.items():
        for device in devices:
            places = ("device", "pinned", "mapped") if device.type == "cuda" else ("device", "mapped")
            for place in places:
                _, data = open_tokens(folder, slide_names(folder), device, placement=place)
                draw = torch.Generator().manual_seed(0)
                warm = statistics.median([time_batch(data, draw) for _ in range(repeats)][2:])
                cold = float("nan")
                if place == "mapped":
                    del data  # pages that are mapped are not dropped
                    drop(folder)
                    _, data = open_tokens(folder, slide_names(folder), device, placement=place)
                    cold = time_batch(data, draw)
                rate = BATCH * GRID**2 * DIM * 2 / warm / 1e6
                print(f"{kind:14} {place:10} {device.type:7} {warm * 1e3:10.2f} {rate:7.0f} {cold * 1e3:9.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=int, default=60)
    parser.add_argument("--regions", type=int, default=60, help="of each slide")
    parser.add_argument("--folder", type=Path, help="where the cohort goes; a temporary folder by default")
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.folder)
        return
    from workflow_scripts.core.feature_file import FEATURE_PARQUET

    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        folders = {"uncompressed": Path(temporary) / "now", "lz4": Path(temporary) / "before"}
        options = {"uncompressed": FEATURE_PARQUET, "lz4": FEATURE_PARQUET | {"compression": "lz4"}}
        for kind, folder in folders.items():
            began = time.perf_counter()
            write_cohort(folder, args.slides, args.regions, options[kind])
            size = sum(path.stat().st_size for path in (folder / "slides").iterdir()) / 1e6
            print(f"{kind}: {size:.0f} MB written in {time.perf_counter() - began:.1f} s")
        loading_table(folders)
        batch_table(folders)


if __name__ == "__main__":
    main()
