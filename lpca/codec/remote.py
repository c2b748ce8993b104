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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from lpca.base import PACKAGE
from lpca.base.arguments import RECEIVER, parse_codec
from lpca.base.code_identity import code_hash_anew
from lpca.base.errors import LONGEST, RequestError
from lpca.base.source_code import WHOLE, Symbol
from lpca.channel.confine import ISOLATED, SEPARATE
from lpca.channel.side import Side, SideError, Wall
from lpca.channel.wire import HEADER
from lpca.codec.base import CodecError, bits_of
from lpca.codec.own_side import MAKING
from lpca.receivers.model import Receiver
from lpca.receivers.smollm2 import smollm2_place

ENDS = {"A": "encode", "B": "decode"}
WIDEST = 65_536
"""The most numbers that one of A's vectors may have."""
LARGEST_NUMBER = 8
"""Bytes of the largest type that crosses."""


_DENIED = "a side reads nothing that is hidden, and writes in its own folder alone"
HINTS = {
    "PermissionError: ": _DENIED,
    "OSError: [Errno 30] ": _DENIED,
    "FileNotFoundError: ": "a side works in an empty folder: name files by Path(__file__).parent",
}
"""What an innocent codec may meet behind the wall, by the error that it meets."""


class RemoteCodec:
    """A codec whose two ends run in two processes; `Channel` asks it as any other.

    Args:
        name: "package.module:factory".
        folders: from where it is importable beside Python's own.
        receiver: the judge's, of which the sides are told.
        k: number of latents.
        wall: how the sides are kept apart.

    Raises:
        RequestError: it cannot be found or made, is no codec, or differs from side to side.
        SideError: a side ended, or did not answer in time.
    """

    def __init__(
        self, name: str, folders: Sequence[Path], receiver: Receiver, k: int, wall: Wall
    ) -> None:
        self.name, self.k, self.d_model = name, k, receiver.d_model
        self._device, self._devices = "cpu", ("cpu", receiver.device.type)
        home = Path(tempfile.mkdtemp(prefix="lpca-sides-"))
        self._sides: dict[str, Side] = {}
        self._close = weakref.finalize(self, _end, self._sides, home)
        # neither side reads what the other writes
        wall = Wall((*wall.hidden, home), wall.seconds, _shown(receiver))
        places = [path.absolute() for path in folders]
        told = {
            "codec": name,
            "folders": list(map(str, places)),
            "k": k,
            "receiver": _told(receiver),
        }
        try:
            for side, end in ENDS.items():
                folder = home / side
                folder.mkdir()
                what, start = f"codec {name}, side {side}", {**told, "end": end}
                serve = "lpca.codec.own_side:serve"
                self._sides[side] = Side(what, serve, start, folder, wall, places)
            facts = self._made()
        except BaseException:
            self.close()
            raise
        how = {side.isolation for side in self._sides.values()}
        self.isolation = ISOLATED if how == {ISOLATED} else SEPARATE
        self.bits, self.trained_on, self.weights_hash = _checked(name, facts)
        self.code_hash = _code_hash(name, places, facts)

    def encode(self, messages: Sequence[str]) -> Tensor:
        """Return the latents [messages, k, any] that A's side makes."""
        count = len(messages)
        largest = count * self.k * WIDEST * LARGEST_NUMBER + HEADER
        found = self._ask("A", {"messages": list(messages)}, {}, largest)
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
        return self._ask("B", {"device": self._device}, {"latents": latents}, largest)

    def close(self) -> None:
        """End both processes, and show what they have printed."""
        self._close()

    def _made(self) -> dict[str, Mapping[str, Any]]:
        """Have both sides make the codec at the same time; return what they say of it."""
        for side in self._sides.values():
            side.send({"ask": MAKING})
        return {
            name: _read(side.answer(MAKING)[0], RequestError) for name, side in self._sides.items()
        }

    def _ask(
        self, side: str, header: Mapping[str, Any], tensors: Mapping[str, Tensor], largest: int
    ) -> Tensor:
        ask = {**header, "ask": ENDS[side]}
        said, found = self._sides[side].ask(ask, tensors, largest)
        _read(said, CodecError)
        if "found" not in found:
            raise SideError(f"codec {self.name}, side {side}: {ENDS[side]}: no tensor is answered")
        if found["found"].is_complex():
            raise CodecError(f"codec {self.name}: {ENDS[side]} gives complex numbers")
        if side == "A":
            # no word of A's: B's side would read it
            device = said.get("device")
            self._device = device if device in self._devices else "cpu"
        return found["found"]


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
    a, b = facts["A"], facts["B"]
    for what in ("weights", "bits", "trained_on"):
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


def _code_hash(
    name: str, folders: Sequence[Path], facts: Mapping[str, Mapping[str, Any]]
) -> str | None:
    """As `own_code`, read from the files: nothing is imported."""
    told = facts["A"].get("modules")
    told = [one for one in told if isinstance(one, str)] if isinstance(told, list) else []
    own = {parse_codec(name)[0], *told}
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


def _end(sides: Mapping[str, Side], home: Path) -> None:
    for side in sides.values():
        side.close()
        for line in side.printed.kept:
            print(f"{side.what}: {line}", file=sys.stderr)
    try:
        shutil.rmtree(home, ignore_errors=True)
    except RecursionError:
        # folders in folders, deeper than Python goes down
        subprocess.run(["rm", "-rf", "--", home], stderr=subprocess.DEVNULL, check=False)
