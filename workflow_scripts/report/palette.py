"""Fixed colours that stay apart for colour-blind readers (after Okabe and Ito 2008, and Tol's muted set)."""

from collections.abc import Iterable

from workflow_scripts.config.embed import PATCHES, prototypes_of
from workflow_scripts.core.colours import GROUP_COLOURS, group_colour

_RUNS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#332288", "#882255")
_BASELINES = {"mean": "#555555", "colour": "#9A9A9A", "max": "#7A6A53", "std": "#A89F91"}  # muted, as a background
_DASHES = ("solid", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)))
_MARKERS = "osD^vPX*"

PROTOTYPES = GROUP_COLOURS
NO_PROTOTYPE = "#C8C8C8"
SHARES = "#00224e #123570 #3b496c #575d6d #707173 #8a8678 #a59c74 #c3b369 #e1cc55 #fee838".split()
"""Cividis (Nunez, Anderton and Renslow 2018), low to high, which readers of all kinds of colour vision see alike."""


def prototype_colour(prototype: int | None) -> str:
    """Colour of a prototype; grey for a region without one (null or below 0)."""
    if prototype is None or prototype < 0:
        return NO_PROTOTYPE
    return group_colour(prototype)


def text_on(colour: str) -> str:
    """Black or white, whichever has the greater contrast on `colour` (WCAG 2 relative luminance)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"


def stable_order(names: list[str], runs: Iterable[str]) -> list[str]:
    """Names in an order in which one that is added takes no other's place: runs, what is made of them, all others.

    Args:
        names: of representations and runs, in the order of the configuration.
        runs: names of the trainings.
    """
    known = set(runs)

    def rank(name: str) -> int:
        is_run = name in known or any(run.startswith(f"{name}-fold") for run in known)
        return 0 if is_run else 1 if name in map(prototypes_of, known) else 2 if name == PATCHES else 3

    return sorted(names, key=rank)


def line_styles(names: list[str]) -> dict[str, dict]:
    """Colour, dashes and marker of each representation or run, the same throughout the report."""
    runs, baselines = [name for name in names if name not in _BASELINES], list(_BASELINES)
    styles = {}
    for name in names:
        if name in _BASELINES:
            dash, marker = _DASHES[2 if name in ("mean", "max") else 3], _MARKERS[-1 - baselines.index(name)]
        else:
            place = runs.index(name)
            dash, marker = _DASHES[place % len(_DASHES)], _MARKERS[place % len(_MARKERS)]
        colour = _BASELINES.get(name) or _RUNS[runs.index(name) % len(_RUNS)]
        styles[name] = {"colour": colour, "dash": dash, "marker": marker}
    return styles
