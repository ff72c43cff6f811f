"""Labels dealt to the patients by chance: the control in which nothing can be learnt."""

from dataclasses import replace
from random import Random

from workflow_scripts.core.labels import Labels

_SEED = 20231008


def permuted(labels: Labels) -> Labels:
    """The same labels, dealt anew: to the patients, or to the slides where labels are by slide.

    The deal does not depend on the order of the slides.
    """
    units = labels.slide_ids if labels.level == "slide" else labels.patient_ids
    of_unit = dict(sorted(zip(units, labels.values, strict=True), key=lambda pair: pair[0]))
    values = list(of_unit.values())
    Random(_SEED).shuffle(values)
    dealt = dict(zip(of_unit, values, strict=True))
    return replace(labels, values=[dealt[unit] for unit in units])
