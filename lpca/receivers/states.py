"""Hidden states of a message inside the frozen receiver, for encoders to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from lpca.receivers import ReceiverError
from lpca.receivers.model import Receiver


class _LayerReached(Exception):  # noqa: N818 - a signal, not an error
    pass


def hidden_states(
    receiver: Receiver, rows: Sequence[Sequence[int]], layer: int
) -> Iterator[Tensor]:
    """Yield per row the states [length, d_model] after `layer` layers; later layers are not run.

    Rows are padded on the right and masked, so a row's states do not depend on its neighbours
    but for rounding.
    """
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), receiver.pad_id, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(list(row))
        mask[i, : len(row)] = 1
    with _stop_after(receiver, layer) as caught, torch.no_grad(), suppress(_LayerReached):
        receiver.model(
            input_ids=receiver.own_rows(ids.to(receiver.device)),
            attention_mask=receiver.own_rows(mask.to(receiver.device)),
            use_cache=False,
        )
    for state, row in zip(receiver.all_rows(caught[0], len(rows)), rows, strict=True):
        yield state[: len(row)]


@contextmanager
def _stop_after(receiver: Receiver, layer: int) -> Iterator[list[Tensor]]:
    caught: list[Tensor] = []

    def stop(_module: torch.nn.Module, _args: object, output: Tensor | tuple[Tensor, ...]) -> None:
        caught.append(output if isinstance(output, Tensor) else output[0])
        raise _LayerReached

    handle: RemovableHandle = _layer_stack(receiver)[layer - 1].register_forward_hook(stop)
    try:
        yield caught
    finally:
        handle.remove()


def _layer_stack(receiver: Receiver) -> torch.nn.ModuleList:
    for module in receiver.model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == receiver.layers:
            return module
    raise ReceiverError(f"receiver {receiver.name}: no stack of {receiver.layers} layers found")
