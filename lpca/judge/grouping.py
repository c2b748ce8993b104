"""Which rows of a table of outcomes are no independent evidence of one another."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lpca.gatespec.model import OF_DONORS, Cluster
from lpca.judge.outcomes import OutcomeTable

if TYPE_CHECKING:
    from lpca.stats.clusters import Clusters


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
