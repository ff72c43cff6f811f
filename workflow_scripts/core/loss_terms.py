"""The terms of the pretraining loss, one entry each: weights, training, metrics and the report's curves follow it.

Without torch, for the configuration reads it. The functions are in `slpd/losses.py`, the weights in `config.Loss`.
"""

from typing import Literal, NamedTuple

Targets = Literal["crops", "own", "neighbours"]


class LossTerm(NamedTuple):
    """One term of the loss.

    Attributes:
        name: names its weight, `pretrain.defaults.loss.{name}_weight`, and its column of the metrics, `loss_{name}`.
        label: of its curve in the report.
        function: its name in `slpd/losses.py`.
        targets: what the student's crops are compared with: `crops`, the teacher's view of the region's global crops;
            `own`, the region's prototype; `neighbours`, the matched prototypes of the nearest slides. A term on crops
            takes part in the warm-up too, one on prototypes in the rounds that have some.
    """

    name: str
    label: str
    function: str
    targets: Targets

    @property
    def weight(self) -> str:
        """Key of its weight."""
        return f"{self.name}_weight"

    @property
    def column(self) -> str:
        """Its column of the metrics."""
        return f"loss_{self.name}"

    @property
    def entropy_column(self) -> str:
        """Column of the metrics with the entropy of its targets, weighted as its cross-entropies are."""
        return "teacher_entropy" if self.name == "self" else f"entropy_{self.name}"

    @property
    def on_prototypes(self) -> bool:
        """Whether its targets are prototypes."""
        return self.targets != "crops"


SELF = LossTerm("self", "L self", "self_loss", "crops")  # counts fully where there are no prototypes
TERMS = (
    SELF,
    LossTerm("intra", "L intra", "prototype_loss", "own"),
    LossTerm("inter", "L inter", "prototype_loss", "neighbours"),
)
