"""The losses of one step: targets and centres of the whole batch, met by the crops of one part after another."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from workflow_scripts.config import Loss, PretrainRun
from workflow_scripts.core.loss_terms import SELF, TERMS, Targets
from workflow_scripts.slpd import losses
from workflow_scripts.slpd.centers import moved_self_center, prototype_centers, sharpen
from workflow_scripts.slpd.cross_entropy import cross_entropies
from workflow_scripts.slpd.health import entropy
from workflow_scripts.slpd.losses import TargetPairs
from workflow_scripts.slpd.precision import training_dtype
from workflow_scripts.slpd.state import TrainState
from workflow_scripts.slpd.targets import BatchTargets, PrototypeTargets, TargetRows, batch_targets

OTHERS = tuple(term for term in TERMS if term != SELF)
MEASURES = (
    *("loss", *(term.column for term in TERMS), *(term.entropy_column for term in OTHERS)),
    *("teacher_entropy", "marginal_entropy", "center_norm"),
)
NORMS = ("gradient_norm", "weight_norm")
FUNCTIONS: dict[str, Callable[[TargetPairs, Loss], Tensor]] = {
    term.name: getattr(losses, term.function) for term in TERMS
}


class Found(NamedTuple):
    """What a step has found, beside gradients.

    Attributes:
        measures: MEASURES, float64.
        center: centre of L_self that the next step starts from.
        proto_center: centre of the prototypes' logits that the next step starts from.
        norms: NORMS float32 over all parameters of the student: of their gradients before these are clipped, and of
            the weights that the step starts from.
    """

    measures: Tensor
    center: Tensor
    proto_center: Tensor
    norms: Tensor


def soften(
    logits: Tensor, center: Tensor, temperature: float, dtype: torch.dtype, summed: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Targets `[T, B, C]` of logits in `dtype`, their entropies `[T, B]`, and where `summed` their sum `[C]`."""
    targets = sharpen(logits, center, temperature)
    return targets.to(dtype), entropy(targets), targets.sum(dim=(0, 1)) if summed else logits.new_zeros(0)


class StepLosses:
    """Targets and centres that the parts of a step share, and the sums they add to.

    `sums`: the terms, the entropies of their targets but those of L_self, and the teacher's entropy `[2 terms]`, the
    sum of teacher features `[d]`, the sum of teacher probabilities `[C]`.
    """

    def __init__(
        self,
        settings: PretrainRun,
        state: TrainState,
        student: Tensor,
        teacher: Tensor,
        batch: int,
        soften: Callable[..., tuple[Tensor, Tensor, Tensor]] = soften,
    ) -> None:
        self.settings, self.state, self.batch = settings, state, batch
        self.student, self.teacher, self.soften = student, teacher, soften
        self.dtype = training_dtype(settings, state.student)
        self.prototypes: BatchTargets | None = None
        self.proto_center = state.proto_center
        units, width = teacher.shape
        self.sums = [teacher.new_zeros(size) for size in (len(TERMS) + len(OTHERS) + 1, width, units)]

    def set_prototypes(self, targets: PrototypeTargets, rows: TargetRows) -> None:
        """Prototype targets of the whole batch and their centres, this step's and the one that the next starts from."""
        state, loss = self.state, self.settings.loss
        raw = self.settings.prototypes.features == "backbone"
        self.prototypes = found = batch_targets(targets, rows, state.teacher.head, raw)
        regions = (found.n_own, found.n_neighbours)
        intra, inter, self.proto_center = prototype_centers(
            found.z, found.present, regions, self.teacher, state.proto_center, state.center, loss
        )
        self.centers = torch.stack([intra, *[inter] * (len(found.z) - 1)])[:, None]

    def add(self, student: Tensor, teacher: Tensor, rows: slice) -> None:
        """Add the losses and gradients of the regions `rows` of the batch, given their unit features."""
        loss = self.settings.loss
        with torch.no_grad():
            logits = F.linear(teacher, self.teacher)
            targets, own, total = self.soften(logits, self.state.center, loss.teacher_temp, self.dtype, summed=True)
            entropies = own
            self.sums[1] += teacher.sum(dim=(0, 1))
            self.sums[2] += total
            if self.prototypes is not None:
                logits = F.linear(self.prototypes.z[:, rows], self.teacher)
                drawn, found, _ = self.soften(logits, self.centers, loss.teacher_temp, self.dtype, summed=False)
                targets, entropies = torch.cat([targets, drawn]), torch.cat([own, found])
        cross = cross_entropies(student, self.student, targets, loss.student_temp, self.dtype)
        pairs, absent = self._pairs(cross, rows), cross.new_zeros(())
        terms = [FUNCTIONS[t.name](pairs[t.targets], loss) if t.targets in pairs else absent for t in TERMS]
        self._total(terms).backward()
        with torch.no_grad():
            # A target's entropy is the part of its cross-entropies that the student cannot change; the same mean of it.
            least = self._pairs(entropies[:, None].expand_as(cross), rows)
            floors = [FUNCTIONS[t.name](least[t.targets], loss) if t.targets in least else absent for t in OTHERS]
            self.sums[0] += torch.stack([*(term.detach() for term in terms), *floors, own.sum() / self.batch])

    def _pairs(self, cross: Tensor, rows: slice) -> dict[Targets, TargetPairs]:
        """The targets there are, and their cross-entropies `[T, V, b]` with the crops of the regions `rows`."""
        crops, found = self.settings.crops.global_count, self.prototypes
        present = torch.ones(crops, cross.shape[2], dtype=torch.bool, device=cross.device)
        regions = torch.full((), self.batch, device=cross.device)
        pairs: dict[Targets, TargetPairs] = {"crops": TargetPairs(cross[:crops], present, regions)}
        if found is not None:
            present, weights = found.present[:, rows], found.weights[:, rows]
            pairs["own"] = TargetPairs(cross[crops : crops + 1], present[:1], found.n_own, weights[:1])
            pairs["neighbours"] = TargetPairs(cross[crops + 1 :], present[1:], found.n_neighbours, weights[1:])
        return pairs

    def _total(self, terms: Iterable[Tensor]) -> Tensor:
        """Weighted sum of the terms; without prototypes, as in the warm-up, L_self counts fully whatever its weight."""
        loss, alone = self.settings.loss, self.prototypes is None
        weights = [1.0 if alone and term == SELF else loss.weight(term) for term in TERMS]
        first, *others = (weight * term for weight, term in zip(weights, terms, strict=True))
        return sum(others, first)

    def finish(self, norms: Tensor) -> Found:
        """What the sums of all processes make; the state is not touched.

        Args:
            norms: NORMS, see `Found`.
        """
        crops, loss, state = self.settings.crops.global_count, self.settings.loss, self.state
        (*measured, entropies), features, probabilities = self.sums
        terms, floors = measured[: len(TERMS)], measured[len(TERMS) :]
        with torch.no_grad():
            count = crops * self.batch
            center = moved_self_center(state.center, self.teacher, features, count, loss.center_momentum)
            marginal = entropy(probabilities / count)
            found = [self._total(terms), *terms, *floors, entropies / crops, marginal, center.norm()]
        return Found(torch.stack([value.double() for value in found]), center, self.proto_center, norms)
