"""Code of the user's own: found by name, called so that each of its mistakes is one line.

Both what runs in the judge's process and what runs in a side's is here, so it imports little.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lpca.base.errors import RequestError, RunError, is_users_file, located_error
from lpca.base.registry import suggestion
from lpca.base.supervise import calling, is_interrupt
from lpca.channel.packets import Packet, PacketError, Port, View, unpacked
from lpca.codec.base import DEFAULT_SEED, CodecError, bits_of, seeded
from lpca.receivers.hashing import hash_tensors

if TYPE_CHECKING:
    from lpca.receivers.model import Receiver

Factory = Callable[["Receiver", int], object]
"""Makes a ready codec from a receiver and k."""


@dataclass(frozen=True, eq=False)
class Made:
    """A codec or channel as its factory has made it, and what it says of itself.

    Attributes:
        codec: guarded.
        bits: as it declares them.
        trained_on: the messages that it declares; None where it declares none.
        weights_hash: of its state; None where it has none.
        object: the codec itself.
    """

    codec: Guarded | GuardedChannel
    bits: float | None
    trained_on: tuple[str, ...] | None
    weights_hash: str | None
    object: object


def make(name: str, factory: Factory, receiver: Any, k: int) -> Made:
    """Make a codec; what it draws at random is seeded.

    Raises:
        RequestError: it cannot be made, or is no codec.
    """
    with users(f"codec {name}: making it", RequestError), seeded(DEFAULT_SEED):
        made = factory(receiver, k)
    if missing := lacking(made):
        raise RequestError(
            f"codec {name}: what it made is {kind_of(made)}, without {' and '.join(missing)}; "
            "allowed: an object with encode(messages) and decode(latents), or a channel with a "
            "port and send(views)"
        )
    with users(f"codec {name}: what it declares", RequestError):
        try:
            bits, trained_on, wrong = bits_of(made), _declared(made), None
        except CodecError as error:
            bits, trained_on, wrong = None, None, str(error)
        weights = _weights_hash(made)
        port = getattr(made, "port", None) if callable(getattr(made, "send", None)) else None
        receive = None if port is None else getattr(made, "receive", None)
    if receive is not None and not callable(receive):
        wrong = f"its receive is {kind_of(receive)}; allowed: a method receive(packet), or none"
    if wrong is not None:
        raise RequestError(f"codec {name}: {wrong}")
    guarded: Guarded | GuardedChannel = Guarded(name, made, k, bits)
    if port is not None:
        guarded = GuardedChannel(name, made, checked_port(name, port, k), bits)

    def anew(side: str) -> Guarded | GuardedChannel | None:
        if side == "B" and isinstance(guarded, GuardedChannel) and not guarded.receives:
            return None
        again = make(name, factory, receiver, k)
        return None if again.object is made else again.codec

    guarded.anew = anew
    return Made(guarded, bits, trained_on, weights, made)


def checked_port(name: str, port: Any, k: int) -> Port:
    """Return the port of a channel, as a plain one; RequestError where there cannot be such."""
    if not isinstance(port, Port):
        raise RequestError(f"codec {name}: its port is {kind_of(port)}; allowed: lpca.channel.Port")
    with users(f"codec {name}: its port", RequestError):
        found = Port(port.kind, port.positions, port.vocabulary, tuple(port.layers))
        more = sorted({*dir(port)} - {*dir(found)})
        own = type(port) is not Port
    if more:
        # nothing of it would be done: keys are turned by lpca, and begin at position 0
        raise RequestError(
            f"codec {name}: its port says {more[0][:40]!r}, which no port does; allowed: "
            f"{', '.join(vars(found))}; a cache's keys are stored as if the slot began at position "
            "0, and its columns stand in the slot alone"
        )
    if own:
        # what its class does otherwise would be dropped without a word
        raise RequestError(
            f"codec {name}: its port is of a class of its own, {kind_of(port)}; allowed: "
            "lpca.channel.Port itself"
        )
    if found.positions > k:
        raise RequestError(
            f"codec {name}: its port has {found.positions} positions; allowed: at most k, {k}"
        )
    return found


Anew = Callable[[str], "Guarded | GuardedChannel | None"]
"""Makes a codec once more for a side; None where its factory gives the same object again."""


class Guarded:
    """A user's codec whose mistakes become one line that says where they were made."""

    anew: Anew | None = None

    def __init__(self, name: str, codec: Any, k: int, bits: float | None) -> None:
        self.name, self.codec, self.k, self.bits = name, codec, k, bits

    def encode(self, messages: Sequence[str]) -> Tensor:
        """Return latents [messages, k, any]; CodecError for anything else."""
        if isinstance(self.codec, nn.Module):
            self.codec.eval()
        latents = self._ask("encode", list(messages))
        if latents.ndim != 3 or latents.shape[:2] != (len(messages), self.k):
            raise CodecError(
                f"codec {self.name}: encode gives shape {tuple(latents.shape)}; allowed: "
                f"({len(messages)}, {self.k}, any) (messages, k, width)"
                f"{method_place(self.codec, 'encode')}"
            )
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Return prefixes; CodecError for what is no tensor."""
        return self._ask("decode", latents)

    def _ask(self, what: str, given: object) -> Tensor:
        with users(f"codec {self.name}: {what}", CodecError):
            found = getattr(self.codec, what)(given)
        at = method_place(self.codec, what)
        if not isinstance(found, Tensor):
            raise CodecError(
                f"codec {self.name}: {what} gives {kind_of(found)}; allowed: a Tensor{at}"
            )
        with users(f"codec {self.name}: {what}", CodecError):
            sent = plain(found)
        if isinstance(sent, str):
            raise CodecError(f"codec {self.name}: {what} gives {sent}{at}")
        return sent


class GuardedChannel:
    """A user's channel whose mistakes become one line that says where they were made."""

    anew: Anew | None = None

    def __init__(self, name: str, channel: Any, port: Port, bits: float | None) -> None:
        self.name, self.codec, self.port, self.bits = name, channel, port, bits
        self.receives = callable(getattr(channel, "receive", None))

    def send(self, views: Sequence[View]) -> list[Packet]:
        """Return a packet of plain tensors for each view; CodecError for anything else."""
        if isinstance(self.codec, nn.Module):
            self.codec.eval()
        found = self._ask("send", list(views))
        if isinstance(found, str | Packet | Tensor) or not isinstance(found, Sequence):
            raise CodecError(
                f"codec {self.name}: send gives {kind_of(found)}; allowed: a list of Packets"
                f"{method_place(self.codec, 'send')}"
            )
        if len(found) != len(views):
            raise CodecError(
                f"codec {self.name}: send gives {len(found)} packets; allowed: {len(views)}, one "
                f"for each view{method_place(self.codec, 'send')}"
            )
        return [self._plain("send", packet) for packet in found]

    def receive(self, packets: Sequence[Packet]) -> list[Packet]:
        """Return what the connector makes of each packet; CodecError for what is no packet."""
        # a copy: what it does to what it is given is not done to what was sent
        given = [self._plain("receive", packet) for packet in packets]
        return [self._plain("receive", self._ask("receive", packet)) for packet in given]

    def _ask(self, what: str, given: object) -> Any:
        with users(f"codec {self.name}: {what}", CodecError):
            return getattr(self.codec, what)(given)

    def _plain(self, what: str, packet: object) -> Packet:
        at = method_place(self.codec, what)
        if not isinstance(packet, Packet):
            raise CodecError(
                f"codec {self.name}: {what} gives a packet {kind_of(packet)}; allowed: Packet{at}"
            )
        with users(f"codec {self.name}: {what}", CodecError):
            found = plain_packet(packet)
        if isinstance(found, str):
            raise CodecError(f"codec {self.name}: {what} gives {found}{at}")
        if what == "send":
            try:
                self.port.check(found)
            except PacketError as error:
                raise CodecError(f"codec {self.name}: send gives {error}{at}") from None
        return found


def method_place(owner: object, name: str) -> str:
    """Where a method of the user's stands, ` (FILE:LINE)`; empty where that cannot be told."""
    code = getattr(getattr(owner, name, None), "__code__", None)
    if not isinstance(code, CodeType) or not is_users_file(code.co_filename):
        return ""
    return f" ({Path(code.co_filename).name}:{code.co_firstlineno})"


def plain_packet(packet: Packet) -> Packet | str:
    """A packet of plain tensors, ids as int64; or what there is where there are no such numbers."""
    found: dict[str, Tensor] = {}
    for name, part in packet.tensors("packet").items():
        own = _as_tensor(part)
        own = plain(own) if isinstance(own, Tensor) else own
        if isinstance(own, str):
            return own
        if name == "packet.ids" and not own.is_floating_point() and own.dtype != torch.bool:
            # an unsigned number beyond int64 stays as it is: it would be said to be negative
            own = own if own.dtype == torch.uint64 and bool((own.long() < 0).any()) else own.long()
        found[name] = own
    return unpacked(found, ["packet"])["packet"]


def _as_tensor(part: Any) -> Tensor | str:
    """A tensor, or what it is of that is none."""
    if isinstance(part, Tensor):
        return part
    import numpy as np

    if not isinstance(part, np.ndarray):
        return f"a part {kind_of(part)}; allowed: a tensor, an array of numpy's, lists of numbers"
    try:
        return torch.from_numpy(np.array(part))
    except TypeError:
        return f"numpy's {part.dtype}; allowed: numbers of a type that torch has"


def plain(found: Tensor) -> Tensor | str:
    """The numbers of a tensor and nothing else: no class of its own, no history, no shared memory.

    What a codec gives may be a subclass that does something when it is used, or a buffer that it
    writes into again. Where there are no such numbers it is said what there is.
    """
    with torch._C.DisableTorchFunctionSubclass():
        odd = found.is_complex() or found.is_quantized or found.is_nested
        if odd or found.layout != torch.strided or found.is_meta:
            return (
                f"{found.dtype} of layout {found.layout} on {found.device.type}; allowed: real "
                "numbers, each in memory"
            )
        return found.as_subclass(Tensor).detach().clone()


@contextmanager
def users(what: str, kind: type[RunError]) -> Iterator[None]:
    """Run code of the user's: whatever it raises is one error of that kind, said in one line.

    It may raise what is no Exception, be it SystemExit; a Ctrl-C stays one.
    """
    try:
        with calling(what):
            yield
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise kind(f"{what} raised {located_error(error)}") from error


def imported(text: str, module: str, attribute: str, folders: Sequence[Path]) -> Factory:
    """Return the factory of a module that is importable from folders too; RequestError if none."""
    places = dict.fromkeys(map(str, folders))
    sys.path[:0] = [place for place in places if place not in sys.path]
    try:
        found: Any = import_module(module)
    except BaseException as error:
        if is_interrupt(error):
            raise
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is None or not (module + ".").startswith(missing + "."):
            told = f"--codec {text}: importing it raised {located_error(error)}"
            raise RequestError(told) from error
        raise RequestError(
            f"--codec {text}: there is no module {missing}; allowed: a module in "
            f"{', '.join(places)}, or one that is installed"
        ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            own = {n: one for n, one in vars(found).items() if callable(one)}
            names = [n for n, one in own.items() if getattr(one, "__module__", None) == module]
            raise RequestError(f"--codec {text}: it has no {part!r}; {suggestion(part, names)}")
        found = getattr(found, part)
    return factory_of(found, text)


def factory_of(what: Any, name: str) -> Factory:
    """Return what makes a codec; RequestError where it is something else."""
    if is_codec(what) or not callable(what):
        kind = "a codec already" if is_codec(what) else kind_of(what)
        raise RequestError(
            f"codec {name}: it is {kind}; allowed: a function factory(receiver, k) that returns a "
            "codec"
        )
    factory: Factory = what
    return factory


def lacking(what: object) -> list[str]:
    """What keeps an object from being a codec, or a channel."""
    if callable(getattr(what, "send", None)):
        return [] if getattr(what, "port", None) is not None else ["port"]
    return [name for name in ("encode", "decode") if not callable(getattr(what, name, None))]


def is_codec(what: object) -> bool:
    """Whether it is a codec already."""
    return not isinstance(what, type) and not lacking(what)


def _declared(codec: object) -> tuple[str, ...] | None:
    declared = getattr(codec, "trained_on", None)
    if declared is None:
        return None
    if isinstance(declared, str) or not isinstance(declared, Sequence):
        raise CodecError(f"trained_on is {kind_of(declared)}; allowed: a sequence of messages")
    if strays := [one for one in declared if not isinstance(one, str)]:
        raise CodecError(f"trained_on holds {kind_of(strays[0])}; allowed: messages, each a str")
    return tuple(declared)


def _weights_hash(codec: object) -> str | None:
    state = codec.state_dict() if isinstance(codec, nn.Module) else {}
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    return hash_tensors(tensors.items()) if tensors else None


def kind_of(what: object) -> str:
    """What kind of thing it is, for messages."""
    return "None" if what is None else f"of type {type(what).__name__}"
