"""Agreement of a slide's prototypes, and of the cohort's groups of them, with planted or annotated tissue classes."""

from typing import NamedTuple

import numpy as np
from sklearn.metrics import adjusted_rand_score

from workflow_scripts.core.truth_map import GLASS


class Agreement(NamedTuple):
    """Agreement in one slide.

    Attributes:
        n_regions: regions that hold tissue of a known class.
        n_classes: majority classes among them.
        ari: adjusted Rand index between prototypes and majority classes.
        ari_random: the same for randomly permuted prototypes, mean of the permutations.
    """

    n_regions: int
    n_classes: int
    ari: float
    ari_random: float


def prototype_agreement(prototypes: np.ndarray, classes: np.ndarray, seed: int, permutations: int = 100) -> Agreement:
    """Adjusted Rand index (Hubert and Arabie 1985) of prototypes against classes, and its random baseline.

    Args:
        prototypes: int `[n]`, prototype of each region of one slide.
        classes: int `[n]`, majority class of each region; regions of glass alone are left out.
        seed: seed of the permutations.
        permutations: how many.
    """
    tissue = classes != GLASS
    prototypes, classes = prototypes[tissue], classes[tissue]
    if not len(classes):
        return Agreement(0, 0, np.nan, np.nan)
    random = np.random.default_rng(seed)
    shuffled = [adjusted_rand_score(classes, random.permutation(prototypes)) for _ in range(permutations)]
    return Agreement(
        n_regions=len(classes),
        n_classes=len(np.unique(classes)),
        ari=float(adjusted_rand_score(classes, prototypes)),
        ari_random=float(np.mean(shuffled)),
    )


class CohortAgreement(NamedTuple):
    """Agreement of the groups of prototypes over all slides together.

    Attributes:
        n_slides: slides with a map of the classes.
        n_regions: their regions that hold tissue of a known class.
        n_classes: majority classes among them.
        n_groups: groups among them.
        ari: adjusted Rand index between groups and majority classes, NaN where there is no region.
        ari_random: the same with the groups dealt to the regions by chance, mean of the permutations.
        ari_random_prototypes: the same with the groups dealt to the slides' prototypes by chance: what the clustering
            of each slide by itself gives, without any knowledge of which prototypes of two slides are alike.
    """

    n_slides: int
    n_regions: int
    n_classes: int
    n_groups: int
    ari: float
    ari_random: float
    ari_random_prototypes: float


def cohort_agreement(
    slides: np.ndarray,
    prototypes: np.ndarray,
    groups: np.ndarray,
    classes: np.ndarray,
    seed: int,
    permutations: int = 100,
) -> CohortAgreement:
    """Adjusted Rand index of groups against classes over all regions, and its two random baselines.

    Args:
        slides: int `[n]`, slide of each region.
        prototypes: int `[n]`, prototype of each region, a number within the cohort.
        groups: int `[n]`, group of that prototype.
        classes: int `[n]`, majority class of each region; regions of glass alone are left out.
        seed: seed of the permutations.
        permutations: how many of each kind.
    """
    tissue = classes != GLASS
    slides, prototypes, groups, classes = (x[tissue] for x in (slides, prototypes, groups, classes))
    if not len(classes):
        return CohortAgreement(0, 0, 0, 0, np.nan, np.nan, np.nan)
    random = np.random.default_rng(seed)
    _, first, own = np.unique(prototypes, return_index=True, return_inverse=True)
    of_prototype = groups[first]
    by_region = [adjusted_rand_score(classes, random.permutation(groups)) for _ in range(permutations)]
    by_prototype = [adjusted_rand_score(classes, random.permutation(of_prototype)[own]) for _ in range(permutations)]
    return CohortAgreement(
        n_slides=len(np.unique(slides)),
        n_regions=len(classes),
        n_classes=len(np.unique(classes)),
        n_groups=len(np.unique(groups)),
        ari=float(adjusted_rand_score(classes, groups)),
        ari_random=float(np.mean(by_region)),
        ari_random_prototypes=float(np.mean(by_prototype)),
    )
