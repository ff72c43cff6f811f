"""Files of an earlier run that the present one does not write go; those that people saved beside them stay."""

import json
from collections.abc import Iterable
from pathlib import Path

from workflow_scripts.core.files import write_text


def remove_stale(folder: Path, written: Iterable[str]) -> None:
    """Remove the files of a folder that an earlier call was told of and this one is not.

    Any other file stays: people save their own beside. What was written stands in `folder`/.written.json, and not in a
    table that a rule puts out, which Snakemake removes before the rule runs again.

    Args:
        folder: the folder, no folder in it.
        written: names of all files that were written now.
    """
    record, names = folder / ".written.json", sorted(written)
    earlier = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else []
    for name in set(earlier) - set(names):
        (folder / name).unlink(missing_ok=True)
    write_text(record, json.dumps(names, ensure_ascii=False, indent=0))
