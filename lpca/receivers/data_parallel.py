"""One receiver in several processes: each computes its rows of a batch, and has those of all.

Gradients take the same way back. What is made of all rows, a loss that compares episodes among it,
is what one process makes; and since every process comes to the same gradient of its codec, there
is nothing to average.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from lpca.base.errors import RequestError, needed
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver

if TYPE_CHECKING:
    from accelerate import PartialState

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True, eq=False, kw_only=True)
class DataParallelReceiver(Receiver):
    """A receiver that every process of `state` holds; each calls it with the same batch.

    Batches whose rows the processes do not share evenly are filled up with their last row.
    """

    state: PartialState

    @classmethod
    def of(cls, receiver: Receiver, state: PartialState) -> Self:
        """The same receiver, divided among these processes."""
        return cls(
            **{field.name: getattr(receiver, field.name) for field in fields(receiver)}, state=state
        )

    def own_rows(self, whole: Tensor) -> Tensor:
        """The share of a batch's rows that this process computes."""
        rows: Tensor = _OwnRows.apply(whole, self.state)  # type: ignore[no-untyped-call]
        return rows

    def all_rows(self, own: Tensor, batch: int) -> Tensor:
        """The rows of the whole batch, from all processes."""
        rows: Tensor = _AllRows.apply(own, batch, self.state)  # type: ignore[no-untyped-call]
        return rows


def load_among_processes(name: str, device: str = "auto", **how: str) -> Receiver:
    """Load a receiver, among the processes that `accelerate launch` started where it did.

    Args:
        name, how: as for `load_receiver`.
        device: as there; in several processes `auto`, `cpu` or `cuda`, each with a GPU of its own.

    Raises:
        RequestError: as there, or processes without a device or a machine in common, or without
            the package `accelerate`.
        ReceiverError: as there.
    """
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return load_receiver(name, device, **how)
    state = _join(device)
    return DataParallelReceiver.of(load_receiver(name, state.device.type, **how), state)


def _join(device: str) -> PartialState:
    count, here = os.environ["WORLD_SIZE"], os.environ.get("LOCAL_WORLD_SIZE")
    if here != count:
        raise RequestError(f"{here} of {count} processes are on this machine; allowed: all of them")
    gpus = torch.cuda.device_count()
    kind = ("cuda" if gpus else "cpu") if device == "auto" else device
    if kind not in DEVICES:
        raise RequestError(f"--device {kind} in {count} processes; allowed: {', '.join(DEVICES)}")
    if kind == "cuda" and int(count) > gpus:
        raise RequestError(
            f"{count} processes on {gpus} GPUs; allowed: one for each, or --device cpu"
        )
    state: PartialState = needed("accelerate", "processes", f"{count} processes").PartialState(
        cpu=kind == "cpu"
    )
    return state


def _gathered(own: Tensor) -> Tensor:
    """The rows of all processes, in their order."""
    from accelerate.utils import gather

    return torch.as_tensor(gather(own))


class _OwnRows(torch.autograd.Function):
    """Every process has the whole; the gradient of the whole comes from all of them."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor, state: PartialState) -> Tensor:
        ctx.batch = len(whole)
        return whole[_places(len(whole), state)]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _gathered(gradients[0])[: ctx.batch], None


class _AllRows(torch.autograd.Function):
    """Each process has its own; all come to the same gradient of the whole, and take theirs."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, batch: int, state: PartialState) -> Tensor:
        ctx.places = _places(batch, state)
        return _gathered(own)[:batch]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0][ctx.places], None, None


def _places(batch: int, state: PartialState) -> Tensor:
    """Which rows are this process's, equally many for each: the last fills up what lacks."""
    count, index = int(state.num_processes), int(state.process_index)
    share = -(-batch // count)
    places = torch.arange(share, device=state.device) + share * index
    return places.clamp(max=batch - 1)
