"""Outcomes that rounding could turn: which they are, and a claim's two readings of them.

A receiver's scores differ by some nats' fractions with the batch in which they are computed. An
outcome whose deciding gap lies within that noise is undecided. A claim is then read with all of
them at its least value and with all at its largest; what both say, and what was measured says too,
does not depend on which rounding happened.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from lpca.judge.outcomes import OutcomeTable
from lpca.stats.claims import Claim, decidable
from lpca.stats.tables import binary

Packed = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Read:
    """One answer under one condition.

    Attributes:
        success: the outcome as it counts.
        gap: in nats, how far it is from being another.
        prompt: what names the tokens that B was given.
        vectors: what names the vectors injected among them; empty for none.
    """

    success: float
    gap: float
    prompt: Hashable
    vectors: Hashable

    def has_inputs_of(self, other: Read) -> bool:
        """Whether B was given the same: tokens, or the embeddings of these very tokens."""
        by_token = not self.vectors or not other.vectors
        return self.prompt == other.prompt and (by_token or self.vectors == other.vectors)


def undecided_of(reads: Mapping[str, Read], noise: Mapping[str, float]) -> dict[str, int]:
    """Number the undecided outcomes of one episode, alike where inputs are identical.

    Args:
        reads: by condition one answer of the episode.
        noise: by condition that of its gaps, in nats.

    Returns:
        By condition a number above 0 where its outcome is undecided. It is not, where another
        condition with the same inputs has the same outcome for certain.

    Example:
        >>> text, null = Read(1, 0.1, "lima", ""), Read(0, -3.0, "", "zeros")
        >>> undecided_of({"p1": text, "null": null}, {"p1": 0.2, "null": 0.2})
        {'p1': 2}
    """
    found = {}
    names = sorted(reads)
    for name in names:
        read = reads[name]
        if abs(read.gap) > noise[name]:
            continue
        same = [other for other in names if read.has_inputs_of(reads[other])]
        certain = [reads[other] for other in same if abs(reads[other].gap) > noise[other]]
        if not any(other.success == read.success for other in certain):
            found[name] = 1 + names.index(same[0])
    return found


@dataclass(frozen=True)
class Resolved:
    """Outcomes by condition with the undecided ones all at a claim's least value, or its largest.

    `episodes` counts the rows in which the two differ.
    """

    least: Packed
    most: Packed
    episodes: int


def resolved(claim: Claim, table: OutcomeTable) -> Resolved | None:
    """A claim's undecided outcomes resolved either way; None where none of them moves it.

    Marks may come to anything from 0 to 1, successes to either.

    Raises:
        TypeError: a claim that no sound method decides.
    """
    claim, names = decidable(claim), claim.conditions
    columns = [table.packed[name] for name in names]
    none = (0,) * table.n
    numbers = [table.undecided.get(name, none) for name in names]
    least, most = ([list(column) for column in columns] for _ in range(2))
    moved = 0
    for row, turning in enumerate(zip(*numbers, strict=True)):
        kinds = sorted({*turning} - {0})
        if not kinds:
            continue
        tried = []
        for given in product((0, 1), repeat=len(kinds)):
            marks = dict(zip(kinds, given, strict=True))
            own = [
                marks[kind] if kind else column[row]
                for kind, column in zip(turning, columns, strict=True)
            ]
            tried.append((claim.value(*own), own))
        low, high = (end(tried, key=lambda one: one[0]) for end in (min, max))
        moved += low[0] != high[0]
        for place in range(len(names)):
            least[place][row], most[place][row] = low[1][place], high[1][place]
    if not moved:
        return None
    packed = tuple if table.graded else binary
    low_ends, high_ends = (
        {name: packed(column) for name, column in zip(names, way, strict=True)}
        for way in (least, most)
    )
    return Resolved(low_ends, high_ends, moved)
