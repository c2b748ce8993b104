"""What crosses from A to B for one message, and what A may read: packets, ports and views.

A packet's file is plain safetensors, one for any number of packets: tensors `ID.ids`,
`ID.vectors`, `ID.cache.LAYER.keys` and `ID.cache.LAYER.values`. Any program can write it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["ids", "vectors", "cache"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MOST_POSITIONS = 4096
"""The most positions that a port may take."""
MOST_LAYERS = 1024
_PART = re.compile(r"(ids|vectors|cache\.(0|[1-9][0-9]{0,3})\.(keys|values))")


class PacketError(ValueError):
    """What is no packet, or none that a port takes; the text says what is allowed."""


@dataclass(frozen=True)
class View:
    """All that A may read.

    Attributes:
        messages: the sender's text; several where the channel reads several senders at once.
        public: what both sides see, such as the question; of B's private text nothing.
    """

    messages: tuple[str, ...]
    public: str = ""

    @property
    def message(self) -> str:
        """The only message; ValueError where there are several."""
        if len(self.messages) != 1:
            raise ValueError(f"a view of {len(self.messages)} messages has no only one")
        return self.messages[0]


@dataclass(frozen=True)
class Port:
    """What kind of packet B takes, and how much of it.

    Attributes:
        kind: "ids" for token ids of the receiver, "vectors" for input embeddings (or what
            `receive` makes into such), "cache" for keys and values.
        positions: the most positions that a packet may have.
        vocabulary: how many different ids there may be; needed for "ids", whose bits it counts.
        layers: of "cache", which layers carry something; empty: all.

    Raises:
        PacketError: a field is not as it must be.
    """

    kind: Kind
    positions: int
    vocabulary: int | None = None
    layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise PacketError(f"a port's kind is {self.kind!r:.40}; allowed: {', '.join(KINDS)}")
        if not _whole(self.positions, 1, MOST_POSITIONS):
            raise PacketError(
                f"a port's positions are {self.positions!r:.40}; allowed: 1 to {MOST_POSITIONS}"
            )
        if (self.kind == "ids") != (self.vocabulary is not None):
            raise PacketError("a port of ids, and only such, says how many there are: vocabulary")
        if self.vocabulary is not None and not _whole(self.vocabulary, 2, 2**31):
            raise PacketError(f"a port's vocabulary is {self.vocabulary!r:.40}; allowed: from 2 on")
        if not isinstance(self.layers, tuple | list):
            raise PacketError(
                f"a port's layers are {self.layers!r:.40}; allowed: a tuple of numbers"
            )
        object.__setattr__(self, "layers", tuple(self.layers))
        if self.layers and self.kind != "cache":
            raise PacketError(f"a port of {self.kind} has no layers; allowed: with kind cache")
        sound = all(_whole(layer, 0, MOST_LAYERS - 1) for layer in self.layers)
        if not sound or list(self.layers) != sorted(set(self.layers)):
            raise PacketError(
                f"a port's layers are {self.layers!r:.60}; allowed: whole numbers (int) from 0 on, "
                "rising, each once"
            )

    def check(self, packet: Packet) -> None:
        """Refuse a packet that does not go through; its parts are tensors.

        Raises:
            PacketError: another kind, more positions or other layers than declared, ids out of the
                vocabulary, or numbers that are none.
        """
        if packet.kind != self.kind:
            raise PacketError(f"a packet of {packet.kind}; allowed: {self.kind}, its port's kind")
        if len(packet) > self.positions:
            raise PacketError(
                f"a packet of {len(packet)} positions; allowed: at most {self.positions}, as its "
                "port says"
            )
        if undeclared := set(packet.cache) - set(self.layers or packet.cache):
            raise PacketError(
                f"a cache of layer {min(undeclared)}; allowed: {', '.join(map(str, self.layers))}, "
                "its port's layers"
            )
        if len(lengths := {int(keys.shape[1]) for keys, _ in packet.cache.values()}) > 1:
            raise PacketError(
                f"layers of {min(lengths)} and of {max(lengths)} positions; allowed: one number in "
                "all layers"
            )
        for tensor in packet.tensors("").values():
            if self.kind == "ids":
                check_ids(tensor, self.vocabulary or 0)
            else:
                check_numbers(tensor)

    @property
    def bits_of_length(self) -> float:
        """How many bits the number of positions can tell, where it differs among packets."""
        return math.log2(self.positions + 1)


@dataclass(frozen=True, eq=False)
class Packet:
    """What crosses for one message: of ids, vectors and cache exactly one.

    Nothing is padded: a packet has as many positions as it has, and none where it is empty. Each
    part may be given as a tensor, an array of numpy's, or lists of numbers, read as float32.

    Attributes:
        ids: token ids [n].
        vectors: [n, d].
        cache: by layer keys and values, each [heads, n, head_dim].

    Raises:
        PacketError: none of them or several, or one of a shape that it cannot have.
    """

    ids: Tensor | None = None
    vectors: Tensor | None = None
    cache: Mapping[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if sum((self.ids is not None, self.vectors is not None, bool(self.cache))) != 1:
            raise PacketError("a packet is one of ids, vectors and cache")
        for layer, both in self.cache.items():
            if not _whole(layer, 0, MOST_LAYERS - 1):
                raise PacketError(f"layer {layer!r:.40}; allowed: 0 to {MOST_LAYERS - 1}")
            if not isinstance(both, tuple | list) or len(both) != 2:
                raise PacketError(f"layer {layer} has no two parts; allowed: (keys, values)")
        layers = {
            layer: tuple(_array(one, 3) for one in both) for layer, both in self.cache.items()
        }
        for name, part in (("ids", _array(self.ids, 1)), ("vectors", _array(self.vectors, 2))):
            object.__setattr__(self, name, part)
        object.__setattr__(self, "cache", layers)
        for name, tensor in self.tensors("packet").items():
            wanted = {"ids": 1, "vectors": 2}.get(name.rpartition(".")[2], 3)
            if not hasattr(tensor, "ndim"):
                raise PacketError(
                    f"{name} is of type {type(tensor).__name__}; allowed: a tensor, an array of "
                    "numpy's, lists of numbers"
                )
            if tensor.ndim != wanted:
                raise PacketError(f"{name} has shape {tuple(tensor.shape)}; allowed: {wanted}-D")
        for layer, (keys, values) in self.cache.items():
            if keys.shape[:2] != values.shape[:2]:
                raise PacketError(
                    f"layer {layer} has keys of shape {tuple(keys.shape)} and values of "
                    f"{tuple(values.shape)}; allowed: [heads, n, head_dim], of one heads and n"
                )

    @property
    def kind(self) -> Kind:
        """Which of the three it is."""
        if self.cache:
            return "cache"
        return "ids" if self.ids is not None else "vectors"

    def __len__(self) -> int:
        """Positions: of a cache, those of its longest layer."""
        if self.cache:
            return max(int(keys.shape[1]) for keys, _ in self.cache.values())
        [only] = self.tensors("").values()
        return int(only.shape[0])

    @property
    def form(self) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
        """All of its shape but how many positions it has: its parts, their types and widths.

        Packets of one channel have one form, or it would tell something that no bits count.
        """
        return tuple(
            (name.removeprefix("."), str(one.dtype).removeprefix("torch."), _widths(one))
            for name, one in self.tensors("").items()
        )

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Its tensors by the names that they have in a file, for a packet of this name."""
        found: dict[str, Tensor] = {}
        if self.ids is not None:
            found[f"{name}.ids"] = self.ids
        if self.vectors is not None:
            found[f"{name}.vectors"] = self.vectors
        for layer, (keys, values) in self.cache.items():
            found[f"{name}.cache.{layer}.keys"] = keys
            found[f"{name}.cache.{layer}.values"] = values
        return found

    def bits(self, port: Port, varies: bool) -> float:
        """Return its capacity: how many bits its form can hold, whatever it does hold.

        Numbers count with the width of their type, ids with the logarithm of how many there are.

        Args:
            port: what it goes through.
            varies: whether the number of positions differs among the packets sent, and so tells
                something as well.

        Example:
            >>> import torch
            >>> Packet(vectors=torch.zeros(1, 384)).bits(Port("vectors", 1), varies=False)
            12288.0
        """
        length = port.bits_of_length if varies else 0.0
        if self.ids is not None:
            return len(self) * math.log2(port.vocabulary or 1) + length
        return length + sum(
            float(one.numel() * one.element_size() * 8) for one in self.tensors("").values()
        )


def _widths(tensor: Tensor) -> tuple[int, ...]:
    """A part's shape without its positions: [n], [n, d] or [heads, n, head_dim]."""
    shape = tuple(map(int, tensor.shape))
    return shape[1:] if len(shape) < 3 else (shape[0], shape[2])


def check_ids(ids: Tensor, vocabulary: int) -> None:
    """Refuse what are no ids of a vocabulary of so many.

    Raises:
        PacketError: they are no whole numbers, or one is not among them.
    """
    if ids.is_floating_point() or "bool" in str(ids.dtype):
        raise PacketError(f"ids of type {ids.dtype}; allowed: whole numbers")
    strays = [token for token in ids.tolist() if not 0 <= token < vocabulary]
    if strays:
        raise PacketError(f"id {strays[0]}; allowed: 0 to {vocabulary - 1}")


def check_numbers(tensor: Tensor) -> None:
    """Refuse what is NaN, infinite or no number.

    Raises:
        PacketError: it holds such.
    """
    try:
        finite = None if "bool" in str(tensor.dtype) else bool(tensor.double().isfinite().all())
    except RuntimeError:
        # a type that nothing can be computed with, such as one of four bits
        finite = None
    if finite is None:
        raise PacketError(f"values of type {tensor.dtype}; allowed: numbers")
    if not finite:
        raise PacketError("NaN or infinity; allowed: finite numbers")


def names(count: int) -> list[str]:
    """Return the IDs of so many packets that cross together: they tell nothing of what is in them.

    Example:
        >>> names(2)
        ['0', '1']
    """
    return list(map(str, range(count)))


def packed(packets: Mapping[str, Packet]) -> dict[str, Tensor]:
    """Return the tensors of packets by name, as their file has them."""
    found: dict[str, Tensor] = {}
    for name, packet in packets.items():
        found |= packet.tensors(name)
    return found


def unpacked(tensors: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Packet]:
    """Return the packets of these names.

    Args:
        tensors: as `packed` gives them.
        names: which are to be there; an ID may hold any character.

    Raises:
        PacketError: one is missing, incomplete or no packet, or there is a tensor of none of them.
    """
    wanted = list(names)
    own: dict[str, dict[str, Tensor]] = {name: {} for name in wanted}
    for key, tensor in tensors.items():
        name, part = split_name(key)
        if name not in own:
            raise PacketError(f"tensor {key!r:.80} belongs to no packet that was asked for")
        own[name][part] = tensor
    found: dict[str, Packet] = {}
    for name in wanted:
        if not own[name]:
            raise PacketError(f"packet {name!r:.60} is missing")
        try:
            found[name] = _packet(own[name])
        except PacketError as error:
            raise PacketError(f"packet {name!r:.60}: {error}") from None
    return found


def split_name(key: str) -> tuple[str, str]:
    """Return the ID of a tensor's packet and which part of it the tensor is.

    Args:
        key: the tensor's name in a file; an ID may have dots of its own.

    Raises:
        PacketError: it is no such name.

    Example:
        >>> split_name("a.b.cache.3.keys")
        ('a.b', 'cache.3.keys')
    """
    pieces = key.split(".")
    for count in (1, 3):
        part = ".".join(pieces[-count:])
        name = ".".join(pieces[:-count])
        if name and _PART.fullmatch(part):
            return name, part
    raise PacketError(
        f"tensor {key!r:.80}; allowed: ID.ids, ID.vectors, ID.cache.LAYER.keys, "
        "ID.cache.LAYER.values"
    )


def _packet(parts: Mapping[str, Tensor]) -> Packet:
    layers: dict[int, dict[str, Tensor]] = {}
    for part, tensor in parts.items():
        if part.startswith("cache."):
            _, number, which = part.split(".")
            layers.setdefault(int(number), {})[which] = tensor
    for layer, both in layers.items():
        if len(both) != 2:
            raise PacketError(f"layer {layer} has no {'values' if 'keys' in both else 'keys'}")
    cache = {layer: (both["keys"], both["values"]) for layer, both in sorted(layers.items())}
    return Packet(parts.get("ids"), parts.get("vectors"), cache)


def _array(part: Any, dimensions: int) -> Any:
    """Lists of numbers as an array; anything else as it is."""
    if not isinstance(part, list | tuple):
        return part
    import numpy as np

    try:
        found = np.array(part)
        found = found if dimensions == 1 else found.astype(np.float32)
    except (ValueError, TypeError) as error:
        raise PacketError(f"lists that are no numbers in one shape: {error!s:.80}") from None
    if not found.size:
        # an empty list has no type and no width of its own
        return np.zeros((0,) * dimensions, np.int64 if dimensions == 1 else np.float32)
    return found


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
