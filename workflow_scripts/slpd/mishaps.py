"""What goes wrong on a GPU while it trains: too little memory, which smaller parts mend, and a card that fails.

Up to its exchange with the other processes a step changes nothing but gradients, which it clears first: where memory
runs out, this part is done again. The other processes need not know; they wait a little longer in the exchange. From
there on parameters move, and a step that fails is not repeated.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import torch

from workflow_scripts.core.entry import log
from workflow_scripts.core.errors import UserError

T = TypeVar("T")
_OF_A_CARD = ("CUDA error", "CUDA driver error", "CUBLAS_STATUS", "CUDNN_STATUS")


def free_cached() -> None:
    """Give back what torch keeps of a GPU's memory for the next step."""
    if torch.cuda.is_available():
        with suppress(RuntimeError):  # its books are not in order once a CUDA graph could not be recorded
            torch.cuda.empty_cache()


def too_small(part: int) -> str:
    """What to do where the GPU's memory does not hold `part` regions at once."""
    if part <= 1:
        return (
            "the GPU's memory is too small for 1 region at once; end what else runs on it, choose another card, or "
            "train on the CPU (CUDA_VISIBLE_DEVICES=-1)"
        )
    return (
        f"the GPU's memory is too small for {part} regions at once; set pretrain.micro_batch to {part // 2} or less, "
        "which changes no result beyond rounding"
    )


def in_smaller_parts(step: int, part: int, compute: Callable[[int], T]) -> T:
    """Do the part of a step before its exchange, in parts half as large for as long as memory runs out.

    Args:
        step: its number.
        part: regions at once, at most those that this process works on.
        compute: given the regions at once; it clears gradients first and has no other effect.

    Returns:
        what `compute` returned.

    Raises:
        UserError: memory does not hold a single region.
    """
    while True:
        try:
            return compute(part)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if part <= 1:
                raise UserError(too_small(part)) from error
        # here, since the error held on to the tensors of the failed try
        free_cached()
        part //= 2
        log.log(
            logging.ERROR if int(os.environ.get("RANK", "0")) else logging.WARNING,  # other processes tell errors alone
            "the GPU's memory is too small for %d regions at once: step %d is done again in parts of %d, and so is all "
            "that follows, which changes no result beyond rounding; pretrain.micro_batch: %d starts with that",
            *(2 * part, step, part, part),
        )


def card_name(device: torch.device) -> str:
    """A card as its owner knows it: its model, and what it was leased as. Asked for while it still answers."""
    if device.type != "cuda":
        return str(device)
    leased = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    index = device.index or 0
    called = leased[index] if index < len(leased) and leased[index] else str(device)
    return f"{torch.cuda.get_device_name(device)} ({called})"


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error says that the GPU's memory is full; libraries have their own word for it."""
    said = str(error)
    return isinstance(error, torch.OutOfMemoryError) or "CUDA error: out of memory" in said or "ALLOC_FAILED" in said


def is_failed_card(error: RuntimeError) -> bool:
    """Whether an error is one of the card or its driver, after which this process cannot use it any more."""
    return isinstance(error, torch.AcceleratorError) or any(word in str(error) for word in _OF_A_CARD)


@contextmanager
def told_mishaps(device: torch.device, part: Callable[[], int], saved_step: Callable[[], int | None]) -> Iterator[None]:
    """Within it, errors of the GPU end training in a sentence.

    Args:
        device: that trains.
        part: the regions at once.
        saved_step: the number of the step after which the state was saved last; None where there is none.

    Raises:
        UserError: memory ran out where a step cannot be repeated, or the card failed.
    """
    card = card_name(device)
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise UserError(too_small(part())) from error
        if not is_failed_card(error):
            raise
        step, (reason, *_) = saved_step(), str(error).splitlines() or [""]
        kept = "no state was saved yet: the same command starts this job anew"
        if step is not None:
            kept = f"the state after step {step} is saved: the same command goes on from there"
        raise UserError(
            f"the GPU {card} failed ({reason.strip().rstrip('.')}); {kept}. Where it fails again, look for Xid in what "
            "the kernel says (dmesg), and choose another card (CUDA_VISIBLE_DEVICES)"
        ) from error
