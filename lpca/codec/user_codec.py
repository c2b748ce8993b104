"""Anyone's own codec: made in this process, behind the wall, or elsewhere; and named."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lpca.base import PACKAGE
from lpca.base.arguments import parse_codec
from lpca.base.code_identity import code_hash_anew, symbol_of
from lpca.base.hashing import hash_data
from lpca.base.supervise import calling
from lpca.channel.elsewhere import PacketFile, read_packets
from lpca.channel.packets import Packet, Port, View
from lpca.channel.side import Wall
from lpca.codec.base import Codec, bits_of
from lpca.codec.ends import PacketSides
from lpca.codec.remote import RemoteCodec
from lpca.codec.users_code import Factory, factory_of, imported, is_codec, make
from lpca.receivers.model import Receiver

TRUSTED = "trusted"
"""How a codec is kept apart that runs in the judge's own process: not at all."""
ELSEWHERE = "made elsewhere"
"""How a channel is kept apart from the judge of which only packets are here."""


@dataclass(frozen=True, eq=False)
class Source:
    """Where a codec of the user's own comes from.

    Attributes:
        name: as messages and evidence have it.
        find: gives the factory; it runs the user's code, and raises RequestError.
        folders: from where it is importable beside Python's own; None of what is at hand in Python.
    """

    name: str
    find: Callable[[], Factory]
    folders: tuple[Path, ...] | None = None


@dataclass(frozen=True, eq=False)
class OwnCodec:
    """A codec that lpca did not train and knows little of.

    `trained_on` holds the messages that it declares as those of its training; None where it
    declares none: then nothing is known. The hashes are None where there is nothing to hash.
    `isolation` says how it is kept apart from the judge.
    """

    codec: Codec | PacketSides
    name: str
    receiver: str
    k: int
    trained_on: tuple[str, ...] | None
    weights_hash: str | None
    code_hash: str | None
    isolation: str = TRUSTED
    origin: str = "own"

    @property
    def content_hash(self) -> str | None:
        """SHA-256 of its weights and code; None where neither can be read."""
        if self.weights_hash is None and self.code_hash is None:
            return None
        return hash_data([self.weights_hash, self.code_hash])

    def to_dict(self) -> dict[str, Any]:
        """As evidence has it: what is not known of the codec is None."""
        port = getattr(self.codec, "port", None)
        return {
            "origin": self.origin,
            "receiver": self.receiver,
            "task": None,
            "code": self.code_hash,
            "weights": self.weights_hash,
            "recipe": None,
            "architecture": self.name,
            "k": self.k,
            "seed": None,
            "bits": bits_of(self.codec),
            "history": [],
            "trained_on": None if self.trained_on is None else len(self.trained_on),
            "isolation": self.isolation,
            **({} if port is None else {"port": asdict(port)}),
        }

    def close(self) -> None:
        """End the processes that it runs in."""
        if isinstance(self.codec, RemoteCodec):
            self.codec.close()


def codec_named(text: str, folders: Sequence[Path]) -> Source:
    """Return the source that `package.module:factory` names, importable from folders too.

    Nothing is imported before `find` is called. Raises RequestError where the name is malformed.
    """
    module, attribute = parse_codec(text)
    return Source(text, lambda: imported(text, module, attribute, folders), tuple(folders))


def codec_given(what: object) -> Source:
    """Return the source of a ready codec, or of a factory, at hand in Python."""
    of = what if isinstance(what, type) or inspect.isroutine(what) else type(what)
    name = f"{of.__module__}:{of.__qualname__}"

    def find() -> Factory:
        if is_codec(what):
            return lambda receiver, k: what
        return factory_of(what, name)

    return Source(name, find)


def obtain_own(source: Source, receiver: Receiver, k: int, wall: Wall | None = None) -> OwnCodec:
    """Make the user's codec; what it draws at random is seeded.

    Args:
        source: where it comes from. What is at hand in Python is made in this process.
        receiver: given to it in this process; behind the wall, told to it.
        k: number of latents.
        wall: how its sides are kept apart; None to make it in this process.

    Raises:
        RequestError: it cannot be found or made, or is no codec.
        SideError: a side of it ended, or is not made in time.
    """
    name = source.name
    if wall is not None and source.folders is not None:
        remote = RemoteCodec(name, source.folders, receiver, k, wall)
        return OwnCodec(
            codec=remote,
            name=name,
            receiver=receiver.weights_hash,
            k=k,
            trained_on=remote.trained_on,
            weights_hash=remote.weights_hash,
            code_hash=remote.code_hash,
            isolation=remote.isolation,
        )
    with calling(f"importing codec {name}"):
        factory = source.find()
    made = make(name, factory, receiver, k)
    return OwnCodec(
        codec=made.codec,
        name=name,
        receiver=receiver.weights_hash,
        k=k,
        trained_on=made.trained_on,
        weights_hash=made.weights_hash,
        code_hash=own_code(factory, made.object),
    )


def own_code(factory: object, codec: object) -> str | None:
    """Hash the modules of both whole, and what they use of what they import from her own files.

    None where there is no source to be read.
    """
    while isinstance(factory, partial):
        factory = factory.func
    own = {symbol_of(maker).module for maker in (factory, codec)}
    modules = [sys.modules[name] for name in sorted(own) if name.partition(".")[0] != PACKAGE.name]
    try:
        # whole: what makes the codec stands in them, be it a lambda
        return code_hash_anew(*modules) if modules else None
    except (LookupError, ValueError, OSError, SyntaxError):
        pass
    # what was typed into a notebook: as far as Python can still show it
    try:
        return hash_data(inspect.getsource(type(codec)))
    except (OSError, TypeError):
        return None


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
