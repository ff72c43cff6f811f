"""Arguments of the scripts that measure, checked before anything runs; their figures, written whole or not at all."""

import argparse
import json
import os
from pathlib import Path
from typing import Any


def count(word: str) -> int:
    """A whole number from 1 on, as `type` of an argument.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word} is no whole number from 1 on")
    return int(word)


def number_from_0(word: str) -> int:
    """The same from 0 on."""
    return 0 if word.isdecimal() and int(word) == 0 else count(word)


def seconds(word: str) -> float:
    """A time above 0, as `type` of an argument.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        found = float(word)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise argparse.ArgumentTypeError(f"{word} is no number of seconds above 0")
    return found


def folder(word: str) -> Path:
    """A folder that can be written to, as `type` of an argument.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    path = Path(word)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{word} is no folder")
    if not os.access(path, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f"{word} cannot be written to")
    return path


def new_file(word: str) -> Path:
    """A file that can be written, in a folder that is there, as `type` of an argument.

    Raises:
        argparse.ArgumentTypeError: it cannot.
    """
    path = Path(word)
    folder(str(path.parent))
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{word} is a folder")
    return path


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write figures whole, in place of those of before."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(content, indent=1), encoding="utf-8")
    part.replace(path)
