"""Seeded draws that tasks of lists of options share: balanced, and fit for donors."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


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
