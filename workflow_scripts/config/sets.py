"""Sets of prototypes as representations: of which embeddings they are made."""

from workflow_scripts.config.embed import PATCHES, Embed, prototypes_of
from workflow_scripts.config.runs import Pretrain


def clusters_slides(pretrain: Pretrain, name: str) -> bool:
    """Whether a representation is a run whose own clustering gives every slide its prototypes."""
    return name in pretrain.runs and pretrain.run(name).has_slide_sets


def set_sources(embed: Embed, pretrain: Pretrain) -> list[str]:
    """Representations of whose regions sets are made, trainings of a run by other seeds among them.

    Raises:
        ValueError: one that is named is not there, or has no vectors of regions.
    """
    if embed.prototypes is True:
        return [name for name in pretrain.runs if clusters_slides(pretrain, name) and pretrain.run(name).fold is None]
    wanted = embed.prototypes or []
    for name in wanted:
        _require_regions(name, embed, pretrain)
    return [training for name in wanted for training in pretrain.trainings.get(name, [name])]


def _require_regions(name: str, embed: Embed, pretrain: Pretrain) -> None:
    """Refuse what no sets can be made of."""
    again = {training for trainings in pretrain.trainings.values() for training in trainings[1:]}
    able = [*embed.baselines, *(run for run in pretrain.named if run not in {*again, *pretrain.by_fold})]
    if name in able:
        return
    why = "is none of the representations"
    if name in (PATCHES, *embed.tables):
        why = "has no vectors of regions"
    elif name in pretrain.by_fold:
        why = "is trained for each fold, and its prototypes are no representation"
    raise ValueError(f"embed.prototypes: {name} {why}; name some of {', '.join(able)}")


def taken_names(embed: Embed, pretrain: Pretrain) -> dict[str, str]:
    """Names that sets have or could have, and what of."""
    every = dict.fromkeys([*pretrain.runs, *set_sources(embed, pretrain)])
    return {prototypes_of(name): f"the prototypes of {name}" for name in every}
