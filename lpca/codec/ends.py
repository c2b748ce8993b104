"""A channel's two ends as the judge asks them, whatever the channel is: views in, packets out.

What crosses is checked here against the port, and what B is to get against the receiver: whichever
process made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import nn

from lpca.channel.packets import Packet, PacketError, Port, View, check_ids, check_numbers
from lpca.codec.base import Codec, CodecError
from lpca.receivers.caches import refuse_layers, refuse_unfit
from lpca.receivers.model import Receiver
from lpca.tasks import joined

Part = tuple[str, str, tuple[int, ...]]
Form = tuple[Part, ...]
"""As `Packet.form`."""


class Ends(Protocol):
    """Both ends of a channel.

    Attributes:
        port: what goes through.
        fixed: whether every packet has vectors, and as many as there may be.
    """

    port: Port
    fixed: bool

    def send(self, views: Sequence[View]) -> list[Packet]:
        """Return what A sends for each view; raises CodecError where that is no packet."""

    def receive(self, packets: Sequence[Packet]) -> list[Packet]:
        """Return what B gets of each packet: float32 vectors [n, d_model], token ids, or a cache.

        Raises CodecError where that cannot stand in B's prompt.
        """


class PacketSides(Protocol):
    """A user's channel, in this process or behind the wall; its packets are plain tensors."""

    name: str
    port: Port
    receives: bool

    def send(self, views: Sequence[View]) -> list[Packet]:
        """Ask A's side."""

    def receive(self, packets: Sequence[Packet]) -> list[Packet]:
        """Ask B's side for each packet."""


def ends_of(codec: Any, receiver: Receiver, k: int) -> Ends:
    """Return the ends of a codec, or of a channel with a port."""
    if getattr(codec, "port", None) is not None:
        return PacketEnds(codec, receiver, k)
    return LatentEnds(codec, receiver, k)


class LatentEnds:
    """A codec's ends: a packet is the k latents of a message, decoded a batch at a time."""

    fixed = True

    def __init__(self, codec: Codec, receiver: Receiver, k: int) -> None:
        self.codec, self.receiver, self.k = codec, receiver, k
        self.port = Port("vectors", k)

    def send(self, views: Sequence[View]) -> list[Packet]:
        """Encode the messages of some views."""
        if isinstance(self.codec, nn.Module):
            self.codec.eval()
        latents = self.codec.encode([joined(view.messages) for view in views])
        return [Packet(vectors=row) for row in latents]

    def receive(self, packets: Sequence[Packet]) -> list[Packet]:
        """Decode, in one batch."""
        latents = [packet.vectors for packet in packets if packet.vectors is not None]
        if len({(one.shape, one.dtype) for one in latents}) > 1:
            raise CodecError("encode gives latents of one shape and type for some messages only")
        prefixes = self.codec.decode(torch.stack(latents))
        wanted = (len(packets), self.k, self.receiver.d_model)
        if tuple(prefixes.shape) != wanted:
            raise CodecError(
                f"the codec's prefix has shape {tuple(prefixes.shape)}; allowed: {wanted} "
                "(messages, k, the receiver's d_model)"
            )
        # as B gets them: a number may be finite in a wider type alone
        prefixes = prefixes.detach().float()
        if not bool(torch.isfinite(prefixes).all()):
            raise CodecError("the codec's prefix holds NaN or infinity, read as float32")
        return [Packet(vectors=prefix) for prefix in prefixes]


class PacketEnds:
    """The ends of a channel with a port: packets of any length, one at a time at B's."""

    fixed = False

    def __init__(self, sides: PacketSides, receiver: Receiver, k: int) -> None:
        self.sides, self.receiver, self.k = sides, receiver, k
        self.port = sides.port
        self._kind: str | None = None
        self._form: Form | None = None
        if self.port.kind == "cache":
            refuse_layers(receiver, self.port.layers, f"codec {sides.name}: its port")

    def send(self, views: Sequence[View]) -> list[Packet]:
        """Ask A's side; what does not go through the port is refused."""
        packets = self.sides.send(views)
        for packet in packets:
            try:
                self.port.check(packet)
                self._refuse_other_form(packet)
            except PacketError as error:
                raise CodecError(f"codec {self.sides.name}: send gives {error}") from None
        return packets

    def receive(self, packets: Sequence[Packet]) -> list[Packet]:
        """Ask B's side, where there is one; an empty packet is an empty slot, whatever it says."""
        full = [packet for packet in packets if len(packet)]
        end = "receive" if self.sides.receives else "send"
        got = self.sides.receive(full) if full and self.sides.receives else full
        try:
            ready = iter([self._as_b_gets_it(packet) for packet in got])
        except PacketError as error:
            raise CodecError(f"codec {self.sides.name}: {end} gives {error}") from None
        return [next(ready) if len(packet) else EMPTY for packet in packets]

    def _refuse_other_form(self, packet: Packet) -> None:
        """Refuse what differs from earlier packets in more than its positions: no bits count that.

        An empty packet is never shown to B's side, whatever its form.
        """
        if not len(packet):
            return
        self._form = self._form or packet.form
        if packet.form != self._form:
            mine, other = self._form, packet.form
            differ = next(
                (pair for pair in zip(mine, other, strict=False) if pair[0] != pair[1]), None
            )
            told = (
                " and ".join(map(_shown, differ))
                if differ
                else f"{len(mine)} and {len(other)} parts"
            )
            raise PacketError(
                f"packets of several forms ({told}); allowed: one, in which positions alone differ"
            )

    def _as_b_gets_it(self, packet: Packet) -> Packet:
        if len(packet) > self.k:
            raise PacketError(f"a packet of {len(packet)} positions; allowed: at most k, {self.k}")
        if packet.ids is not None:
            check_ids(packet.ids, self.receiver.embedding.num_embeddings)
            return self._of_one_kind(packet)
        if packet.vectors is None:
            return self._of_one_kind(self._cache(packet))
        vectors, width = packet.vectors, self.receiver.d_model
        if vectors.shape[1] != width:
            more = "" if self.sides.receives else ", or a `receive` that makes such"
            raise PacketError(
                f"vectors of {vectors.shape[1]} numbers; allowed: {width}, the receiver's "
                f"d_model{more}"
            )
        # as B gets them: a number may be finite in a wider type alone
        vectors = vectors.float()
        check_numbers(vectors)
        if len(vectors) and not bool(vectors[-1].any()):
            # B reads a zero vector as something: it is no absence
            raise PacketError(
                "zeros as its last vector; allowed: fewer vectors, for nothing is padded"
            )
        return self._of_one_kind(Packet(vectors=vectors))

    def _cache(self, packet: Packet) -> Packet:
        """Keys and values of the layers that the port tells, as stored: relative to the slot."""
        if self.port.kind != "cache":
            raise PacketError("a packet of cache; allowed: vectors, ids, as its port is of those")
        layers = self.port.layers or tuple(range(self.receiver.layers))
        refuse_unfit(self.receiver, packet.cache, layers)
        cache = {n: (keys.float(), values.float()) for n, (keys, values) in packet.cache.items()}
        for both in cache.values():
            for numbers in both:
                check_numbers(numbers)
        if not any(bool(numbers[:, -1].any()) for both in cache.values() for numbers in both):
            raise PacketError(
                "zeros at its last position; allowed: fewer positions, for nothing is padded"
            )
        return Packet(cache=cache)

    def _of_one_kind(self, packet: Packet) -> Packet:
        self._kind = self._kind or packet.kind
        if packet.kind != self._kind:
            one, other = sorted((self._kind, packet.kind))
            raise PacketError(
                f"{one} for some packets and {other} for others; allowed: one of them"
            )
        return packet


def _shown(part: Part) -> str:
    name, kind, widths = part
    return f"{name} of {kind}{f' {list(widths)}' if widths else ''}"


EMPTY = Packet(ids=torch.zeros(0, dtype=torch.int64))
"""What B gets of a packet without positions: nothing."""
