"""Marks in [0, 1] in place of successes: what an episode is worth to a claim, and how often.

A claim reads the mean of one bounded value per episode, of which only the two ends are known
beforehand. Its score is that of `lpca.stats.gain`, with the values that occurred and both ends as
the possible ones: the fit under the hypothesis may place weight on an end that was never seen, so
that equal marks, or rare losses that did not happen to occur, leave an interval of some width. A t
test passes such data falsely in up to .17 (`docs/statistics.md`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

from lpca.stats.claims import Decidable, Ratio, bounds_of_mean
from lpca.stats.gain import ValueCounts, above, gain_z
from lpca.stats.normal import first_not, one_sided_z, z_value
from lpca.stats.tables import Interval

LARGEST_N = 100_000
"""More episodes than that are no number that anybody is told."""
_DIGITS = 12
"""Values that differ less differ by rounding: 0.3 - 0.1 and 0.2 are one."""


def is_graded(columns: Sequence[Sequence[float]]) -> bool:
    """Whether an outcome is a mark strictly between 0 and 1; 0 and 1 alone are successes."""
    return any(
        0 < value < 1 for column in columns if not isinstance(column, bytes) for value in column
    )


def graded_sample(claim: Decidable, columns: Sequence[Sequence[float]]) -> ValueCounts | RatioMarks:
    """Count what episodes are worth to a claim.

    Args:
        claim: what is claimed.
        columns: the marks under each of its conditions; element i of all is the same episode.

    Returns:
        How often each value occurred; the pairs of marks themselves for a ratio.

    Raises:
        ValueError: lengths that differ or are zero, or a mark outside [0, 1].

    Example:
        >>> from lpca.stats.claims import Difference
        >>> graded_sample(Difference("normal", "p0", ">", 0.0), [[0.5, 0.75, 1], [0.25, 0.5, 1]])
        ValueCounts(values=(-1.0, 0.0, 0.25, 1.0), counts=(0, 1, 2, 0))
    """
    if len({len(column) for column in columns}) != 1:
        raise ValueError(f"unequal lengths: {', '.join(str(len(column)) for column in columns)}")
    for column in columns:
        for index, mark in enumerate(column):
            if not 0.0 <= mark <= 1.0:
                raise ValueError(f"mark {index} must lie in [0, 1], got {mark!r}")
    if isinstance(claim, Ratio):
        return RatioMarks(tuple(map(float, columns[0])), tuple(map(float, columns[1])))
    return values_counted(claim, columns)


def values_counted(claim: Decidable, columns: Sequence[Sequence[float]]) -> ValueCounts:
    """How often each value of a claim occurred, with the ends of what it may be."""
    possible = [float(claim.value(*bits)) for bits in product((0, 1), repeat=len(columns))]
    seen = Counter({min(possible): 0, max(possible): 0})
    seen.update(round(float(claim.value(*marks)), _DIGITS) for marks in zip(*columns, strict=True))
    values = tuple(sorted(seen))
    return ValueCounts(values, tuple(seen[value] for value in values))


@dataclass(frozen=True)
class RatioMarks:
    """Marks under two conditions, whose means are divided; raises ValueError without any."""

    first: tuple[float, ...]
    second: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.first:
            raise ValueError("a ratio needs at least one pair of marks, got none")

    @property
    def ratio(self) -> float:
        """Mean of the first over that of the second."""
        first, second = math.fsum(self.first), math.fsum(self.second)
        return first / second if second else math.inf if first else math.nan

    @property
    def swapped(self) -> RatioMarks:
        """The same pairs with first and second exchanged."""
        return RatioMarks(self.second, self.first)

    def at(self, ratio: float) -> ValueCounts:
        """How often each `first - ratio x second` occurred; their mean is 0 at the true ratio."""
        return values_counted(replace(_RATIO, ratio=ratio), (self.first, self.second))


_RATIO = Ratio("first", "second", ">", 1.0)


def ratio_marks_z(marks: RatioMarks, ratio: float) -> float:
    """The score of a ratio of means, positive above `ratio`, which is positive and finite."""
    return gain_z(marks.at(ratio), 0.0)


def ratio_marks_interval(marks: RatioMarks, confidence: float = 0.95) -> Interval:
    """The ratios of means that their score does not reject, in [0, inf].

    The lower limit is 0 where the first condition has no marks, the upper inf where the second has
    none. Raises ValueError for a confidence outside (0, 1).
    """
    z = z_value(confidence)
    inverse = _low(marks.swapped, z)
    return Interval(_low(marks, z), 1.0 / inverse if inverse > 0.0 else math.inf)


def _low(marks: RatioMarks, z: float) -> float:
    if not any(marks.first):
        return 0.0
    rejected = partial(_rejected, marks, z)
    high = marks.ratio if any(marks.second) else 1.0
    # without a mark of the second no ratio is observed: go up until one is accepted
    while not any(marks.second) and rejected(high):
        high *= 2.0
    return first_not(rejected, 0.0, high)


def _rejected(marks: RatioMarks, z: float, ratio: float) -> bool:
    return ratio == 0.0 or above(marks.at(ratio), 0.0, z)


def enough_marks(claim: Decidable, columns: Sequence[Sequence[float]], alpha: float) -> int | None:
    """About how many independent episodes show a claim with power 0.8, were the marks seen typical.

    The larger of what a normal mean of their spread takes, and of what the score takes while it
    thinks of an end that was never seen: n (mean - bound) = z^2 (bound - end), where the mean falls
    short of its expectation as often as it may.

    Args:
        claim: what is claimed.
        columns: the marks under each of its conditions, as of `graded_sample`.
        alpha: the one-sided level, in (0, 0.5).

    Returns:
        The number; None where the mean seen speaks against the claim.

    Example:
        >>> from lpca.stats.claims import Rate
        >>> enough_marks(Rate("normal", ">", 0.5), [[0.5, 0.7] * 20], 0.025)
        24
    """
    values = values_counted(claim, columns)
    region, mean = bounds_of_mean(claim), values.mean
    if not region.has_inside(mean):
        return None
    pairs = zip(values.values, values.counts, strict=True)
    variance = math.fsum(count * (value - mean) ** 2 for value, count in pairs) / values.n
    # either of two bounds may be missed: each is to be met with power 0.9
    z = one_sided_z(alpha)
    short = one_sided_z(0.1 if claim.is_two_sided else 0.2) * math.sqrt(variance)
    due = 1.0
    for bound, end in ((region.low, min(values.values)), (region.high, max(values.values))):
        if math.isfinite(bound):
            gap = abs(mean - bound)
            spread = (z * math.sqrt(variance) + short) / gap
            unseen = math.sqrt(short * short + 4.0 * gap * z * z * abs(bound - end))
            due = max(due, spread**2, ((short + unseen) / (2.0 * gap)) ** 2)
    return math.ceil(due) if due <= LARGEST_N else None
