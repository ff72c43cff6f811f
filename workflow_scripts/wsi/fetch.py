"""Remote slides: fetched whole, with retries that go on where a connection broke, and checked by size and SHA-256."""

import hashlib
import os
import time
from collections.abc import MutableMapping
from pathlib import Path
from threading import Lock
from typing import Any

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.fetched import Fetched, read_record
from workflow_scripts.core.files import whole_file
from workflow_scripts.core.status import SlideError

__all__ = ["NETWORK", "fetch", "local_slide"]

NETWORK = "SLPD_NETWORK"  # set by the workflow where cohort.allow_network is true
_SEVERAL_FILES = (".mrxs", ".vms", ".vmu", ".dcm", ".zarr")
_TRIES, _PAUSE_S, _TIMEOUT_S = 4, 1.0, (20, 120)  # pauses double; seconds to connect, and between two pieces
_PIECE_BYTES = 1 << 16  # what a broken connection loses at most
_ONE_AT_A_TIME = Lock()  # threads that want the same slide wait for the first of them
_AGAIN = {408, 425, 429, 500, 502, 503, 504}


class _Broken(Exception):
    """A failure that may pass: the connection broke, or the server asks to come back."""


def _refusal(url: str, status: int) -> SlideError:
    if status in (404, 410):
        return SlideError("missing_file", f"{url} does not exist; check the column path of the manifest")
    hint = "check its permissions and your credentials" if status in (401, 403) else "try again later"
    return SlideError("fetch_failed", f"{url} is refused by its server (status {status}); {hint}")


def _whole_size(response: Any, start: int) -> int | None:
    """Size of the whole file as the server tells it, bytes."""
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdecimal() else None


def _http_piece(session: Any, url: str, partial: Path, seen: MutableMapping[str, str]) -> None:
    """One try: the rest of the file where the server can go on, else all of it.

    Args:
        session: of requests, which keeps its connections.
        url: of the file.
        partial: what has come so far; the rest is put behind it.
        seen: headers of the last answer, by which a changed file is told from the same one; filled in here. Their names
            are looked up in any case (RFC 9110, 5.1).
    """
    import requests

    start = partial.stat().st_size if partial.exists() else 0
    tag = seen.get("ETag", "")
    mark = tag if tag and not tag.startswith("W/") else seen.get("Last-Modified", "")
    headers = {"Accept-Encoding": "identity"}
    if start and mark:
        headers |= {"Range": f"bytes={start}-", "If-Range": mark}
    try:
        with session.get(url, stream=True, timeout=_TIMEOUT_S, headers=headers) as response:
            if response.status_code in _AGAIN or response.status_code == 416:
                partial.unlink(missing_ok=True)
                raise _Broken(f"status {response.status_code}")
            if response.status_code not in (200, 206):
                raise _refusal(url, response.status_code)
            if response.status_code == 206 and not response.headers.get("Content-Range", "").startswith(
                f"bytes {start}-"
            ):
                raise _Broken("the server sent another part than it was asked for")
            start = start if response.status_code == 206 else 0
            seen.update(response.headers)
            size = _whole_size(response, start)
            with partial.open("ab" if start else "wb") as file:
                for piece in response.iter_content(_PIECE_BYTES):
                    file.write(piece)
    except requests.RequestException as error:
        raise _Broken(f"{type(error).__name__}") from error
    if size is not None and partial.stat().st_size != size:
        raise _Broken(f"{partial.stat().st_size} of {size} bytes came")


def _fetch_http(url: str, partial: Path, pause_s: float) -> None:
    import requests

    seen: MutableMapping[str, str] = requests.structures.CaseInsensitiveDict()
    with requests.Session() as session:
        for number in range(_TRIES):
            try:
                return _http_piece(session, url, partial, seen)
            except _Broken as error:
                last = error
            if number < _TRIES - 1:
                time.sleep(pause_s * 2**number)
    raise SlideError("fetch_failed", f"{url} cannot be fetched after {_TRIES} tries ({last}); check the network")


def _fetch_s3(url: str, partial: Path) -> None:
    """By the usual credentials and settings (AWS_PROFILE, AWS_ENDPOINT_URL, ...), unsigned where there are none."""
    try:
        import boto3
        from botocore import UNSIGNED
        from botocore.client import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise UserError("s3:// slides need boto3; run pip install -r envs/requirements-remote.txt") from None

    bucket, _, key = url[len("s3://") :].partition("/")
    try:
        session = boto3.Session()
        unsigned = {} if session.get_credentials() else {"signature_version": UNSIGNED}
        options = Config(retries={"total_max_attempts": _TRIES, "mode": "standard"}, **unsigned)
        session.client("s3", config=options).download_file(bucket, key, str(partial))
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise _refusal(url, status) from error
    except (BotoCoreError, boto3.exceptions.Boto3Error) as error:
        raise SlideError(
            "fetch_failed", f"{url} cannot be fetched ({error}); check the network and AWS_PROFILE"
        ) from error


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def fetch(
    url: str, target: str | Path, size_bytes: int | None = None, sha256: str = "", pause_s: float = _PAUSE_S
) -> Fetched:
    """Fetch a remote slide to `target`, whole or not at all.

    A file that is there with the wanted SHA-256 is kept.

    Args:
        url: https://, http:// or s3://.
        target: the file.
        size_bytes: what it must have; None accepts any.
        sha256: what it must have; empty accepts any.
        pause_s: before the second try; it doubles.

    Raises:
        SlideError: `missing_file` or `fetch_failed`.
        UserError: the network is not allowed, or a package is missing.
    """
    target = Path(target)
    if sha256 and target.is_file() and _digest(target) == sha256:
        return Fetched(url, size_bytes=target.stat().st_size, sha256=sha256)
    if target.suffix.lower() in _SEVERAL_FILES:
        raise SlideError(
            "fetch_failed",
            f"{url} is of a format with several files, which are not fetched; copy them all and give the local path",
        )
    if not os.environ.get(NETWORK):
        raise UserError(f"{url} is remote; set cohort.allow_network: true (or {NETWORK}=1 for a command run by hand)")
    with whole_file(target) as partial:
        if url.lower().startswith("s3://"):
            _fetch_s3(url, partial)
        else:
            _fetch_http(url, partial, pause_s)
        size, digest = partial.stat().st_size, _digest(partial)
        if size_bytes is not None and size != size_bytes:
            raise SlideError(
                "fetch_failed", f"{url} has {size} bytes instead of {size_bytes}; fetch it or mend the size"
            )
        if sha256 and digest != sha256:
            raise SlideError("fetch_failed", f"{url} has the SHA-256 {digest} instead of {sha256}; it is another file")
    return Fetched(url, size_bytes=size, sha256=digest)


def local_slide(path: str) -> str:
    """The path itself, where a fetched slide that was removed is fetched again and must be the same file.

    Raises:
        SlideError: the slide could not be fetched at first.
        UserError: it cannot be fetched again or has changed; the network is not allowed, a package is missing, or the
            file cannot be written.
    """
    record = read_record(path)
    if record is None:
        return path
    if record.reason:
        raise SlideError(record.reason, record.detail)
    with _ONE_AT_A_TIME:
        if Path(path).is_file():
            return path
        try:
            fetch(record.url, path, record.size_bytes, record.sha256)
        except SlideError as error:
            # An exclusion would stay for good: a table that is written once is up to date when the server is back.
            raise UserError(
                f"{path} was fetched before, is needed again and cannot be had ({error.detail}); run again when it "
                "can, or change the slide's row of the manifest or take it out"
            ) from error
        except OSError as error:
            raise UserError(f"{path} cannot be written ({error.strerror}); free some space and run again") from error
    return path
