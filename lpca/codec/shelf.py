"""Packets put aside by their views, in a file without a name: a run's memory does not grow."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor

from lpca.channel.packets import Packet, View, unpacked

IN_MEMORY = 1 << 26
"""So many bytes are kept in memory before there is a file."""


@dataclass(frozen=True)
class _Place:
    """Where a tensor's bytes are, and what they are."""

    name: str
    start: int
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def size(self) -> int:
        return torch.Size(self.shape).numel() * self.dtype.itemsize


class _Packets(Sequence[Packet]):
    def __init__(self, shelf: Shelf, views: Sequence[View]) -> None:
        self._shelf, self._views = shelf, views

    def __len__(self) -> int:
        return len(self._views)

    @overload
    def __getitem__(self, row: int) -> Packet: ...

    @overload
    def __getitem__(self, row: slice) -> Sequence[Packet]: ...

    def __getitem__(self, row: int | slice) -> Packet | Sequence[Packet]:
        if isinstance(row, slice):
            return _Packets(self._shelf, self._views[row])
        return self._shelf[self._views[row]]


class Shelf:
    """Packets by view; each is written once, and read as often as it is asked for.

    Example:
        >>> shelf, view = Shelf(), View(("Hi",))
        >>> shelf.keep([view], [Packet(ids=torch.tensor([3, 1]))])
        >>> view in shelf, shelf[view].ids.tolist()
        (True, [3, 1])
    """

    def __init__(self) -> None:
        # closed, and its room given back, when nothing holds it
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY, prefix="lpca-")  # noqa: SIM115
        self._places: dict[View, tuple[_Place, ...]] = {}

    def __contains__(self, view: View) -> bool:
        return view in self._places

    def keep(self, views: Iterable[View], packets: Iterable[Packet]) -> None:
        """Put packets aside, each by its view."""
        for view, packet in zip(views, packets, strict=True):
            parts = packet.tensors("packet").items()
            self._places[view] = tuple(self._written(name, tensor) for name, tensor in parts)

    def packets(self, views: Sequence[View]) -> Sequence[Packet]:
        """Return the packets of some views, each read when it is looked at."""
        return _Packets(self, views)

    def __getitem__(self, view: View) -> Packet:
        """Return a packet, on the processor; KeyError where there is none."""
        parts = {place.name: self._read(place) for place in self._places[view]}
        return unpacked(parts, ["packet"])["packet"]

    def _written(self, name: str, tensor: Tensor) -> _Place:
        held = tensor.detach().cpu().contiguous()
        start = self._file.seek(0, 2)
        self._file.write(held.flatten().view(torch.uint8).numpy().tobytes())
        return _Place(name, start, tuple(held.shape), held.dtype)

    def _read(self, place: _Place) -> Tensor:
        if not place.size:
            return torch.zeros(place.shape, dtype=place.dtype)
        self._file.seek(place.start)
        # a bytearray: torch wants what may be written into
        read = bytearray(self._file.read(place.size))
        return torch.frombuffer(read, dtype=torch.uint8).view(place.dtype).reshape(place.shape)
