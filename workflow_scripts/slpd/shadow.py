"""A network's parameters in the arithmetic of the products, cast once a step and not at each use."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workflow_scripts.slpd.network import Network


class _Use(torch.autograd.Function):
    """Parameters to their copies, which are there already; gradients of the copies to those of the parameters.

    One a use: gradients of several uses are added up as the parameters are stored, as if each use had cast them.
    """

    @staticmethod
    def forward(ctx: Any, copies: list[Tensor], *parameters: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.dtype = parameters[0].dtype
        return tuple(stored.detach() for stored in copies)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        there = [gradient for gradient in gradients if gradient is not None]
        cast = [torch.empty_like(gradient, dtype=ctx.dtype) for gradient in there]
        torch._foreach_copy_(cast, there)
        found = iter(cast)
        return (None, *(None if gradient is None else next(found) for gradient in gradients))


class Shadow:
    """A network whose linear layers and layer norms are at hand in another arithmetic.

    What is computed as it is stored (position embeddings, CLS token, last layer) stays as it is, and so does everything
    in the arithmetic that the network is stored in.

    Args:
        network: whose parameters are followed; they keep their gradients.
        dtype: arithmetic of the products.
        run_block: what runs the encoder's blocks, see `RegionViT`; None runs them as they are.
    """

    def __init__(self, network: Network, dtype: torch.dtype, run_block: Callable[..., Tensor] | None = None) -> None:
        # the parameters themselves are not copied
        self._twin = copy.deepcopy(network, {id(parameter): parameter for parameter in network.parameters()})
        if run_block is not None:
            self._twin.backbone.run_block = run_block
        self._places: list[tuple[nn.Module, str]] = []
        self._parameters: list[nn.Parameter] = []
        self._copies: list[Tensor] = []
        if dtype != network.head.last_layer.dtype:
            self._replace_weights(dtype)

    def _replace_weights(self, dtype: torch.dtype) -> None:
        for layer in self._twin.modules():
            if isinstance(layer, nn.Linear | nn.LayerNorm):
                for name, parameter in list(layer.named_parameters(recurse=False)):
                    self._places.append((layer, name))
                    self._parameters.append(parameter)
                    delattr(layer, name)  # a tensor that is no parameter can take its place
        self._copies = [torch.empty_like(parameter, dtype=dtype) for parameter in self._parameters]

    @torch.no_grad()
    def refresh(self) -> None:
        """Cast the parameters as they are now."""
        if self._copies:
            torch._foreach_copy_(self._copies, [parameter.detach() for parameter in self._parameters])

    def use(self) -> Network:
        """The network for one use, up to the next call."""
        if self._copies:
            self._put(_Use.apply(self._copies, *self._parameters))
        return self._twin

    def let_go(self) -> None:
        """Forget the last use, once gradients are there.

        It would keep where each parameter's gradient is added up, which belongs to the stream of a GPU that it was made
        on: a CUDA graph that is recorded on another is invalid.
        """
        self._put(self._copies)

    def _put(self, values: Sequence[Tensor]) -> None:
        for (layer, name), value in zip(self._places, values, strict=True):
            setattr(layer, name, value)
