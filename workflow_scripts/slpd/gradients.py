"""Losses and gradients of one step: forward and backward passes over the parts of a batch.

The state is read and not changed; slpd/update.py does that.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from workflow_scripts.config import PretrainRun
from workflow_scripts.slpd.crops import gather_crops
from workflow_scripts.slpd.inputs import StepInputs
from workflow_scripts.slpd.mishaps import in_smaller_parts
from workflow_scripts.slpd.parallel import Workers
from workflow_scripts.slpd.precision import training_dtype
from workflow_scripts.slpd.shadow import Shadow
from workflow_scripts.slpd.state import TrainState
from workflow_scripts.slpd.step_losses import Found, StepLosses, soften
from workflow_scripts.slpd.targets import PrototypeTargets
from workflow_scripts.slpd.tokens import TokenData
from workflow_scripts.slpd.update import clip, norms_of
from workflow_scripts.slpd.vit import Block

# place in the batch, tokens [b, g*g, D], flags [b, g*g]
Part = tuple[slice, Tensor, Tensor]


class Pieces(NamedTuple):
    """What of a step can be compiled: what runs a block (None: itself), and what softens a teacher's logits."""

    run_block: Callable[..., Tensor] | None = None
    soften: Callable[..., tuple[Tensor, Tensor, Tensor]] = soften


@functools.cache
def compiled_pieces(backend: str) -> Pieces:
    """The pieces through torch.compile for fixed shapes; they are compiled when first run, all blocks as one."""
    import torch._dynamo  # takes seconds, for those who compile alone

    # student and teacher, crops of two sizes, whole parts and the last: beyond 8 forms, by default, a piece is left as
    # it is without a word
    torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
    compiled = functools.partial(torch.compile, backend=backend, dynamic=False)
    return Pieces(compiled(Block.forward), compiled(soften))


class Gradients:
    """Gradients of a state's student, step after step.

    Args:
        settings: the run's settings.
        state: student, teacher and centres.
        data: tokens of all regions.
        targets: prototypes of all regions; None without.
        workers: the processes that share every step.
        batch: B, regions of a step.
        part: regions that this process holds at once.
        backend: of torch.compile, through which the encoder's blocks and the teacher's softmax run; None runs them as
            they are.
    """

    def __init__(
        self,
        settings: PretrainRun,
        state: TrainState,
        data: TokenData,
        targets: PrototypeTargets | None,
        workers: Workers,
        batch: int,
        part: int,
        backend: str | None = None,
    ) -> None:
        self.settings, self.state, self.data, self.targets = settings, state, data, targets
        self.workers, self.batch, self.part = workers, batch, part
        self.dtype = training_dtype(settings, state.student)
        pieces = Pieces() if backend is None else compiled_pieces(backend)
        self._soften = pieces.soften
        self.student = Shadow(state.student, self.dtype, pieces.run_block)
        self.teacher = Shadow(state.teacher, self.dtype, pieces.run_block)

    def parts(self) -> list[slice]:
        """Places in the batch of the parts of this process."""
        share = self.workers.share(self.batch)
        return [slice(start, min(start + self.part, share.stop)) for start in range(share.start, share.stop, self.part)]

    def compute(self, inputs: StepInputs) -> Found:
        """Clipped gradients of all parameters of the student, in place of their last ones, and the step's measures.

        Where memory runs out, `part` is halved and the step done again.

        Args:
            inputs: of the step, on the device.
        """
        return self._summed(*self.own(inputs))

    def own(self, inputs: StepInputs) -> tuple[StepLosses, list[Tensor]]:
        """As `of_process`, of all regions of this process, in smaller parts where memory runs out."""

        def with_part(part: int) -> tuple[StepLosses, list[Tensor]]:
            self.part = part
            return self.of_process(inputs, self.taken(inputs))

        largest = max(1, len(self.workers.share(self.batch)))
        return in_smaller_parts(self.state.step, min(self.part, largest), with_part)

    def in_float32(self) -> "Gradients":
        """The same as written, with all products in float32; in smaller parts, so that it takes no more memory."""
        settings = self.settings.model_copy(update={"precision": "float32"})
        rest = (self.data, self.targets, self.workers, self.batch, max(1, self.part // 4))
        return Gradients(settings, self.state, *rest)

    def taken(self, inputs: StepInputs) -> Iterator[Part]:
        """Tokens of the parts, each read when it is its turn."""
        return ((rows, *self.data.take(inputs.batch[rows])) for rows in self.parts())

    def of_tokens(self, inputs: StepInputs, parts: Iterable[Part]) -> Found:
        """As `compute`, of the tokens of all parts of this process."""
        return self._summed(*self.of_process(inputs, parts))

    def _summed(self, losses: StepLosses, gradients: list[Tensor]) -> Found:
        """Sums over all processes, clipped."""
        self.workers.sum([*gradients, *losses.sums])
        norms = norms_of(gradients)
        if self.settings.optimiser.clip_grad:
            clip(gradients, norms, self.settings.optimiser.clip_grad)
        weights = norms_of([parameter.detach() for parameter in self.state.student.parameters()])
        return losses.finish(torch.stack([norms.norm(), weights.norm()]))

    def of_process(self, inputs: StepInputs, parts: Iterable[Part]) -> tuple[StepLosses, list[Tensor]]:
        """Losses and gradients of this process's share of the batch, before they are summed over all processes."""
        state = self.state
        for network in (self.student, self.teacher):
            network.refresh()
        student = state.student.head.directions()
        leaf = student.detach().requires_grad_()
        with torch.no_grad():
            teacher = state.teacher.head.directions()
            losses = StepLosses(self.settings, state, leaf, teacher, self.batch, self._soften)
            if self.targets is not None and inputs.rows is not None:
                losses.set_prototypes(self.targets, inputs.rows)
        state.student.zero_grad(set_to_none=True)
        for rows, tokens, valid in parts:
            losses.add(*self._features(tokens, valid, inputs, rows), rows)
        if leaf.grad is not None:
            student.backward(leaf.grad)
        for network in (self.student, self.teacher):
            network.let_go()
        return losses, self._gradients()

    def _gradients(self) -> list[Tensor]:
        """Gradients of all parameters: a process without regions adds zeros."""
        found = []
        for parameter in self.state.student.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            found.append(parameter.grad)
        return found

    def _features(self, tokens: Tensor, valid: Tensor, inputs: StepInputs, rows: slice) -> tuple[Tensor, Tensor]:
        """Unit features of the regions `rows` of the batch: the student's `[V, b, d]`, the teacher's `[G, b, d]`."""
        tokens = tokens.to(self.dtype)
        windows = [window[:, rows] for window in inputs.windows]
        keep = None if inputs.keep is None else inputs.keep[:, :, :, rows].to(self.dtype)
        student = self._embed(self.student, tokens, valid, windows, keep)
        with torch.no_grad():
            crops = [windows[0][: self.settings.crops.global_count]]
            teacher = self._embed(self.teacher, tokens, valid, crops, None)
        return student, teacher

    def _embed(
        self, network: Shadow, tokens: Tensor, valid: Tensor, windows: list[Tensor], keep: Tensor | None
    ) -> Tensor:
        """Unit bottleneck features `[V, b, d]` of crops of regions `[b, g*g, D]`; crops of one size go in one batch.

        The token embedding acts on each token alone, so it is done once a region and shared by all crops.
        """
        embedded, features, first = network.use().backbone.embed_tokens(tokens), [], 0
        for window in windows:
            crops, crop_valid = gather_crops(embedded, valid, window)
            kept = None if keep is None else keep[:, :, first : first + len(window)].flatten(2)
            hidden = None if self.data.all_valid else crop_valid  # attention without a mask is faster
            features.append(network.use().backbone.encode(crops, hidden, kept))
            first += len(window)
        return network.use().head.project(torch.cat(features)).unflatten(0, (first, -1))
