"""Names, wordings and seeded draws that tasks of lists of options share."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from types import MappingProxyType
from typing import TypeVar

from lpca.tasks.base import Split

_T = TypeVar("_T")

SHARES: Mapping[Split, tuple[int, ...]] = MappingProxyType(
    {"train": (0, 1, 2), "validation": (3,), "test": (4,)}
)
"""Each split's share of the pairs of a seen answer and a training wording, in fifths."""


def listed(file: str) -> list[str]:
    """Return the lines of one of the tasks' data files; those that begin with `#` are comments."""
    text = files("lpca.tasks").joinpath("data", file).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def hash_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names in an order of no meaning that never changes: that of their SHA-256."""
    return tuple(sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest()))


def own_share(wordings: Sequence[str], split: Split, shift: int) -> tuple[str, ...]:
    """Return the wordings a split may tell one answer in; `shift` is the answer's own number."""
    parts = sum(map(len, SHARES.values()))
    return tuple(w for i, w in enumerate(wordings) if (shift + i) % parts in SHARES[split])


def least_used(allowed: Sequence[Sequence[str]], rng: random.Random) -> list[str]:
    """For each entry one of its wordings, of those the one that came least so far."""
    counts: Counter[str] = Counter()
    chosen = []
    for own in allowed:
        fewest = min(counts[wording] for wording in own)
        wording = rng.choice([one for one in own if counts[one] == fewest])
        counts[wording] += 1
        chosen.append(wording)
    return chosen


def cycle_of(names: Sequence[str], n: int, rng: random.Random) -> list[str]:
    """Return n names of which no two neighbours, first and last included, are equal."""
    drawn: list[str] = []
    while len(drawn) < n:
        order = rng.sample(names, len(names))
        if drawn and order[0] == drawn[-1]:
            order.reverse()
        drawn += order[: n - len(drawn)]
    if n > 1 and drawn[-1] == drawn[0]:
        drawn[-1] = others(names, {drawn[0], drawn[-2]}, 1, rng)[0]
    return drawn


def others(names: Sequence[str], taken: set[str], count: int, rng: random.Random) -> list[str]:
    """Return `count` different names, none of those that are taken."""
    return rng.sample([name for name in names if name not in taken], count)


def balanced(values: Sequence[_T], n: int, rng: random.Random) -> list[_T]:
    """Return n values in random order, each as often as the others or once oftener."""
    items = [values[i % len(values)] for i in range(n)]
    rng.shuffle(items)
    return items
