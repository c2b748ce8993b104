"""Preservation of gain: the mean of `normal - f text - (1 - f) base` over episodes.

The value of an episode lies in a known finite set, so the counts are one multinomial and the mean
has a score test of Tango's kind: the variance is that of the best-fitting multinomial *on the
whole set* with the hypothesised mean. On {-1, 0, 1} it is Tango's test, on {0, 1} Wilson's. A
sample without spread therefore keeps an interval of positive width, unlike a t interval, and no
resampling is involved. Lang (2008), Stat. Med. 27:5975.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from lpca.stats.normal import OneSided, first_not, one_sided_p, z_value
from lpca.stats.tables import Interval, binary, check_counts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class ValueCounts:
    """How often each possible value occurred; `values` holds the unobserved ones too.

    Raises ValueError when lengths differ, when there are fewer than two distinct values, when a
    count is negative or no integer, or when all counts are zero.
    """

    values: tuple[float, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.values) != len(self.counts) or len(set(self.values)) < 2:
            raise ValueError("each of two or more distinct values needs one count")
        for count in self.counts:
            check_counts(count, max(1, sum(self.counts)))
        if self.n == 0:
            raise ValueError("at least one value must have been observed, got n = 0")

    @property
    def n(self) -> int:
        """Number of episodes."""
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """Mean observed value."""
        return self.total / self.n

    @cached_property
    def total(self) -> float:
        """Sum of all observed values."""
        return math.fsum(v * k for v, k in zip(self.values, self.counts, strict=True))

    @cached_property
    def seen(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The values that occurred and how often, as arrays."""
        import numpy as np

        values, counts = np.array(self.values), np.array(self.counts, dtype=float)
        return values[counts > 0], counts[counts > 0]

    @property
    def negated(self) -> ValueCounts:
        """The same counts of the negated values."""
        return ValueCounts(tuple(-v for v in self.values), self.counts)


MANY = 64
"""More values than that are summed as an array: marks take hundreds, outcomes at most eight."""


def gain_value(condition: float, text: float, base: float, fraction: float) -> float:
    """`condition - fraction text - (1 - fraction) base`, of outcomes (0, 1) or of rates."""
    # not f t + (1 - f) b, which may miss 1 where text and base both are 1
    return condition - (base + fraction * (text - base))


def gain_support(fraction: float) -> tuple[float, ...]:
    """All values an episode can take, ascending. Raises ValueError for f outside [0, 1]."""
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"fraction must lie in [0, 1], got {fraction}")
    bits = (0, 1)
    return tuple(sorted({gain_value(x, t, b, fraction) for x in bits for t in bits for b in bits}))


def gain_counts(
    condition: Sequence[float], text: Sequence[float], base: Sequence[float], fraction: float
) -> ValueCounts:
    """Count the values of paired outcomes.

    Args:
        condition: one outcome per episode, 0 or 1; element i of all three is the same episode.
        text: those with the message as text.
        base: those without.
        fraction: the share of the gain of text over base that is to be kept, in [0, 1].

    Returns:
        How often each possible value occurred.

    Raises:
        ValueError: lengths that differ or are zero, a value that is neither 0 nor 1, or a fraction
            outside [0, 1].

    Example:
        >>> gain_counts([1, 1, 0, 1], [1, 1, 1, 1], [0, 1, 0, 0], 0.5)
        ValueCounts(values=(-1.0, -0.5, 0.0, 0.5, 1.0), counts=(0, 1, 1, 2, 0))
    """
    if not len(condition) == len(text) == len(base):
        raise ValueError(f"unequal lengths: {len(condition)}, {len(text)}, {len(base)}")
    support = gain_support(fraction)
    seen = Counter[float]()
    episodes = Counter(zip(binary(condition), binary(text), binary(base), strict=True))
    for bits, count in episodes.items():
        seen[gain_value(*bits, fraction)] += count
    return ValueCounts(support, tuple(seen[value] for value in support))


def gain_interval(sample: ValueCounts, confidence: float = 0.95) -> Interval:
    """Score interval for the mean value: the means `gain_test` does not reject.

    Limits are found to the last bit. Lang (2008), Stat. Med. 27:5975.

    Args:
        sample: how often each value occurred.
        confidence: two-sided level in (0, 1).

    Returns:
        The interval, within the range of `sample.values`.

    Raises:
        ValueError: a confidence outside (0, 1).

    Example:
        >>> kept = gain_counts([1] * 40 + [0] * 10, [1] * 45 + [0] * 5, [1] * 12 + [0] * 38, 0.5)
        >>> seen = gain_interval(kept)
        >>> round(seen.low, 3), round(kept.mean, 3), round(seen.high, 3)
        (0.126, 0.23, 0.312)
    """
    z = z_value(confidence)
    return Interval(_gain_low(sample, z), -_gain_low(sample.negated, z))


def _gain_low(sample: ValueCounts, z: float) -> float:
    return first_not(lambda mean: above(sample, mean, z), min(sample.values), sample.mean)


def above(sample: ValueCounts, mean: float, z: float) -> bool:
    """Whether the score at `mean` is above z: whether the multiplier exceeds z^2 / excess."""
    excess = _excess(sample, mean)
    if excess <= 0.0:
        return False
    multiplier = z * z / excess
    return multiplier * (mean - min(sample.values)) < 1.0 and _slope(sample, mean, multiplier) > 0.0


def gain_test(sample: ValueCounts, margin: float = 0.0, alternative: OneSided = "greater") -> float:
    """One-sided p-value that the mean value is above ("greater") or below ("less") the margin.

    With m the multiplier of the restricted maximum likelihood p_v = k_v / (n (1 + m (v - margin)))
    the squared score is n (mean - margin) m, which equals Pearson's statistic against that fit; m
    stops at 1 / (margin - least value), where the fit places weight on that unobserved value. A
    sample lying wholly on the margin gives z = 0. Lang (2008), Stat. Med. 27:5975.

    Args:
        sample: how often each value occurred.
        margin: the mean under the hypothesis.
        alternative: the side that small p-values speak for.

    Returns:
        The p-value.

    Raises:
        ValueError: a margin outside the range of values, or another alternative.
    """
    return one_sided_p(gain_z(sample, margin), alternative)


def gain_z(sample: ValueCounts, margin: float) -> float:
    """The score of `gain_test`, positive above the margin; errors as there."""
    if not min(sample.values) <= margin <= max(sample.values):
        raise ValueError(f"margin must lie within the range of values, got {margin}")
    excess = _excess(sample, margin)
    if excess >= 0.0:
        return _score(sample, margin, excess)
    return -_score(sample.negated, -margin, -excess)


def _score(sample: ValueCounts, mean: float, excess: float) -> float:
    least = min(sample.values)
    if excess == 0.0:
        return 0.0
    if mean == least:
        return math.inf
    largest = 1.0 / (mean - least)

    def rising(multiplier: float) -> bool:
        return _slope(sample, mean, multiplier) > 0.0

    # only a value that was never seen may take weight at the end; else the root lies before it
    unobserved = sample.counts[sample.values.index(least)] == 0
    at_end = unobserved and rising(largest)
    return math.sqrt(excess * (largest if at_end else first_not(rising, 0.0, largest)))


def _excess(sample: ValueCounts, mean: float) -> float:
    if len(sample.values) > MANY:
        return sample.total - sample.n * mean
    return math.fsum(k * (v - mean) for v, k in zip(sample.values, sample.counts, strict=True))


def _slope(sample: ValueCounts, mean: float, multiplier: float) -> float:
    """Derivative of the log-likelihood in the multiplier; its root is the restricted fit."""
    if len(sample.values) > MANY:
        return _slope_of_many(sample, mean, multiplier)
    total = 0.0
    for value, count in zip(sample.values, sample.counts, strict=True):
        weight = 1.0 + multiplier * (value - mean)
        if count and weight <= 0.0:  # past the pole: an observed value would have no probability
            return -math.inf
        total += count * (value - mean) / weight if count else 0.0
    return total


def _slope_of_many(sample: ValueCounts, mean: float, multiplier: float) -> float:
    away = sample.seen[0] - mean
    weight = 1.0 + multiplier * away
    return float((sample.seen[1] * away / weight).sum()) if weight.min() > 0.0 else -math.inf


def fewer_p(before: Sequence[bool], after: Sequence[bool]) -> float:
    """Return the p-value of fewer successes after than before, of the same episodes.

    The exact McNemar test, one-sided: of those that differ, each is as likely lost as found
    (McNemar 1947).

    Example:
        >>> fewer_p([True, True, True, False], [False, False, False, False])
        0.125
    """
    # not scipy.stats: loading it takes longer than the checks that ask
    from scipy.special import bdtr

    lost = sum(b and not a for b, a in zip(before, after, strict=True))
    found = sum(a and not b for b, a in zip(before, after, strict=True))
    return float(bdtr(found, lost + found, 0.5))
