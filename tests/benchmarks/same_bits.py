"""Whether two results folders of one cohort hold the same tables and tensors, bit for bit.

    python -m tests.benchmarks.same_bits BEFORE AFTER

Tables are compared by their values, tensors by their bytes, and what differs in metadata is told apart: digests of code
and times differ between any two versions. Exit status 1 where a value differs.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from safetensors import safe_open

# Measured speeds: they differ between any two runs.
MEASURED = {"regions_per_s", "patches_per_s", "wait_share"}


def table_differences(before: Path, after: Path) -> Iterator[str]:
    """Columns whose values differ, and keys of the metadata."""
    one, other = pq.read_table(before), pq.read_table(after)
    if one.column_names != other.column_names or len(one) != len(other):
        yield f"shape or columns: {len(one)} x {one.column_names} and {len(other)} x {other.column_names}"
        return
    for name in one.column_names:
        if name not in MEASURED and not same_values(one[name], other[name]):
            yield f"column {name}"
    yield from metadata_differences(dict(one.schema.metadata or {}), dict(other.schema.metadata or {}))


def same_values(one: Any, other: Any) -> bool:
    """Whether two columns are equal, NaN counting as equal to itself."""
    return one.equals(other) or repr(one.to_pylist()) == repr(other.to_pylist())


def tensor_differences(before: Path, after: Path) -> Iterator[str]:
    """Tensors that differ in a byte, and keys of the metadata."""
    with safe_open(before, "numpy") as one, safe_open(after, "numpy") as other:
        if set(one.keys()) != set(other.keys()):
            yield f"tensors {sorted(set(one.keys()) ^ set(other.keys()))}"
            return
        for name in one.keys():  # noqa: SIM118
            if one.get_tensor(name).tobytes() != other.get_tensor(name).tobytes():
                yield f"tensor {name}"
        yield from metadata_differences(one.metadata() or {}, other.metadata() or {})


def metadata_differences(one: dict, other: dict) -> Iterator[str]:
    for key in sorted(set(one) | set(other), key=str):
        if one.get(key) != other.get(key):
            name = key.decode() if isinstance(key, bytes) else key
            yield f"metadata {name}: {', '.join(inner_keys(one.get(key), other.get(key)))}"


def inner_keys(one: Any, other: Any) -> list[str]:
    """Keys that differ within two JSON objects; nothing where they are none."""
    try:
        a, b = json.loads(one), json.loads(other)
        return sorted(key for key in {*a, *b} if a.get(key) != b.get(key))
    except (TypeError, ValueError, AttributeError):
        return []


def tables_and_tensors(root: Path) -> set[Path]:
    """Their files below a folder, but for the second names under which finished results are kept."""
    names = {file.relative_to(root) for kind in ("parquet", "safetensors") for file in root.rglob(f"*.{kind}")}
    return {name for name in names if ".kept" not in name.parts}


def differences(before: Path, after: Path) -> Iterator[tuple[Path, str]]:
    """Files below two folders with what differs in them; what begins with `metadata` is no value."""
    one, other = tables_and_tensors(before), tables_and_tensors(after)
    yield from ((name, "only in one folder") for name in sorted(one ^ other))
    for name in sorted(one & other):
        compare = table_differences if name.suffix == ".parquet" else tensor_differences
        yield from ((name, difference) for difference in compare(before / name, after / name))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    args = parser.parse_args()
    values, notes = 0, dict[str, list[Path]]()
    for name, difference in differences(args.before, args.after):
        if difference.startswith("metadata"):
            notes.setdefault(difference, []).append(name)
        else:
            print(f"{name}: {difference}")
            values += 1
    found = len(tables_and_tensors(args.before) & tables_and_tensors(args.after))
    for note, names in notes.items():
        print(f"{note}: in {len(names)} files, e.g. {names[0]}")
    print(f"{found} files in both folders, {values} differences in values")
    return 1 if values else 0


if __name__ == "__main__":
    sys.exit(main())
