"""Warnings of the libraries that fit, as one counted line each instead of a page in the log."""

import re
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from workflow_scripts.core.entry import log


@contextmanager
def counted_warnings(of: str) -> Iterator[None]:
    """Take in all warnings that are given within, and log how often each was, those that differ in numbers as one.

    Args:
        of: of what they are, as the line starts.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
    kinds: dict[tuple[str, str], list[str]] = {}
    for one in caught:
        first = (str(one.message).strip().splitlines() or [""])[0]
        kinds.setdefault((one.category.__name__, re.sub(r"\d+", "#", first)), []).append(first)
    for (category, _), messages in kinds.items():
        log.warning("%s: %s, %d times: %s", of, category, len(messages), Counter(messages).most_common(1)[0][0])
