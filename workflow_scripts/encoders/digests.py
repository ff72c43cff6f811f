"""Digests of checkpoint files. No torch here: what is up to date is found before it is imported."""

import hashlib
from pathlib import Path

from workflow_scripts.core.errors import UserError


def file_digest(path: Path) -> str:
    """SHA-256 of a checkpoint, 64 hex digits.

    Raises:
        UserError: there is no such file.
    """
    if not path.is_file():
        raise UserError(f"the weights {path} do not exist; set features.weights to a local checkpoint")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_digest(path: Path, digest: str, expected: str | None) -> None:
    """Refuse a checkpoint whose digest is another than `expected`; None accepts any.

    Raises:
        UserError: the digests differ.
    """
    if expected and digest != expected:
        raise UserError(
            f"the weights {path} have the SHA-256 {digest} instead of {expected}; "
            "fetch the file again, or correct features.weights_sha256"
        )
