"""A step's losses and gradients as one CUDA graph: the host sends one order where it sent two thousand.

A graph is a recording of kernels with their addresses. So inputs are copied to where they were when it was recorded
(torch.cuda.graphs), everything it makes lies in the same place after each replay, and nothing in it may depend on a
number of the host that changes from step to step. What does is outside: what is drawn, and the update.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from workflow_scripts.slpd.gradients import Gradients
from workflow_scripts.slpd.inputs import StepInputs
from workflow_scripts.slpd.step_losses import Found

_WARM_UPS = 2  # what is made at first use (libraries, kernels, compiled pieces) cannot be made in a recording


def recorded(body: Callable[[], None]) -> Callable[[], None]:
    """The CUDA work of `body` as a graph; what is returned replays it on the current stream."""
    here, side, graph = torch.cuda.current_stream(), torch.cuda.Stream(), torch.cuda.CUDAGraph()
    side.wait_stream(here)
    # of our own, since torch.cuda.graph leaves its stream the current one where the recording fails
    with torch.cuda.stream(side):
        for _ in range(_WARM_UPS):
            body()
        with torch.cuda.graph(graph, stream=side):
            body()
    here.wait_stream(side)
    return graph.replay


class Captured:
    """Gradients whose forward and backward passes are replayed.

    Args:
        gradients: of one process alone; its state's tensors stay where they are as long as this is used.
        inputs: of any step, on the device: all other steps have inputs of the same shapes.
        record: makes of a function one that repeats its work on the same tensors.
    """

    def __init__(
        self,
        gradients: Gradients,
        inputs: StepInputs,
        record: Callable[[Callable[[], None]], Callable[[], None]] = recorded,
    ) -> None:
        self.state, self._gradients = gradients.state, gradients
        self._inputs = inputs.cloned()
        self._tokens, self._valid = (tensor.clone() for tensor in gradients.data.take(inputs.batch))
        self._found: Found
        self._kept: list[Tensor]
        self._replay = record(self._body)

    @property
    def part(self) -> int:
        """Regions at once."""
        return self._gradients.part

    def _body(self) -> None:
        """One step on the static inputs; it leaves what it found, and gradients."""
        rows = self._gradients.parts()
        parts = ((part, self._tokens[part], self._valid[part]) for part in rows)
        self._found = self._gradients.of_tokens(self._inputs, parts)
        self._kept = [parameter.grad for parameter in self.state.student.parameters() if parameter.grad is not None]

    def compute(self, inputs: StepInputs) -> Found:
        """As `Gradients.compute`; centres and gradients hold up to the next call."""
        tokens, valid = self._gradients.data.take(inputs.batch)
        news = [*inputs.tensors(), tokens, valid]
        for place, new in zip([*self._inputs.tensors(), self._tokens, self._valid], news, strict=True):
            place.copy_(new, non_blocking=True)
        self._replay()
        for parameter, gradient in zip(self.state.student.parameters(), self._kept, strict=True):
            parameter.grad = gradient
        found = self._found
        return found._replace(measures=found.measures.clone(), norms=found.norms.clone())
