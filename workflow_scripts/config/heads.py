"""Settings of the benchmark's heads: a section for each, and one that all networks on regions share."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from workflow_scripts.config.base import Count, Fraction, Positive, Section
from workflow_scripts.core.heads import HEADS

Chosen = Literal["auto"] | Positive
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
InnerFolds = Annotated[int, Field(ge=2)]


class Knn(Section):
    neighbours: Count = 5
    """Patients that vote, each by its nearest slide; at most half of those that are learnt from."""
    metric: Literal["euclidean", "cosine"] = "euclidean"
    """Distance of slide vectors, standardised on the training slides."""


class MatchingKnn(Section):
    neighbours: Count = 5
    """Patients that vote, each by its slide whose prototypes match best; at most half of those that are learnt from."""


class MatchingLogistic(Section):
    c: Chosen = "auto"
    """Inverse strength of the L2 penalty; auto takes the best of 1e-4 to 100 by inner folds."""
    inner_folds: InnerFolds = 5
    """Folds of the training patients by which c is chosen, where there is no part `val`."""
    landmarks: Annotated[int, Field(ge=2)] = 1000
    """Training slides, at most, that all others are compared with; with fewer slides nothing is left out."""


class ClassPenalty(Section):
    c: Chosen = "auto"
    """Inverse strength of the L2 penalty; auto takes the best of 1e-4 to 100 by inner folds."""
    inner_folds: InnerFolds = 5
    """Folds of the training patients by which c is chosen, where there is no part `val`."""


class Cox(Section):
    penalizer: Chosen = 0.1
    """Strength of the penalty; auto takes the best of 0.001 to 10 by inner folds."""
    l1_ratio: Fraction = 0.0
    """Share of the L1 norm in the penalty: 0 is ridge, between is the elastic net."""
    events_per_component: Count = 5
    """Patients with an event for each principal component, at least."""
    inner_folds: InnerFolds = 5
    """Folds of the training patients by which the penalty is chosen, where there is no part `val`."""


class Ridge(Section):
    alpha: Chosen = "auto"
    """Strength of the L2 penalty; auto takes the best of 0.01 to 1e5 by inner folds."""
    inner_folds: InnerFolds = 5
    """Folds of the training patients by which alpha is chosen, where there is no part `val`."""


class Mil(Section):
    hidden: Count = 128
    """Width into which regions are embedded."""
    attention: Count = 64
    """Width of the attention."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of the embedding's values that a slide loses in a training step."""
    lr: Positive = 2e-4
    """Adam's learning rate of a step of one slide; a step of b slides takes b times as much, 16 at most, and
    transformers (transmil, hipt) the root of it."""
    weight_decay: NotNegative = 1e-5
    """L2 penalty in Adam."""
    epochs: Literal["auto"] | Count = "auto"
    """Passes over the training slides; auto makes 3,000 visits, but 10 to 50 passes."""
    batch_size: Literal["auto"] | Count = "auto"
    """Slides a step; auto takes a twentieth of the training slides, 16 at most, and 32 for survival."""
    inner_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Fraction of the training patients whose loss chooses the epoch where there is no part `val`; 0 keeps the last."""
    survival_loss: Literal["cox", "discrete_time"] = "cox"
    """Cox's partial likelihood over the slides of a step, or a hazard for each quarter of the event times."""


class Clam(Section):
    instances: Count = 8
    """Regions of most and of least attention that are told apart."""
    instance_weight: Fraction = 0.3
    """Share of the regions' loss in the loss."""


class Transmil(Section):
    attention_heads: Count = 8
    """Heads of its self-attention; they divide `mil.hidden`."""


class Dtfd(Section):
    pseudo_bags: Count = 4
    """Parts into which a slide's regions are dealt."""


class Hipt(Section):
    depth: Count = 2
    """Transformer blocks."""
    attention_heads: Count = 4
    """Heads of its self-attention; they divide `mil.hidden`."""


class HeadSettings(Section):
    knn: Knn = Knn()
    matching_knn: MatchingKnn = MatchingKnn()
    matching_logistic: MatchingLogistic = MatchingLogistic()
    logistic: ClassPenalty = ClassPenalty()
    cumulative_link: ClassPenalty = ClassPenalty()
    cox: Cox = Cox()
    ridge: Ridge = Ridge()
    mil: Mil = Mil()
    clam: Clam = Clam()
    transmil: Transmil = Transmil()
    dtfd: Dtfd = Dtfd()
    hipt: Hipt = Hipt()

    def of(self, head: str) -> dict[str, Any]:
        """What a head of the table in `core/heads.py` is given; empty where it has no section."""
        names = (HEADS[head].settings if head in HEADS else ()) or (head,)
        sections = [getattr(self, name) for name in names if name in type(self).model_fields]
        return {key: value for section in sections for key, value in section.model_dump(mode="json").items()}


def head_on_sets(heads: Mapping[str, list[str]], set_heads: Mapping[str, list[str]]) -> str | None:
    """Why heads by kind of task cannot be fitted where no representation is a set of prototypes; None if they can."""
    wanted = [("heads", kind, name) for kind, names in heads.items() for name in names if HEADS[name].prototypes]
    wanted += [("set_heads", kind, name) for kind, names in set_heads.items() for name in names]
    for key, kind, name in wanted:
        what = "compares" if HEADS[name].prototypes else "is to be fitted on"
        return (
            f"benchmark.{key}.{kind}: {name} {what} sets of prototypes, and there are none; set embed.prototypes to "
            f"representations that have vectors of regions, such as [mean], or drop {name}"
        )
    return None
