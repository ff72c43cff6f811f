"""The losses of one step: targets and centres of the whole batch, met by the crops of one part after another."""

import torch
import torch.nn.functional as F
from torch import Tensor

from workflow_scripts.config import PretrainRun
from workflow_scripts.slpd.centers import moved_self_center, prototype_centers, sharpen
from workflow_scripts.slpd.cross_entropy import cross_entropies
from workflow_scripts.slpd.health import entropy
from workflow_scripts.slpd.losses import prototype_loss, self_loss
from workflow_scripts.slpd.precision import training_dtype
from workflow_scripts.slpd.state import TrainState
from workflow_scripts.slpd.targets import BatchTargets, PrototypeTargets, batch_targets

MEASURES = ("loss", "loss_self", "loss_intra", "loss_inter", "teacher_entropy", "marginal_entropy", "center_norm")


class StepLosses:
    """Targets and centres that the parts of a step share, and the sums they add to.

    `sums`: L_self, L_intra, L_inter and the teacher's entropy `[4]`, the sum of teacher features `[d]`, the sum of
    teacher probabilities `[C]`.
    """

    def __init__(self, settings: PretrainRun, state: TrainState, student: Tensor, teacher: Tensor, batch: int) -> None:
        self.settings, self.state, self.batch = settings, state, batch
        self.student, self.teacher = student, teacher
        self.dtype = training_dtype(settings, state.student)
        self.prototypes: BatchTargets | None = None
        units, width = teacher.shape
        self.sums = [teacher.new_zeros(size) for size in (4, width, units)]

    def set_prototypes(self, targets: PrototypeTargets | None, batch: Tensor) -> None:
        """Prototype targets of the whole batch and their centres, whose state moves on."""
        if targets is None:
            return
        state, loss = self.state, self.settings.loss
        raw = self.settings.prototypes.features == "backbone"
        self.prototypes = found = batch_targets(targets, batch, state.teacher.head, loss, raw)
        regions = (found.n_intra, found.n_inter)
        intra, inter, state.proto_center = prototype_centers(
            found.z, found.present, regions, self.teacher, state.proto_center, state.center, loss
        )
        self.centers = torch.stack([intra, *[inter] * (len(found.z) - 1)])[:, None]

    def add(self, student: Tensor, teacher: Tensor, rows: slice) -> None:
        """Add the losses and gradients of the regions `rows` of the batch, given their unit features."""
        loss = self.settings.loss
        with torch.no_grad():
            targets = sharpen(F.linear(teacher, self.teacher), self.state.center, loss.teacher_temp)
            entropies = entropy(targets)
            self.sums[1] += teacher.sum(dim=(0, 1))
            self.sums[2] += targets.sum(dim=(0, 1))
            if self.prototypes is not None:
                logits = F.linear(self.prototypes.z[:, rows], self.teacher)
                targets = torch.cat([targets, sharpen(logits, self.centers, loss.teacher_temp)])
        cross = cross_entropies(student, self.student, targets, loss.student_temp, self.dtype)
        own, intra, inter = self._losses(cross, rows)
        if self.prototypes is None:
            own.backward()  # the warm-up is L_self alone, whatever the weights of the rounds
        else:
            (loss.self_weight * own + loss.intra_weight * intra + loss.inter_weight * inter).backward()
        self.sums[0] += torch.stack([own.detach(), intra.detach(), inter.detach(), entropies.sum() / self.batch])

    def _losses(self, cross: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """L_self, L_intra and L_inter of the regions `rows`, as their parts of the step's means."""
        crops = self.settings.crops.global_count
        own = self_loss(cross[:crops], self.batch)
        found, skip = self.prototypes, self.settings.loss.skip_same_index
        if found is None:
            return own, own.new_zeros(()), own.new_zeros(())
        present = found.present[:, rows]
        intra = prototype_loss(cross[crops : crops + 1], present[:1], found.n_intra, skip)
        return own, intra, prototype_loss(cross[crops + 1 :], present[1:], found.n_inter, skip)

    def finish(self) -> Tensor:
        """Move the centre of L_self with the sums of all processes; MEASURES as float64."""
        crops, loss, state = self.settings.crops.global_count, self.settings.loss, self.state
        (own, intra, inter, entropies), features, probabilities = self.sums
        with torch.no_grad():
            count = crops * self.batch
            state.center = moved_self_center(state.center, self.teacher, features, count, loss.center_momentum)
            total = own
            if self.prototypes is not None:
                total = loss.self_weight * own + loss.intra_weight * intra + loss.inter_weight * inter
            marginal = entropy(probabilities / count)
            found = [total, own, intra, inter, entropies / crops, marginal, state.center.norm()]
        return torch.stack([value.double() for value in found])
