"""Counts of outcomes, and intervals."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import cast


@dataclass(frozen=True)
class Interval:
    """A confidence interval; `low <= high`, in the units of what it estimates."""

    low: float
    high: float

    def has_inside(self, value: float) -> bool:
        """Whether a value lies strictly between the ends."""
        return self.low < value < self.high


@dataclass(frozen=True)
class Proportion:
    """How many of n episodes succeeded."""

    successes: int
    n: int

    @classmethod
    def of(cls, outcomes: Sequence[float]) -> Proportion:
        """Count outcomes; ValueError when a value is neither 0 nor 1."""
        seen = binary(outcomes)
        return cls(seen.count(1), len(seen))


@dataclass(frozen=True)
class PairedTable:
    """Counts of paired outcomes: a both succeed, b first only, c second only, d neither.

    Raises:
        ValueError: a cell is negative or no integer, or all cells are zero.

    Example:
        >>> PairedTable.from_outcomes([1, 1, 0, 0], [1, 0, 0, 0])
        PairedTable(a=1, b=1, c=0, d=2)
    """

    a: int
    b: int
    c: int
    d: int

    def __post_init__(self) -> None:
        for cell in fields(self):
            object.__setattr__(self, cell.name, _count(cell.name, getattr(self, cell.name)))
        if self.n == 0:
            raise ValueError("a paired table needs at least one pair, got n = 0")

    @classmethod
    def from_outcomes(cls, first: Sequence[float], second: Sequence[float]) -> PairedTable:
        """Count pairs of outcomes; element i of both belongs to the same episode.

        Raises ValueError when lengths differ, when there is no pair, or when a value is neither
        0 nor 1.
        """
        if len(first) != len(second):
            raise ValueError(f"outcomes must be paired: {len(first)} first, {len(second)} second")
        packed, other = binary(first), binary(second)
        # as two long integers: a judge counts pairs of thousands of episodes at every look
        left, right = int.from_bytes(packed, "big"), int.from_bytes(other, "big")
        both = (left & right).bit_count()
        b, c = left.bit_count() - both, right.bit_count() - both
        return cls(both, b, c, len(packed) - both - b - c)

    @property
    def n(self) -> int:
        """Number of pairs."""
        return self.a + self.b + self.c + self.d

    @property
    def first(self) -> int:
        """Successes of the first condition."""
        return self.a + self.b

    @property
    def second(self) -> int:
        """Successes of the second condition."""
        return self.a + self.c

    @property
    def difference(self) -> float:
        """First rate minus second rate: (b - c) / n."""
        return (self.b - self.c) / self.n

    @property
    def swapped(self) -> PairedTable:
        """The same pairs with first and second exchanged."""
        return PairedTable(self.a, self.c, self.b, self.d)


def binary(outcomes: Sequence[float]) -> bytes:
    """The outcomes as bytes 0 and 1. Raises ValueError naming the first value that is neither."""
    if isinstance(outcomes, tuple | list | bytes):
        with suppress(TypeError, ValueError):  # such as 1.0: read one by one
            packed = bytes(cast("Sequence[int]", outcomes))
            if not packed.strip(b"\0\1"):
                return packed
    for index, value in enumerate(outcomes):
        if value not in (0, 1):
            raise ValueError(f"outcome {index} must be true or false (1 or 0), got {value!r}")
    return bytes(map(int, outcomes))


def check_counts(successes: int, n: int) -> None:
    """Raises ValueError unless both are integers, n > 0 and 0 <= successes <= n."""
    if _count("n", n) == 0:
        raise ValueError("n must be at least 1, got 0")
    if _count("successes", successes) > n:
        raise ValueError(f"successes must not exceed n: {successes} of {n}")


def _count(name: str, value: object) -> int:
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ValueError(f"{name} must be an integer count, got {value!r}") from None
    if isinstance(value, bool):
        raise ValueError(f"{name} must be an integer count, got {value!r}")
    if count < 0:
        raise ValueError(f"{name} must not be negative, got {count}")
    return count
