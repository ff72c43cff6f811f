"""Remote slides and the records of what was fetched of them. Standard library only: every cluster job parses it again.

A remote slide lies in `results/{cohort}/fetched/{slide_id}/{name}` while it is there; its record beside that folder,
`{slide_id}.json`, stays when the file is removed.
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_text

if TYPE_CHECKING:
    from workflow_scripts.core.status import Reason

_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
REMOTE = ("http", "https", "s3")


@dataclass(frozen=True)
class Fetched:
    """What was fetched of a remote slide.

    Attributes:
        url: where from.
        reason, detail: why it could not be fetched, empty where it could.
        size_bytes, sha256: of the file; 0 and empty where there is none.
        attempt: the value of `cohort.fetch_attempt` at which this was tried.
    """

    url: str
    reason: "Reason" = ""
    detail: str = ""
    size_bytes: int = 0
    sha256: str = ""
    attempt: int = 1


def is_remote(path: str) -> bool:
    """Whether a path of the manifest has to be fetched."""
    found = _SCHEME.match(path)
    return found is not None and found.group(1).lower() in REMOTE


def check_remote(path: str, where: str) -> None:
    """Refuse an address that cannot be fetched; a local path passes.

    Raises:
        UserError: another scheme, no host or file, or a password in the address.
    """
    found = _SCHEME.match(path)
    if not found:
        return
    if not is_remote(path):
        raise UserError(
            f"{where}: slides cannot be fetched by {found.group(1)}://; give https://, s3:// or a local path"
        )
    host, _, key = path[found.end() :].partition("/")
    if not host or not key:
        raise UserError(f"{where}: {path} names no file; give the whole address of the slide")
    if re.search(r"#[1-9]\d{0,3}$", key):
        raise UserError(f"{where}: {path} names an image of a file by its number; fetch the file and give its own path")
    if "@" in host:
        raise UserError(f"{where}: the address holds a user name or password; put them into ~/.netrc instead")


def fetched_path(cohort: str, slide_id: str, url: str) -> str:
    """Where a remote slide lies when it is fetched, with its own file name, relative to the working directory."""
    path = url.partition("://")[2] if url.lower().startswith("s3://") else unquote(urlsplit(url).path)
    name = re.sub(r"[^\w.-]+", "_", path.rstrip("/").rpartition("/")[2]).lstrip(".")
    return f"results/{cohort}/fetched/{slide_id}/{name or 'slide'}"


def record_file(path: str | Path) -> Path:
    """Record of the slide that is fetched to `path`."""
    folder = Path(path).parent
    return folder.with_name(f"{folder.name}.json")


def local_path(cohort: str, slide_id: str, path: str) -> str:
    """A slide's file: the manifest's `path`, or where a remote slide of the cohort is fetched to."""
    return fetched_path(cohort, slide_id, path) if is_remote(path) else path


def read_record(path: str | Path) -> Fetched | None:
    """Record of the slide that is fetched to `path`, None for a slide that is no remote one or not fetched yet."""
    folder = Path(path).parent  # without a name for a slide of the working directory or of the root
    if folder.parent.name != "fetched" or not folder.name or not record_file(path).is_file():
        return None
    return Fetched(**json.loads(record_file(path).read_text(encoding="utf-8")))


def write_record(file: str | Path, record: Fetched) -> None:
    """Write a record, whole or not at all."""
    write_text(file, json.dumps(asdict(record), indent=1) + "\n")


def remove_fetched(cohort: str, slide_id: str, url: str) -> bool:
    """Remove what a cohort has fetched of a remote slide, the record stays; nothing happens to any other file.

    Args:
        cohort: its name.
        slide_id: as in the manifest of that cohort.
        url: the same; a local path is never removed, wherever it lies.

    Returns:
        Whether there was a file to remove.
    """
    if not is_remote(url):
        return False
    path = Path(fetched_path(cohort, slide_id, url))
    record = read_record(path)
    if record is None or record.reason or not path.is_file():
        return False
    path.unlink()
    if not any(path.parent.iterdir()):
        path.parent.rmdir()
    return True
