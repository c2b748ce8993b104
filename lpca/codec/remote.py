"""A codec behind the wall: A's side encodes in one process, B's decodes in another.

The judge imports none of its code. A's side sees messages and nothing else, B's latents and nothing
else. Each makes the codec by itself, from the same seed, before a message is shown.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from lpca.base import PACKAGE
from lpca.base.arguments import RECEIVER, parse_codec
from lpca.base.code_identity import code_hash_anew
from lpca.base.errors import LONGEST, RequestError
from lpca.base.files import scratch_folder
from lpca.base.source_code import WHOLE, Symbol
from lpca.channel.confine import ISOLATED, SEPARATE
from lpca.channel.packets import Packet, PacketError, Port, View, names, packed, unpacked
from lpca.channel.side import Side, SideError, Wall
from lpca.channel.wire import HEADER
from lpca.codec.base import CodecError, bits_of
from lpca.codec.own_side import MAKING
from lpca.codec.users_code import checked_port
from lpca.receivers.model import Receiver
from lpca.receivers.smollm2 import smollm2_place

ENDS = {"A": ("encode", "send"), "B": ("decode", "receive")}
"""What each side may be asked: of a codec the first, of a channel with a port the second."""
WIDEST = 65_536
"""The most numbers that one of A's vectors may have."""
LARGEST_NUMBER = 8
"""Bytes of the largest type that crosses."""
SERVE = "lpca.codec.own_side:serve"
"""What answers in a side's process."""

_DENIED = "a side reads nothing that is hidden, and writes in its own folder alone"
HINTS = {
    "PermissionError: ": _DENIED,
    "OSError: [Errno 30] ": _DENIED,
    "FileNotFoundError: ": "a side works in an empty folder: name files by Path(__file__).parent",
}
"""What an innocent codec may meet behind the wall, by the error that it meets."""

_MADE: weakref.WeakSet[RemoteCodec] = weakref.WeakSet()
"""All of this process whose sides may live."""


class RemoteCodec:
    """A codec, or a channel with a port, whose ends run in two processes of their own.

    `port` is None of a codec, which is asked to `encode` and `decode`; a channel is asked to `send`
    and, if it has a connector, to `receive`: without one there is no side B.

    Args:
        name: "package.module:factory".
        folders: from where it is importable beside Python's own.
        receiver: the judge's, of which the sides are told.
        k: number of latents.
        wall: how the sides are kept apart.
        sides: which of them are made; a channel without a connector has no B.

    Raises:
        RequestError: it cannot be found or made, is no codec, or differs from side to side.
        SideError: a side ended, or did not answer in time.
    """

    def __init__(
        self,
        name: str,
        folders: Sequence[Path],
        receiver: Receiver,
        k: int,
        wall: Wall,
        sides: Collection[str] = tuple(ENDS),
    ) -> None:
        self._again = partial(RemoteCodec, name, folders, receiver, k, wall)
        _MADE.add(self)
        self.name, self.k, self.d_model = name, k, receiver.d_model
        self._device, self._devices = "cpu", ("cpu", receiver.device.type)
        scratch = ExitStack()
        home = scratch.enter_context(scratch_folder(Path(tempfile.gettempdir()) / "lpca-sides"))
        self._home = home
        self._sides: dict[str, Side] = {}
        self._facts: dict[str, Mapping[str, Any]] = {}
        self._close = weakref.finalize(self, _end, self._sides, home, scratch)
        # neither side reads what the other writes
        wall = replace(wall, hidden=(*wall.hidden, home), shown=_shown(receiver))
        places = [path.absolute() for path in folders]
        self._wall, self._places = wall, places
        self._told = {
            "codec": name,
            "folders": list(map(str, places)),
            "k": k,
            "receiver": _told(receiver),
        }
        facts = self._facts
        try:
            for side in sides:
                # a channel without a connector has nothing to be done at B's
                if facts and facts["A"].get("port") and not facts["A"].get("receives"):
                    break
                facts[side] = self._start(side)
            how = {side.isolation for side in self._sides.values()}
            self.isolation = ISOLATED if how == {ISOLATED} else SEPARATE
            self.bits, self.trained_on, self.weights_hash = _checked(name, facts)
            first, *_ = facts.values()
            self.port = _port(name, first.get("port"), k)
        except BaseException:
            self.close()
            raise
        self.receives = "B" in self._sides
        named = first.get("modules")
        modules = named if isinstance(named, list) else []
        self.code_hash = source_hash(name, places, [one for one in modules if isinstance(one, str)])

    def anew(self, side: str) -> RemoteCodec | None:
        """Return it with one side alone, a process that has seen nothing; None where it has none.

        No side lives then that could tell it anything, of whichever codec: all that this process
        has are ended first, and each is made again when it is next asked. Raises as it was made.
        """
        if side not in self._facts:
            return None
        for codec in list(_MADE):
            codec.rest()
        return self._again(sides=(side,))

    def rest(self) -> None:
        """End its processes; one is made again when it is asked. One that is lost stays so."""
        for side in [side for side, process in self._sides.items() if not process.ended]:
            _end_side(self._sides.pop(side))
            _remove(self._home / side)

    def encode(self, messages: Sequence[str]) -> Tensor:
        """Return the latents [messages, k, any] that A's side makes."""
        count = len(messages)
        largest = count * self.k * WIDEST * LARGEST_NUMBER + HEADER
        found = self._found("A", "encode", {"messages": list(messages)}, {}, largest)
        shape = tuple(found.shape)
        if len(shape) != 3 or shape[:2] != (count, self.k):
            raise CodecError(
                f"codec {self.name}: encode gives shape {shape}; allowed: "
                f"({count}, {self.k}, any) (messages, k, width)"
            )
        if shape[2] > WIDEST:
            raise CodecError(
                f"codec {self.name}: encode gives vectors of {shape[2]} numbers; allowed: at most "
                f"{WIDEST}"
            )
        return found

    def decode(self, latents: Tensor) -> Tensor:
        """Return the prefixes that B's side makes of latents."""
        largest = len(latents) * self.k * self.d_model * LARGEST_NUMBER + HEADER
        return self._found("B", "decode", {"device": self._device}, {"latents": latents}, largest)

    def send(self, views: Sequence[View]) -> list[Packet]:
        """Return the packet that A's side makes of each view."""
        asked = {"views": [[list(view.messages), view.public] for view in views]}
        return self._packets("A", "send", asked, {}, len(views), WIDEST)

    def receive(self, packets: Sequence[Packet]) -> list[Packet]:
        """Return what B's side makes of each packet."""
        given = packed(dict(zip(names(len(packets)), packets, strict=True)))
        asked = {"count": len(packets), "device": self._device}
        is_cache = self.port is not None and self.port.kind == "cache"
        width = WIDEST if is_cache else self.d_model
        return self._packets("B", "receive", asked, given, len(packets), width)

    def _packets(
        self,
        side: str,
        end: str,
        header: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        count: int,
        width: int,
    ) -> list[Packet]:
        largest = count * self.k * width * LARGEST_NUMBER + HEADER
        found = self._ask(side, end, header, tensors, largest)
        try:
            packets = list(unpacked(found, names(count)).values())
        except PacketError as error:
            raise SideError(f"codec {self.name}, side {side}: {end}: {error}") from None
        for packet in packets:
            if packet.vectors is not None and packet.vectors.shape[1] > WIDEST:
                raise CodecError(
                    f"codec {self.name}: {end} gives vectors of {packet.vectors.shape[1]} numbers; "
                    f"allowed: at most {WIDEST}"
                )
        return packets

    def _start(self, side: str) -> Mapping[str, Any]:
        """Start a side's process and have it make the codec; return what it says of it."""
        folder = self._home / side
        folder.mkdir()
        what, start = f"codec {self.name}, side {side}", {**self._told, "ends": ENDS[side]}
        self._sides[side] = Side(what, SERVE, start, folder, self._wall, self._places)
        said, _ = self._sides[side].ask({"ask": MAKING})
        return _read(said, RequestError)

    def _started(self, side: str) -> Side:
        """A side's process; made again where it was ended to be alone, as it was before."""
        if side not in self._sides:
            if not self._close.alive:
                raise SideError(f"codec {self.name}, side {side}: it is closed")
            try:
                _checked(self.name, {"before": self._facts[side], side: self._start(side)})
            except BaseException:
                self.close()
                raise
        return self._sides[side]

    def close(self) -> None:
        """End both processes, and show what they have printed."""
        self._close()

    def _found(
        self,
        side: str,
        end: str,
        header: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        largest: int,
    ) -> Tensor:
        found = self._ask(side, end, header, tensors, largest)
        if "found" not in found:
            raise SideError(f"codec {self.name}, side {side}: {end}: no tensor is answered")
        return found["found"]

    def _ask(
        self,
        side: str,
        end: str,
        header: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        largest: int,
    ) -> dict[str, Tensor]:
        said, found = self._started(side).ask({**header, "ask": end}, tensors, largest)
        _read(said, CodecError)
        if any(one.is_complex() for one in found.values()):
            raise CodecError(f"codec {self.name}: {end} gives complex numbers")
        if side == "A":
            # no word of A's: B's side would read it
            device = said.get("device")
            self._device = device if device in self._devices else "cpu"
        return found


def _port(name: str, told: Any, k: int) -> Port | None:
    """The port that a side tells of, if it has one; RequestError where there cannot be such."""
    if told is None:
        return None
    try:
        return checked_port(name, Port(**{**told, "layers": tuple(told["layers"])}), k)
    except (PacketError, KeyError, TypeError):
        raise RequestError(f"codec {name}: what its sides say of it cannot be read") from None


def _read(said: dict[str, Any], kind: type[CodecError | RequestError]) -> dict[str, Any]:
    """What a side says, or the error that it has to say, in one line of bounded length."""
    if "error" in said:
        text = " ".join(str(said["error"])[: 10 * LONGEST].split())[: 4 * LONGEST]
        text = "".join(letter if letter.isprintable() else "?" for letter in text)
        hints = [f"; {hint}" for error, hint in HINTS.items() if f"raised {error}" in text]
        raise kind("".join([text, *hints]))
    return said


def _checked(
    name: str, facts: Mapping[str, Mapping[str, Any]]
) -> tuple[float | None, tuple[str, ...] | None, str | None]:
    """Bits, training messages and weights' hash, of the types they should have and on both sides.

    Raises RequestError.
    """
    a, *others = facts.values()
    b = others[0] if others else a
    for what in ("weights", "bits", "trained_on", "port"):
        if a.get(what) != b.get(what):
            raise RequestError(
                f"codec {name}: its {what} are not the same on both sides, which make it from the "
                "same seed; allowed: a factory that makes the same codec each time (weights from a "
                "file, say), or --in-process"
            )
    weights, trained_on = a.get("weights"), a.get("trained_on")
    messages = trained_on if isinstance(trained_on, list) else []
    try:
        bits = bits_of(_Declared(a.get("bits")))
    except CodecError as error:
        raise RequestError(f"codec {name}: {error}") from None
    sound = trained_on in (None, messages) and all(isinstance(one, str) for one in messages)
    if not sound or not isinstance(weights, str | None) or len(weights or "") > 64:
        raise RequestError(f"codec {name}: what its sides say of it cannot be read")
    return bits, None if trained_on is None else tuple(messages), weights


class _Declared:
    def __init__(self, bits: Any) -> None:
        self.bits = bits


def source_hash(name: str, folders: Sequence[Path], more: Sequence[str] = ()) -> str | None:
    """As `own_code`, read from the files: nothing is imported.

    Args:
        name: "package.module:factory".
        folders: from where it is importable beside Python's own.
        more: modules that count too.
    """
    own = {parse_codec(name)[0], *more}
    modules = [Symbol(one, WHOLE) for one in sorted(own) if one.partition(".")[0] != PACKAGE.name]
    with _importable(folders), suppress(LookupError, ValueError, OSError, SyntaxError):
        return code_hash_anew(*modules) if modules else None
    return None


@contextmanager
def _importable(folders: Sequence[Path]) -> Iterator[None]:
    """Have modules found where the sides have found them."""
    before = list(sys.path)
    sys.path[:0] = [str(one) for one in folders if str(one) not in sys.path]
    try:
        yield
    finally:
        sys.path[:] = before


def _told(receiver: Receiver) -> dict[str, Any]:
    """What a side is told of the judge's receiver, and how to load one of its own."""
    name, place = receiver.name, Path(receiver.name)
    facts = receiver.facts
    if name == RECEIVER:
        where = str(smollm2_place())
    elif place.exists():
        where = str(place.absolute())
    else:
        where = f"{name.partition('@')[0]}@{receiver.revision}" if receiver.revision else name
    prompt = receiver.prompt
    return {
        "facts": {
            "name": name,
            "d_model": receiver.d_model,
            "layers": receiver.layers,
            "device": str(receiver.device),
            "dtype": facts["dtype"],
            "weights_hash": receiver.weights_hash,
            "revision": receiver.revision,
            "device_map": receiver.device_map,
            "mean_embedding_norm": receiver.mean_embedding_norm,
        },
        "loaded": {
            "place": where,
            "device": receiver.device.type,
            "dtype": "auto" if "quantised" in facts else facts["dtype"],
            "attn": receiver.attn if receiver.attn in ("sdpa", "eager") else "auto",
            "device_map": receiver.device_map,
            "prompt": {
                "template": prompt.template,
                "system": prompt.system,
                "join_message": prompt.join_message,
                "join_answer": prompt.join_answer,
            },
        },
    }


def _shown(receiver: Receiver) -> tuple[Path, ...]:
    """What a side may read in a hidden folder: the receiver's own files."""
    place = smollm2_place() if receiver.name == RECEIVER else Path(receiver.name)
    return (place.absolute(),) if place.exists() else ()


def _end(sides: Mapping[str, Side], home: Path, scratch: ExitStack) -> None:
    for side in sides.values():
        _end_side(side)
    _remove(home)
    scratch.close()


def _end_side(side: Side) -> None:
    side.close()
    for line in side.printed.kept:
        print(f"{side.what}: {line}", file=sys.stderr)


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        # folders in folders, deeper than Python goes down
        subprocess.run(["rm", "-rf", "--", folder], stderr=subprocess.DEVNULL, check=False)
