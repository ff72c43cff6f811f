"""Labels dealt to the patients by chance: the control in which nothing can be learnt."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from random import Random

from workflow_scripts.core.labels import Labels
from workflow_scripts.core.tasks import Label

_SEED = 20231008
DEALS = 100


def permuted(labels: Labels, deal: int = 0, within: Sequence[Hashable] | None = None) -> Labels:
    """The same labels, dealt anew: to the patients, or to the slides where labels are by slide.

    The deal does not depend on the order of the slides.

    Args:
        labels: of S slides.
        deal: number of the deal.
        within: S names, such as sites; labels stay among the patients of one name. None deals them to all.
    """
    units = labels.slide_ids if labels.level == "slide" else labels.patient_ids
    of_unit = dict(sorted(zip(units, labels.values, strict=True), key=lambda pair: pair[0]))
    block_of = dict(zip(reversed(units), reversed(within), strict=True)) if within else dict.fromkeys(units)
    blocks: dict[Hashable, list[str]] = {}
    for unit in of_unit:
        blocks.setdefault(block_of[unit], []).append(unit)
    random, dealt = Random(_SEED + deal), dict[str, Label]()
    for members in blocks.values():
        values = [of_unit[unit] for unit in members]
        random.shuffle(values)
        dealt |= dict(zip(members, values, strict=True))
    return replace(labels, values=[dealt[unit] for unit in units])


def deals(labels: Labels, within: Sequence[Hashable] | None = None) -> Iterator[tuple[Labels, str]]:
    """Deals to try one after another: `DEALS` to all patients, then as many within what is kept together.

    Within it nothing is dealt where most patients would keep their labels: that were no control.

    Args:
        labels: of S slides.
        within: S names of what is kept together; None where nothing is.

    Yields:
        The labels, and how they were dealt, in words.
    """
    for deal in range(DEALS):
        yield permuted(labels, deal), "dealt by chance"
    for deal in range(DEALS if within and _mixed(labels, within) else 0):
        yield permuted(labels, deal, within), "dealt by chance within what is kept together"


def _mixed(labels: Labels, within: Sequence[Hashable]) -> bool:
    """Whether half of the slides or more are together with slides of another label."""
    found: dict[Hashable, set[Label]] = {}
    for name, value in zip(within, labels.values, strict=True):
        found.setdefault(name, set()).add(value)
    return 2 * sum(len(found[name]) > 1 for name in within) >= len(within)
