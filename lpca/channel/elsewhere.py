"""Packets that another program has made: the ids of views, and the file that answers them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lpca.base.errors import RequestError
from lpca.base.files import reading, touching
from lpca.base.hashing import hash_data, hash_file
from lpca.channel.alike import differing
from lpca.channel.packets import Kind, Packet, PacketError, View, split_name, unpacked

if TYPE_CHECKING:
    from torch import Tensor

_ID = 24
"""Hexadecimal digits of an id."""
TWICE = 16
"""One in so many views stands under two ids."""
AGAIN = "these are packets of other views; run lpca views again"


def ids_of(view: View) -> tuple[str, ...]:
    """Return the ids under which a view is handed over: mostly one, of some views two.

    They are hashes of what A may read, and tell nothing else of it.

    Example:
        >>> ids_of(View(("Hugo flies to Lima.",)))
        ('d0927e090d8d1837b28565ae',)
    """
    first, second = (
        hash_data(["view", list(view.messages), view.public, copy])[:_ID] for copy in range(2)
    )
    return (first, second) if int(second, 16) % TWICE == 0 else (first,)


@dataclass(frozen=True, eq=False)
class PacketFile:
    """A file's packets by id, all of one kind.

    Attributes:
        path: the file's.
        packets: by id.
        sha256: of the file's bytes.
    """

    path: Path
    packets: Mapping[str, Packet]
    sha256: str

    @cached_property
    def kind(self) -> Kind:
        """What they are."""
        return next(iter(self.packets.values())).kind

    @cached_property
    def positions(self) -> int:
        """As many positions as the longest of them has."""
        return max(map(len, self.packets.values()))

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """Of caches, the layers that any of them has."""
        return tuple(sorted({layer for one in self.packets.values() for layer in one.cache}))

    def of(self, view: View) -> Packet:
        """Return the packet of a view; RequestError where there is none."""
        name = ids_of(view)[0]
        if name not in self.packets:
            raise RequestError(f"{self.path}: packet {name} is missing; {AGAIN}")
        return self.packets[name]

    def refuse_others(
        self, due: Iterable[View], every: Callable[[], Iterable[View]] = tuple
    ) -> None:
        """Refuse a file that does not answer these views, or answers what was not asked.

        Args:
            due: the views whose packets are about to be used.
            every: gives all views that may have been handed over with them.

        Raises:
            RequestError: an id is missing or unknown, or a view's two packets differ.
        """
        due = list(due)
        names = [name for view in due for name in ids_of(view)]
        if not self.packets.keys() & {*names}:
            raise RequestError(f"{self.path}: {AGAIN}")
        if missing := [name for name in names if name not in self.packets]:
            raise RequestError(
                f"{self.path}: {len(missing)} of {len(names)} packets are missing, first "
                f"{missing[0]}; run lpca views again and answer every line"
            )
        known = {*names}
        if self.packets.keys() - known:
            known |= {name for view in every() for name in ids_of(view)}
        if unknown := [name for name in self.packets if name not in known]:
            raise RequestError(
                f"{self.path}: {len(unknown)} of {len(self.packets)} packets were not asked for, "
                f"first {unknown[0]!r:.60}; {AGAIN}"
            )
        for view in due:
            if difference := self.differing(view):
                raise RequestError(
                    f"{self.path}: {' and '.join(ids_of(view))} are one view, and their packets "
                    f"differ: {difference}; a packet must follow from its view alone"
                )

    def differing(self, view: View) -> str:
        """Say how a view's two packets differ; empty where they do not, or there is one."""
        first, *others = (self.packets[name] for name in ids_of(view))
        return next(filter(None, (differing(first, other) for other in others)), "")

    def refuse_unfit(self, k: int, d_model: int, vocabulary: int) -> None:
        """Refuse packets that a receiver cannot be given.

        Args:
            k: the most positions of a packet.
            d_model: the width of the receiver's embeddings.
            vocabulary: how many token ids it has.

        Raises:
            RequestError: one is longer, wider or narrower, has other ids, or numbers that are none.
        """
        for name, packet in self.packets.items():
            if reason := _unfit(packet, k, d_model, vocabulary):
                raise RequestError(f"{self.path}: packet {name!r:.60} {reason}")


def read_packets(path: Path) -> PacketFile:
    """Read a file of packets; nothing in it is run.

    Args:
        path: the file, of safetensors with tensors `ID.ids`, `ID.vectors`, `ID.cache.LAYER.keys`
            and `ID.cache.LAYER.values`.

    Raises:
        RequestError: it is no such file, or holds packets of several kinds, or none.
        StorageError: it cannot be read.
    """
    if not path.is_file():
        raise RequestError(f"{path}: no such file; allowed: a file of packets")
    with reading(path):
        sha256, tensors = hash_file(path), _tensors(path)
    try:
        packets = unpacked(tensors, dict.fromkeys(split_name(key)[0] for key in tensors))
    except PacketError as error:
        raise RequestError(f"{path}: {error}") from None
    if not packets:
        raise RequestError(f"{path}: there are no packets in it")
    kinds = sorted({packet.kind for packet in packets.values()})
    if len(kinds) > 1:
        raise RequestError(f"{path}: its packets are {' and '.join(kinds)}; allowed: one of them")
    return PacketFile(path, packets, sha256)


def _tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    touching("read", path)
    try:
        with safe_open(path, framework="pt") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (
        SafetensorError,
        ValueError,
        TypeError,
        RuntimeError,
        KeyError,
        AttributeError,
    ) as error:
        text = " ".join(str(error).split())
        raise RequestError(f"{path}: this is no whole file of safetensors ({text:.120})") from None


def _unfit(packet: Packet, k: int, d_model: int, vocabulary: int) -> str:
    """Why a packet cannot be given to a receiver; empty where it can."""
    if len(packet) > k:
        return f"has {len(packet)} positions; allowed with --k {k}: at most {k}"
    if packet.ids is not None:
        if packet.ids.is_floating_point() or packet.ids.is_complex():
            return f"has ids of type {packet.ids.dtype}; allowed: whole numbers"
        ids = packet.ids.tolist()
        if strays := [one for one in ids if not 0 <= one < vocabulary]:
            return f"has the id {strays[0]}; allowed for this receiver: 0 to {vocabulary - 1}"
        return ""
    for tensor in packet.tensors("").values():
        if tensor.is_complex() or not tensor.is_floating_point():
            return f"holds numbers of type {tensor.dtype}; allowed: floating point"
        # as the receiver gets them: a number may be finite in a wider type alone
        if not bool(tensor.float().isfinite().all()):
            return "holds NaN or infinity, read as float32"
    if packet.vectors is not None and packet.vectors.shape[1] != d_model:
        width = packet.vectors.shape[1]
        return f"has vectors of {width} numbers; allowed: {d_model}, the receiver's d_model"
    return ""
