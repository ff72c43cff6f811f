"""Whether the features that a job reads are the same: a digest of their content.

How slides are dealt to shards, when files were written and what they note about themselves do not count. A file is
read once: its digest is stored with the state it was in, which any later change of the file changes too.
"""

import argparse
import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_store import in_threads, open_features, slide_file, usable_slides
from workflow_scripts.core.files import write_text
from workflow_scripts.core.kept import KeptResult, fingerprint
from workflow_scripts.core.tables import read_table
from workflow_scripts.core.tensors import from_column

_NAME = ".digests.json"


def _state(path: Path) -> list[int]:
    """Size, times and number of a file: no write leaves them as they were."""
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise UserError(
            f"{path} does not exist, though an index of features lists it; run snakemake --forcerun extract_features"
        ) from error
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def slide_features_digest(path: Path) -> str:
    """SHA-256 of what is learnt from in a slide's feature file: ids, tokens, and flags and tissue of each token."""
    regions, read_ok, rows = open_features(path)
    digest = hashlib.sha256(json.dumps([regions, str(rows.note)]).encode())
    digest.update(read_ok.tobytes())
    digest.update(from_column(read_table(path, ["tissue"]), "tissue").tobytes())
    for piece in rows.pieces():
        digest.update(piece.data)
    return digest.hexdigest()


def features_digest(folder: Path | str, slide_ids: list[str]) -> str:
    """Digest (16 hex digits) of the features of the given slides in `features/{encoder}`, in the given order.

    Raises:
        UserError: a slide's file is missing or cannot be read.
    """
    store, known = Path(folder) / _NAME, {}
    with suppress(OSError, ValueError):
        known = json.loads(store.read_text(encoding="utf-8"))
    files = {name: slide_file(folder, name) for name in slide_ids}
    states = {name: _state(file) for name, file in files.items()}
    stale = [name for name in files if known.get(name, [None])[0] != states[name]]
    for name, digest in zip(stale, in_threads(slide_features_digest, [files[name] for name in stale]), strict=True):
        known[name] = [states[name], digest]
    if stale:
        with suppress(OSError):  # a folder that cannot be written: they are read again next time
            write_text(store, json.dumps(known))
    return hashlib.sha256(json.dumps([[name, known[name][1]] for name in slide_ids]).encode()).hexdigest()[:16]


def kept_result(args: argparse.Namespace, settings: str, files: Iterable[str], outputs: Sequence[str]) -> KeptResult:
    """The kept result of a command that reads features, by its arguments `code`, `features` and `slides`.

    Args:
        args: the command's arguments.
        settings: all settings, as text.
        files: its input files, besides tables of slides and features.
        outputs: its output files.
    """
    features = features_digest(args.features, usable_slides(*args.slides))
    return KeptResult(fingerprint(args.code, settings, files, features), outputs, may_keep=bool(args.code))
