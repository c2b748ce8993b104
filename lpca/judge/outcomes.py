"""Outcomes of episodes under conditions: the one shape that gates are decided from."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lpca.base.errors import UserError
from lpca.gatespec.model import OF_DONORS, Cluster
from lpca.stats.tables import binary

if TYPE_CHECKING:
    from lpca.stats.clusters import Clusters

SHOWN = 5
"""How many offending episodes a message names."""
LONGEST = 80
"""How many characters of a value a message shows."""


class OutcomeError(UserError, ValueError):
    """Outcomes from which nothing may be decided; its text names the episodes at fault."""


_COLUMNS = {
    "answers": "strata",
    "groups": "groups",
    "donors": "donors",
    "donor_groups": "groups of donors",
    "repeats": "repeats",
}
"""What a row may say of its episode, and how messages call it."""


@dataclass(frozen=True)
class OutcomeTable:
    """Success of every episode under every condition.

    Row i is episode `seeds[i]`, read for the time that `repeats[i]` names where episodes are read
    more than once; its outcome under a condition is `outcomes[condition][i]`.

    Attributes:
        seeds: the episodes.
        outcomes: by condition true or false, or marks in [0, 1] where `graded`.
        answers: each row's stratum, `seen` or `unseen`; None where that is not known.
        groups: what each row's episode shares with others; None: every episode is its own group.
        donors: the episode whose message each row's shuffled one is.
        donor_groups: the groups of those.
        repeats: which reading of its episode each row is; None where each is read once.
        graded: whether outcomes are marks.
        undecided: by condition, where any of its outcomes lies within the receiver's numerical
            noise, a number for each row: 0 where the outcome is certain; equal numbers in one row
            belong to identical inputs, whose outcomes are one (`lpca.judge.rounding`).

    Raises:
        OutcomeError: no episode, a duplicated one, a column with more or fewer values than there
            are rows, an episode in two groups, or an outcome that is neither true nor false (1 or
            0; where graded, outside [0, 1]).
    """

    seeds: tuple[int | str, ...]
    outcomes: Mapping[str, tuple[float, ...]]
    answers: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    donors: tuple[int | str, ...] | None = None
    donor_groups: tuple[str, ...] | None = None
    repeats: tuple[str, ...] | None = None
    graded: bool = False
    undecided: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.seeds or not self.outcomes:
            raise OutcomeError("there is no outcome: no episode or no condition is given")
        for name, what in _COLUMNS.items():
            held = getattr(self, name)
            if held is not None and len(held) != self.n:
                raise OutcomeError(f"{len(held)} {what} for {self.n} episodes")
        self._refuse_duplicates()
        for condition, values in self.outcomes.items():
            self._check(condition, values)

    def _refuse_duplicates(self) -> None:
        """Raise OutcomeError for a row that stands twice or an episode in two groups."""
        if self.repeats is None:
            if self.units < self.n:
                repeated = [seed for seed, count in Counter(self.seeds).items() if count > 1]
                allowed = "one row each is allowed"
                raise OutcomeError(f"episodes stand twice: {shown(repeated)}; {allowed}")
            return
        rows = Counter(zip(self.seeds, self.repeats, strict=True))
        if len(rows) < self.n:
            repeated = [f"{seed} repeat {which}" for (seed, which), n in rows.items() if n > 1]
            raise OutcomeError(f"rows stand twice: {shown(repeated)}; one each is allowed")
        readings = Counter(self.seeds)
        most = max(readings.values())
        if short := [seed for seed, count in readings.items() if count < most]:
            allowed = f"every episode needs all {most} repeats"
            raise OutcomeError(f"repeats are missing of episodes {shown(short)}; {allowed}")
        pairs = set(zip(self.seeds, self.groups or self.seeds, strict=True))
        if len(pairs) > self.units:
            torn = [seed for seed, count in Counter(seed for seed, _ in pairs).items() if count > 1]
            raise OutcomeError(f"episodes are in two groups: {shown(torn)}; allowed: one")

    def _check(self, condition: str, values: tuple[float, ...]) -> None:
        if len(values) != self.n:
            raise OutcomeError(
                f"{condition} has {len(values)} outcomes for {self.n} episodes; "
                "every episode needs one under every condition"
            )
        if self.graded:
            beyond = [one for one in zip(self.seeds, values, strict=True) if not 0 <= one[1] <= 1]
            if beyond:
                told = shown([f"{seed} ({value})" for seed, value in beyond])
                raise OutcomeError(f"{condition} lies outside [0, 1] in episodes {told}")
            return
        try:
            binary(values)
        except ValueError:
            wrong = [
                seed for seed, value in zip(self.seeds, values, strict=True) if value not in (0, 1)
            ]
            raise OutcomeError(
                f"{condition} is neither true nor false in episodes {shown(wrong)}; "
                "allowed: true, false, 1, 0"
            ) from None

    @cached_property
    def packed(self) -> Mapping[str, Sequence[float]]:
        """The outcomes as bytes 0 and 1, which are counted fast; marks as they are."""
        if self.graded:
            return {name: tuple(map(float, values)) for name, values in self.outcomes.items()}
        return {name: binary(values) for name, values in self.outcomes.items()}

    @property
    def n(self) -> int:
        """Number of rows: of episodes, where none is repeated."""
        return len(self.seeds)

    @cached_property
    def units(self) -> int:
        """Number of distinct episodes."""
        return len(set(self.seeds))

    def rate(self, condition: str) -> float:
        """Share of rows that succeed under a condition, or their mean mark."""
        held = self.packed[condition]
        return (held.count(1) if isinstance(held, bytes) else math.fsum(held)) / self.n

    def head(self, n: int) -> OutcomeTable:
        """The first n episodes, with all of their rows."""
        if self.repeats is None:
            return self.rows(range(min(n, self.n)))
        first = set(list(dict.fromkeys(self.seeds))[:n])
        return self.rows([index for index, seed in enumerate(self.seeds) if seed in first])

    def stratum(self, answers: str) -> OutcomeTable:
        """The episodes of one stratum; all of them for `all`.

        Raises:
            OutcomeError: the strata are not given, or none of the episodes is in this one.
        """
        if answers == "all":
            return self
        if self.answers is None:
            raise OutcomeError(f"the episodes' strata are not given; {answers!r} is asked for")
        kept = [index for index, value in enumerate(self.answers) if value == answers]
        if not kept:
            raise OutcomeError(f"no episode has answers {answers!r}")
        return self.rows(kept)

    def rows(self, kept: Sequence[int]) -> OutcomeTable:
        """These rows, in this order."""
        columns: dict[str, Any] = {
            name: tuple(held[i] for i in kept)
            for name in _COLUMNS
            if (held := getattr(self, name)) is not None
        }
        return replace(
            self,
            seeds=tuple(self.seeds[i] for i in kept),
            outcomes={name: tuple(held[i] for i in kept) for name, held in self.outcomes.items()},
            undecided={name: tuple(held[i] for i in kept) for name, held in self.undecided.items()},
            **columns,
        )


def printable(text: str) -> str:
    """Somebody's text on one line, without what would steer a terminal or cannot be encoded."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def clipped(text: str) -> str:
    """Somebody's text as part of a message: its beginning, printable."""
    return printable(text if len(text) <= LONGEST else text[: LONGEST - 3] + "...")


def shown(values: Sequence[int | str]) -> str:
    """The first few of many values, for a message."""
    head = ", ".join(clipped(str(value)) for value in values[:SHOWN])
    return f"{head} and {len(values) - SHOWN} more" if len(values) > SHOWN else head


def clusters_of(
    table: OutcomeTable, conditions: Sequence[str], cluster: Cluster
) -> Clusters | None:
    """The groups that a claim about these conditions is decided over.

    A claim that reads a donor's message is decided over the donors' groups too; where an episode
    is a group of its own, over each episode and its donor. Repeats of an episode are one group
    whatever `cluster` says: they are no episodes.

    Returns:
        The groups; None where every row stands for itself.
    """
    by_group = cluster == "group"
    repeated = table.repeats is not None
    own = table.groups if by_group and table.groups else table.seeds
    donors = table.donor_groups if by_group and table.groups else table.donors
    if not by_group or not any(name in OF_DONORS for name in conditions):
        donors = None
    if donors is None and not repeated and len(set(own)) == table.n:
        return None
    from lpca.stats.clusters import Clusters, codes_of

    codes = codes_of([*own, *(donors or ())])
    return Clusters(codes[: table.n], codes[table.n :] if donors else None)


@dataclass(frozen=True)
class WholeGroups:
    """A table put in order group by group, of which only whole groups are read.

    Groups come in the order in which they first appear, so that a table that keeps each together
    stays as it is. Part of a group would be weighed as if it were all of it.
    """

    table: OutcomeTable
    ends: Sequence[int]
    """Rising numbers of rows that cut no group; the last is all of them."""
    all_are_there: bool
    """Whether none of the rows that were declared is missing, so that the last group is whole."""

    @classmethod
    def of(cls, table: OutcomeTable, cluster: Cluster, complete: bool) -> WholeGroups:
        """Put rows in order; not `complete`, more are to come and the last group may go on."""
        grouped = table.groups if cluster == "group" else None
        names = grouped or table.seeds
        first = {name: place for place, name in reversed(list(enumerate(names)))}
        order = sorted(range(table.n), key=lambda index: first[names[index]])
        inner = [i for i in range(1, table.n) if names[order[i]] != names[order[i - 1]]]
        kept = table if order == list(range(table.n)) else table.rows(order)
        return cls(kept, [0, *inner, table.n], complete)

    def head(self, size: int) -> OutcomeTable | None:
        """The whole groups among the first `size` episodes; None where there is none.

        A group that ends with them might go on, and is left out. So it is where later rows show
        that it does not: a look is the same whether it is taken when its episodes are there or
        afterwards. Where every group so far is one episode, the last is taken to be one too.
        """
        each = self.table.n // self.table.units
        rows = size * each
        last = bisect_right(self.ends, rows) - 1
        is_last_look = self.all_are_there and rows >= self.table.n
        if self.ends[last] == rows and last * each < rows and not is_last_look:
            last -= 1
        end = self.ends[last]
        return self.table.rows(range(end)) if end else None
