"""Sequences that stay small in memory however long they are."""

from __future__ import annotations

import pickle
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate, islice
from typing import Any, TypeVar, overload

T = TypeVar("T")
BLOCK = 128
"""Items that are packed together."""
UNPACKED = 16
"""How many blocks, of all sequences together, are there as they are: those last indexed."""


class Packed(Sequence[T]):
    """A sequence kept as compressed bytes, a block of items at a time.

    What is looked at is unpacked, and is another object each time. It is for plain data of this
    process: nothing packed comes from a file.

    Args:
        items: in their order; they are packed as they come.

    Example:
        >>> numbers = Packed(range(1000))
        >>> numbers[500], len(numbers + [7]), numbers[998:]
        (500, 1001, (998, 999))
    """

    def __init__(self, items: Iterable[T] = ()) -> None:
        rest, blocks = iter(items), []
        while block := tuple(islice(rest, BLOCK)):
            blocks.append(_Block(block))
        self._blocks = tuple(blocks)

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(map(len, self._blocks)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[T]:
        for block in self._blocks:
            yield from block.items()

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        place = range(len(self))[index]
        block = bisect_right(self._ends, place)
        items: tuple[T, ...] = _unpacked(self._blocks[block])
        # counted from the block's end, so below 0
        return items[place - self._ends[block]]

    def __add__(self, more: Iterable[T]) -> Packed[T]:
        found = Packed[T]()
        own = more if isinstance(more, Packed) else Packed(more)
        found._blocks = (*self._blocks, *own._blocks)
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __repr__(self) -> str:
        return f"<{len(self)} packed items>"


class _Block:
    """Some items as bytes; compared, and hashed, by which object it is."""

    def __init__(self, items: tuple[Any, ...]) -> None:
        self._count = len(items)
        self._bytes = zlib.compress(pickle.dumps(items, pickle.HIGHEST_PROTOCOL), level=1)

    def __len__(self) -> int:
        return self._count

    def items(self) -> tuple[Any, ...]:
        found: tuple[Any, ...] = pickle.loads(zlib.decompress(self._bytes))
        return found


@lru_cache(maxsize=UNPACKED)
def _unpacked(block: _Block) -> tuple[Any, ...]:
    return block.items()
