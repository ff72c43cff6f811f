"""The benchmark's heads: a line each, read by the configuration and the rules without importing any of them."""

from dataclasses import dataclass

from workflow_scripts.core.errors import UserError

_CLASSES = ("classification", "ordinal")
_EVERY = (*_CLASSES, "survival", "regression")


@dataclass(frozen=True)
class HeadEntry:
    """What has to be known of a head before it is imported.

    Attributes:
        module: file of `mil/heads/` that defines it.
        name: of its class, which follows `mil.head.Head`.
        kinds: kinds of task that it serves, names of `core.tasks.KINDS`.
        wants_gpu: whether its jobs ask for a GPU.
        common_scale: whether scores of models of different folds mean the same, so that they may be ranked together.
        to_optimum: whether it is fitted to the optimum of a loss of its training cases, without chance.
        light: whether all folds and repeats of a cohort take it seconds, as heads on slide vectors do.
        seeded: whether chance plays a part in its fit, so that several seeds tell something.
        by_default: whether tasks of its kinds have it unless they name their heads.
        prototypes: whether it compares sets of prototypes, and is fitted on representations that are sets alone.
        on_vectors: of such a head, the one on slide vectors that it is like, against which the report holds it.
        affine: whether its scores are an affine map of the vector, so that a fitted one can be handed on.
        attends: whether it pools a bag's instances by weights of its own, which are then told for tested bags.
        settings: its sections of `benchmark.head_settings`, the later ones completing the earlier; empty means its own
            name, if there is a section of that name.
    """

    module: str
    name: str
    kinds: tuple[str, ...]
    wants_gpu: bool = False
    common_scale: bool = False
    to_optimum: bool = False
    light: bool = False
    seeded: bool = False
    by_default: bool = True
    prototypes: bool = False
    on_vectors: str = ""
    affine: bool = False
    attends: bool = False
    settings: tuple[str, ...] = ()


def _mil(name: str, *own: str, attends: bool = False, by_default: bool = False) -> HeadEntry:
    """A network on the regions: the settings that all of them have in common, then its own."""
    return HeadEntry(
        "nets",
        name,
        _EVERY,
        wants_gpu=True,
        seeded=True,
        by_default=by_default,
        attends=attends,
        settings=("mil", *own),
    )


def _on_sets(module: str, name: str, on_vectors: str, to_optimum: bool = False) -> HeadEntry:
    """A head by the optimal matching of sets of prototypes."""
    return HeadEntry(
        module,
        name,
        _CLASSES,
        common_scale=True,
        to_optimum=to_optimum,
        by_default=False,
        prototypes=True,
        on_vectors=on_vectors,
    )


HEADS: dict[str, HeadEntry] = {
    "knn": HeadEntry("knn", "KnnHead", _CLASSES, common_scale=True, light=True),
    "matching_knn": _on_sets("matching", "MatchingKnnHead", "knn"),
    "matching_logistic": _on_sets("matching", "MatchingLogisticHead", "logistic", to_optimum=True),
    "logistic": HeadEntry(
        "logistic", "LogisticHead", _CLASSES, common_scale=True, to_optimum=True, light=True, affine=True
    ),
    "cumulative_link": HeadEntry(
        "cumulative_link",
        "CumulativeLinkHead",
        ("ordinal",),
        common_scale=True,
        to_optimum=True,
        light=True,
        by_default=False,
    ),
    "cox": HeadEntry("cox", "CoxHead", ("survival",), to_optimum=True, light=True, affine=True),
    "ridge": HeadEntry(
        "ridge", "RidgeHead", ("regression",), common_scale=True, to_optimum=True, light=True, affine=True
    ),
    "abmil": _mil("Abmil", attends=True, by_default=True),
    "abmil_plain": _mil("PlainAbmil", attends=True),
    "mean_mil": _mil("MeanMil"),
    "max_mil": _mil("MaxMil"),
    "clam_sb": _mil("ClamSb", "clam", attends=True),
    "clam_mb": _mil("ClamMb", "clam", attends=True),
    "dsmil": _mil("Dsmil", attends=True),
    "transmil": _mil("Transmil", "transmil"),
    "dtfd": _mil("Dtfd", "dtfd", attends=True),
    "hipt": _mil("Hipt", "hipt", attends=True),
}


def heads_for(kind: str) -> list[str]:
    """Heads that serve a kind of task, in the order of the table."""
    return [name for name, head in HEADS.items() if kind in head.kinds]


def default_heads(kind: str) -> list[str]:
    """Those of them that a kind of task has unless the configuration names its heads."""
    return [name for name in heads_for(kind) if HEADS[name].by_default]


def head_entry(name: str, kind: str) -> HeadEntry:
    """Entry of a head that serves a kind of task.

    Raises:
        UserError: there is no such head, or it does not serve that kind.
    """
    if name not in heads_for(kind):
        problem = "is not made for" if name in HEADS else "is unknown, and cannot serve"
        raise UserError(f"head {name} {problem} {kind} tasks; use one of {', '.join(heads_for(kind))}")
    return HEADS[name]
