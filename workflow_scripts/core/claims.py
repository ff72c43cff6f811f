"""By which names a slide is looked for in what other tools made, so that nothing is ever taken for two slides.

Standard library only: every cluster job asks again.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from workflow_scripts.core.series import split_series


def _stem(name: str) -> str:
    """What tools call features of a slide's file; of one of several slides in a file, no tool's name is known."""
    return Path(name).name if split_series(name)[1] else Path(name).stem


def names_of_slides(
    slides: Iterable[tuple[str, str]], of_id: Callable[[str], str] = str, of_path: Callable[[str], str] = _stem
) -> dict[str, list[str]]:
    """Names under which each slide's features are looked for: by its slide_id, then by the name of its file.

    Tools name what they make by the slide's file. So a name belongs to the one slide that has it both as its id and as
    that of its file; else to the one slide that has it at all. A name that two slides have with equal right belongs to
    none of them, for what lies under it may be of either.

    Args:
        slides: slide_id and path of all slides of the cohorts.
        of_id: the name that an id stands for.
        of_path: the name that a path stands for.
    """
    wanted = {slide_id: list(dict.fromkeys([of_id(slide_id), of_path(path)])) for slide_id, path in slides}
    claims: dict[str, list[tuple[int, str]]] = {}
    for slide_id, names in wanted.items():
        for name in names:
            claims.setdefault(name, []).append((len(names), slide_id))  # one name for both is the stronger claim
    owner = {}
    for name, claimants in claims.items():
        best = min(claimants)[0]
        strongest = [slide_id for strength, slide_id in claimants if strength == best]
        owner[name] = strongest[0] if len(strongest) == 1 else None
    return {slide_id: [name for name in names if owner[name] == slide_id] for slide_id, names in wanted.items()}
