"""The last result of a job, kept beside its outputs, and taken back where all that it was made of is as it was.

Snakemake deletes a job's outputs before it starts, and plans what follows a job before it is known whether that
changes anything. A job that takes hours therefore looks, as it starts, whether its result is known: its outputs have
a second name (a hard link, which takes no room) in the folder `.kept` beside them, with a digest of what they were
made of. One result is kept for an output; the next replaces it. Whoever deletes the folder has the result made anew.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from workflow_scripts.core.entry import log
from workflow_scripts.core.files import whole_file, write_text
from workflow_scripts.core.launch import is_worker

# whose release may move the last bits of a result; an upgrade reruns nothing, but with it nothing is taken back
_PACKAGES = ("torch", "numpy", "faiss-cpu")
TAKEN_BACK = "are those of the last result, so that is taken back"
"""What the log of a job says that took its result back."""


def _file_digest(path: Path) -> str:
    """SHA-256 of a file; empty where there is none, which whatever reads it will say."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def fingerprint(code: str, settings: str, files: Iterable[str], *more: str) -> str:
    """Digest (16 hex digits) of everything that a result depends on; names and times of files do not count.

    Args:
        code: digest of the code.
        settings: all settings, as text.
        files: input files, in their order.
        more: further digests, such as that of the features.
    """
    parts = [code, settings, [_file_digest(Path(name)) for name in files], more]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _releases() -> dict[str, str]:
    """Installed releases of the packages that compute."""
    found = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


class KeptResult:
    """The outputs of one job under their second names.

    Args:
        made_of: `fingerprint` of what the job is to make its outputs of.
        outputs: files of one folder, the job's outputs.
        may_keep: False where the fingerprint does not tell all, as of a command that was given no digest of its code.
    """

    def __init__(self, made_of: str, outputs: Sequence[str], may_keep: bool = True) -> None:
        self.made_of, self.may_keep = made_of, may_keep
        self.outputs = [Path(output) for output in outputs]
        self.folder = self.outputs[0].parent / ".kept"
        self.record = self.folder / f"{self.outputs[0].stem}.json"

    def _facts(self, folder: Path) -> dict[str, Any]:
        """What the record says of a result whose files lie in `folder`."""
        files = {output.name: _file_digest(folder / output.name) for output in self.outputs}
        return {"made_of": self.made_of, "releases": _releases(), "files": files}

    def take_back(self) -> bool:
        """Give the outputs what is kept, if that is what the job would make; False where the job is to be done.

        The outputs are as new: Snakemake would run a job again whose outputs are older than its inputs.
        """
        if is_worker() or not self.may_keep:
            return False  # of several processes the one that started them has looked
        try:
            known = json.loads(self.record.read_text(encoding="utf-8"))
            if known.get("made_of") != self.made_of or known != self._facts(self.folder):
                return False
            for output in self.outputs:
                os.utime(self.folder / output.name)
                with whole_file(output) as partial:
                    os.link(self.folder / output.name, partial)
        except (OSError, ValueError):  # none is kept, or it cannot be read
            return False
        log.info(
            "settings, code and content of all inputs %s; to have it made anew, delete %s",
            *(TAKEN_BACK, self.folder),
        )
        return True

    def keep(self) -> None:
        """Give the outputs, which are written, their second names, in place of what was kept before.

        Where the file system has no hard links nothing is kept: a copy would cost as much room again.
        """
        if not self.may_keep:
            return
        try:
            self.record.unlink(missing_ok=True)  # first, and written last: it speaks of files that are there
            for output in self.outputs:
                with whole_file(self.folder / output.name) as partial:
                    os.link(output, partial)
            write_text(self.record, json.dumps(self._facts(self.folder), sort_keys=True))
        except OSError as error:
            log.info("the result is not kept for later runs: %s", error)
