"""Whose message a row gets under `shuffle`: one whose answer is a wrong option of the row."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from typing import TYPE_CHECKING

from lpca.tasks import TaskError, message_key
from lpca.tasks.fields import Row, clash
from lpca.tasks.rows import stands_in

if TYPE_CHECKING:
    from scipy.sparse import csr_array

WIDTH = 64
"""How many rows are looked at, at most, for each answer that a donor may have."""
TRIED = 50
"""How many sets of rows, each larger by one, are tried for n that have donors together."""


def drawn(order: Sequence[Row], n: int, loosely: bool = False) -> tuple[list[Row], list[int]]:
    """Return n rows, and of each the index of its donor: a derangement.

    A donor has another message, and one of the row's wrong options as its answer; `loosely` any
    other answer.

    They are the first of `order` where those can be each other's donors; else n of the first that
    can, so that of yes and no equally many are drawn. Which rows are drawn follows from their
    texts alone, never from an outcome.

    Raises TaskError when no n rows can.
    """
    if donors := _all_matched(order[:n], loosely):
        return list(order[:n]), donors

    def cycles_of(size: int) -> list[list[int]]:
        return _cycles(order[:size], loosely)

    low = high = n
    while (most := _count(cycles_of(high))) < n:
        if high == len(order):
            raise TaskError(_too_few(order, n, most))
        low, high = high, min(len(order), 5 * high // 4 + 1)
    enough = bisect_left(range(high), n, lo=low, key=lambda size: _count(cycles_of(size)))
    for size in range(enough, min(len(order), enough + TRIED) + 1):
        if chosen := _together(cycles_of(size), n):
            return _laid_out(order, chosen)
    raise TaskError(_too_few(order, n, _count(cycles_of(len(order)))))


def _too_few(order: Sequence[Row], n: int, most: int) -> str:
    allowed = "another n" if most >= n else f"at most {most}" if most else "none"
    return (
        f"{len(order) - most} of {len(order)} episodes cannot be contradicted: no other episode, "
        "with another message, has one of their wrong options as its answer and is not needed as "
        f"a donor elsewhere; {n} are asked for; allowed: {allowed}, or add episodes whose answers "
        "are wrong options of others"
    )


def _all_matched(rows: Sequence[Row], loosely: bool) -> list[int] | None:
    """By row the index of its donor, each donor once; None where that cannot be.

    Donors that do not even mention the row's own answer are taken where all rows find one.
    """
    for silent in (True, False):
        if donors := matched(_edges(rows, silent, loosely)):
            return donors
    return None


def matched(edges: Sequence[Sequence[int]]) -> list[int] | None:
    """By episode one of those that may be its donor, each donor once; None where that cannot be.

    Args:
        edges: by episode the indices of the episodes that may be its donor.
    """
    from scipy.sparse.csgraph import maximum_bipartite_matching

    donors = maximum_bipartite_matching(_graph(edges), perm_type="column").tolist()
    return donors if min(donors) >= 0 else None


def _cycles(rows: Sequence[Row], loosely: bool) -> list[list[int]]:
    """As many rows as can be each other's donors, in cycles: each row's donor is the next one."""
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    # A row that is left out is its own donor, which costs more.
    found = _edges(rows, False, loosely)
    edges = [[*donors, index] for index, donors in enumerate(found)]
    weights = [[1] * len(donors) + [2] for donors in found]
    starts, ends = min_weight_full_bipartite_matching(_graph(edges, weights))
    donor = dict(zip(starts.tolist(), ends.tolist(), strict=True))
    cycles = []
    while donor:
        index, following = donor.popitem()
        cycle = [index]
        while following != index:
            cycle.append(following)
            following = donor.pop(following)
        cycles.append(cycle)
    return [cycle for cycle in cycles if len(cycle) > 1]


def _count(cycles: Sequence[Sequence[int]]) -> int:
    return sum(map(len, cycles))


def _together(cycles: Sequence[list[int]], n: int) -> list[list[int]]:
    """Cycles that have n rows together; none where no choice of them does."""
    reached: dict[int, tuple[list[int], int]] = {}
    for cycle in sorted(cycles, key=len, reverse=True):
        for total in (0, *reached):
            if (more := total + len(cycle)) <= n and more not in reached:
                reached[more] = (cycle, total)
        if n in reached:
            break
    chosen, total = list[list[int]](), n if n in reached else 0
    while total:
        cycle, total = reached[total]
        chosen.append(cycle)
    return chosen


def _laid_out(order: Sequence[Row], cycles: Sequence[Sequence[int]]) -> tuple[list[Row], list[int]]:
    indices = sorted(chain.from_iterable(cycles))
    place = {index: i for i, index in enumerate(indices)}
    donors = [0] * len(indices)
    for cycle in cycles:
        for index, following in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            donors[place[index]] = place[following]
    return [order[index] for index in indices], donors


def _graph(edges: Sequence[Sequence[int]], weights: Sequence[Sequence[int]] = ()) -> csr_array:
    from scipy.sparse import csr_array

    ends = list(chain.from_iterable(edges))
    data = list(chain.from_iterable(weights)) or [1] * len(ends)
    starts = list(accumulate(map(len, edges), initial=0))
    return csr_array((data, ends, starts), shape=(len(edges), len(edges)))


def _edges(rows: Sequence[Row], silent: bool, loosely: bool) -> list[list[int]]:
    """By row the rows that may be its donors; with `silent` only such as do not name its answer."""
    folded = [row.message.casefold() for row in rows]
    keys = [message_key(row.message) for row in rows]
    by_answer: dict[str, list[int]] = defaultdict(list)
    by_kind: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        by_answer[row.answer].append(index)
        by_kind[row.kind].append(index)
    fits = _other_answer if loosely else contradicts
    return [
        [
            donor
            for donor in _near(rows, index, None if loosely else by_answer, by_kind)
            if keys[donor] != keys[index]
            and fits(rows[donor].answer, row)
            and not (silent and row.answer.casefold() in folded[donor])
        ]
        for index, row in enumerate(rows)
    ]


def _near(
    rows: Sequence[Row],
    index: int,
    by_answer: dict[str, list[int]] | None,
    by_kind: dict[str, list[int]],
) -> Iterator[int]:
    """Rows that may contradict one, the nearest behind it first."""
    row = rows[index]
    if not row.options or by_answer is None:
        alike = by_kind[row.kind]
        yield from _window(alike, bisect_left(alike, index + 1))
        return
    for option in row.options:
        if option != row.answer:
            yield from _window(by_answer.get(option, ()), index)


def _window(items: Sequence[int], start: int) -> Iterator[int]:
    for step in range(min(WIDTH, len(items))):
        yield items[(start + step) % len(items)]


def contradicts(answer: str, row: Row) -> bool:
    """Whether an answer can stand as a wrong option of a row.

    Where a row names no options, an answer that B's context holds cannot: what B is told of it
    would show that it is wrong.
    """
    if row.options:
        return answer in row.options and answer != row.answer
    return _other_answer(answer, row) and not stands_in(answer, "".join(row.context))


def _other_answer(answer: str, row: Row) -> bool:
    return not any(clash(answer, right) for right in (row.answer, *row.also))


def distractors(
    row: Row, taken: Sequence[str], pool: Sequence[str], count: int, rng: random.Random
) -> list[str]:
    """Draw wrong options beside those taken: the row's own first, then answers of others.

    An answer is drawn as often as episodes have it. Raises TaskError when the pool has too few.
    """
    found = list(taken)
    own = rng.sample(row.distractors, len(row.distractors)) if row.distractors else []
    for answer in chain(own, _shuffled(pool, rng)) if count else ():
        if any(clash(answer, other) for other in found) or not contradicts(answer, row):
            continue
        found.append(answer)
        if len(found) == len(taken) + count:
            break
    if len(found) < len(taken) + count:
        raise TaskError(
            f"line {row.line}: only {len(found) + 1} different answers of its split, its own "
            "included, can be its options; allowed: fewer `options`, or `options` in the rows",
            "options",
        )
    return found[len(taken) :]


def _shuffled(pool: Sequence[str], rng: random.Random) -> Iterator[str]:
    """Some at random, which nearly always suffice, then all."""
    for _ in range(min(len(pool), WIDTH)):
        yield rng.choice(pool)
    yield from rng.sample(pool, len(pool))
