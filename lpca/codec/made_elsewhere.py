"""Packets of a file as a channel: none of the code that made them runs here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lpca.channel.elsewhere import PacketFile, read_packets
from lpca.channel.packets import Packet, Port, View
from lpca.codec.user_codec import OwnCodec
from lpca.receivers.model import Receiver

ELSEWHERE = "made elsewhere"
"""How a channel is kept apart from the judge of which only packets are here."""


class FilePackets:
    """What A has sent, looked up by view; there is no connector at B's side.

    Attributes:
        name: the file's, for messages.
        port: what kind of packets they are.
        receives: False: B gets packets as they are.
    """

    receives = False

    def __init__(self, file: PacketFile, port: Port) -> None:
        self.file, self.port, self.name = file, port, file.path.name

    def send(self, views: Sequence[View]) -> list[Packet]:
        """Return the packet of each view; RequestError where one is missing."""
        return [self.file.of(view) for view in views]

    def receive(self, packets: Sequence[Packet]) -> list[Packet]:
        """Return the packets."""
        return list(packets)


def obtain_packets(path: Path, receiver: Receiver, k: int) -> OwnCodec:
    """Return the channel of a file of packets.

    Args:
        path: the file.
        receiver: that is to be given them.
        k: the most positions of a packet.

    Raises:
        RequestError: it is no file of packets, or they cannot be given to this receiver.
        StorageError: it cannot be read.
    """
    file, vocabulary = read_packets(path), receiver.embedding.num_embeddings
    file.refuse_unfit(k, receiver.d_model, vocabulary)
    of_ids = file.kind == "ids"
    port = Port(file.kind, k, vocabulary if of_ids else None, file.layers)
    return OwnCodec(
        codec=FilePackets(file, port),
        name=path.name,
        receiver=receiver.weights_hash,
        k=k,
        trained_on=None,
        weights_hash=file.sha256,
        code_hash=None,
        isolation=ELSEWHERE,
        origin="packets",
    )
