"""How much has crossed: each message's packet measured as A's side sent it, before any connector.

Capacity is what a packet's form can hold, whatever it does hold; it is never information.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lpca.channel.packets import Packet, Port

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class _Size:
    positions: int
    bits: float
    digest: bytes


class Sizes:
    """How large what has crossed was, by message, and how many different packets there were.

    A message may be named by its text or by the view that A had of it.

    Args:
        port: what the packets go through.
    """

    def __init__(self, port: Port) -> None:
        self.port = port
        self._sizes: dict[Hashable, _Size] = {}

    def note(self, message: Hashable, packet: Packet) -> None:
        """Measure a message's packet; the first counts, as it is the one that is kept."""
        if message not in self._sizes:
            # whether n varies is known only when all have crossed
            self._sizes[message] = _Size(
                len(packet), packet.bits(self.port, varies=False), _digest(packet)
            )

    def distinct(self, messages: Iterable[Hashable]) -> int:
        """How many different packets some messages have, to the bit; LookupError as `positions`.

        Of which, the caller says: what else has crossed depends on what a run found in its cache.
        """
        return len({self._sizes[message].digest for message in messages})

    def positions(self, message: Hashable) -> int:
        """How many positions a message's packet has; LookupError where none has crossed."""
        return self._sizes[message].positions

    def bits(self, messages: Sequence[Hashable]) -> list[float]:
        """Capacity of some messages' packets, in bits; LookupError as `positions`.

        How many positions there are counts where it differs among these, not among all that has
        crossed: see `distinct`.
        """
        sizes = [self._sizes[message] for message in messages]
        varies = len({size.positions for size in sizes}) > 1
        return [size.bits + (self.port.bits_of_length if varies else 0.0) for size in sizes]


def _digest(packet: Packet) -> bytes:
    """Of a packet's numbers as they crossed, with their types and shapes."""
    found = hashlib.sha256()
    for name, tensor in packet.tensors("").items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        found.update(_bytes(tensor))
    return found.digest()


def _bytes(tensor: Tensor) -> bytes:
    import torch

    # not numpy's type of it: bfloat16 has none
    flat = tensor.detach().cpu().contiguous().flatten()
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
