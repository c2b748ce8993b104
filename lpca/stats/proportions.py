"""Success rates by the score method: one rate, the difference of two paired ones, their ratio.

A score test takes its variance *under the hypothesis tested*, so it stays sound where success is
certain or absent, and no zero cell needs a correction. Each interval is the set of hypotheses that
its own test does not reject: the two cannot disagree. Paired functions take the counts of one
`PairedTable`. What a verdict needs loads neither numpy nor scipy.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, TypeVar

from lpca.stats.normal import OneSided, first_not, one_sided_p, one_sided_z, score_z, z_value
from lpca.stats.tables import Interval, PairedTable, check_counts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Number = TypeVar("Number", float, npt.NDArray[np.float64])


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Two-sided score interval for a rate: the rates that `rate_test` does not reject.

    The rates r with |s - n r| <= z sqrt(n r (1 - r)). Wilson (1927), JASA 22:209.

    Args:
        successes: how many of the n episodes succeeded.
        n: number of episodes, at least 1.
        confidence: two-sided level in (0, 1).

    Returns:
        The interval in [0, 1]; 0 successes give a lower limit of exactly 0, n successes an upper
        limit of exactly 1.

    Raises:
        ValueError: counts that are no counts, or a confidence outside (0, 1).

    Example:
        >>> seen = wilson(45, 50)
        >>> round(seen.low, 3), round(seen.high, 3)
        (0.786, 0.957)
    """
    check_counts(successes, n)
    z = z_value(confidence)
    return Interval(_wilson_low(successes, n, z), 1.0 - _wilson_low(n - successes, n, z))


def _wilson_low(s: float, n: float, z: float) -> float:
    # The two roots multiply to s^2 / (n (n + z^2)); dividing by the larger loses no digits.
    larger = s + z * z / 2.0 + z * math.sqrt(s * (n - s) / n + z * z / 4.0)
    return s * s / (n * larger)


def rate_test(successes: int, n: int, bound: float, alternative: OneSided = "greater") -> float:
    """One-sided p-value of the score test that a rate is above ("greater") or below the bound.

    z = (s - n r) / sqrt(n r (1 - r)) at r = bound; bounds 0 and 1 give the limits. Wilson (1927),
    JASA 22:209.

    Args:
        successes: how many of the n episodes succeeded.
        n: number of episodes, at least 1.
        bound: the rate under the hypothesis, in [0, 1].
        alternative: the side that small p-values speak for.

    Returns:
        The p-value.

    Raises:
        ValueError: counts that are no counts, a bound outside [0, 1], or another alternative.

    Example:
        >>> round(rate_test(31, 90, 0.25), 4)
        0.0193
    """
    return one_sided_p(rate_z(successes, n, bound), alternative)


def rate_z(successes: int, n: int, bound: float) -> float:
    """The score of `rate_test`, positive above the bound; errors as there."""
    check_counts(successes, n)
    if not 0.0 <= bound <= 1.0:
        raise ValueError(f"bound must lie in [0, 1], got {bound}")
    return score_z(successes - n * bound, n * bound * (1.0 - bound))


def wilson_threshold(n: int, bound: float, confidence: float = 0.95) -> int | None:
    """Fewest successes out of n whose Wilson lower limit is at least the bound.

    Args:
        n: number of episodes, at least 1.
        bound: the rate to be shown, in [0, 1].
        confidence: two-sided level in (0, 1).

    Returns:
        The count; None when even n successes do not reach the bound.

    Raises:
        ValueError: as `wilson` does.

    Example:
        >>> wilson_threshold(50, 0.3), wilson_threshold(3, 0.5)
        (22, None)
    """
    check_counts(0, n)
    z = z_value(confidence)
    fewest = bisect_left(range(n + 1), bound, key=lambda s: _wilson_low(s, n, z))
    return fewest if fewest <= n else None


def tango_excess(b: Number, c: Number, n: int, delta: float) -> Number:
    """b - c minus its mean under a difference delta; counts may be numpy arrays."""
    return b - c - n * delta


def tango_variance(b: Number, c: Number, n: int, delta: float) -> Number:
    """Variance of b - c under the best-fitting table whose difference is delta.

    n (2 q + delta (1 - delta)), q the restricted maximum likelihood estimate of the rate of c:
    the non-negative root of 2n q^2 + B q - c delta (1 - delta) with
    B = (2n - b + c) delta - b - c. Tango (1998), Stat. Med. 17:891, eq. 9-14.
    """
    if delta < 0.0:  # the mirrored table keeps every term non-negative
        return tango_variance(c, b, n, -delta)
    slope = (2 * n - b + c) * delta - b - c
    q: Number = ((slope * slope + 8 * n * c * delta * (1.0 - delta)) ** 0.5 - slope) / (4 * n)
    # below a delta of some 1e-160 slope * slope is 0, and q would come out negative
    return n * (2.0 * q * (q > 0.0) + delta * (1.0 - delta))


def tango(table: PairedTable, confidence: float = 0.95) -> Interval:
    """Score interval for the difference of two paired rates, first minus second.

    Limits are found to the last bit, so `margin < interval.low` holds exactly when the one-sided
    `tango_test` at (1 - confidence) / 2 rejects. Tango (1998), Stat. Med. 17:891.

    Args:
        table: counts of paired outcomes; zero cells need no correction.
        confidence: two-sided level in (0, 1).

    Returns:
        The interval in [-1, 1]: the differences that `tango_test` does not reject.

    Raises:
        ValueError: a confidence outside (0, 1).

    Example:
        >>> seen = tango(PairedTable(a=20, b=60, c=5, d=15))
        >>> round(seen.low, 3), round(seen.high, 3)
        (0.423, 0.655)
    """
    z = z_value(confidence)
    return Interval(_tango_low(table, z), -_tango_low(table.swapped, z))


def _tango_low(table: PairedTable, z: float) -> float:
    b, c, n = table.b, table.c, table.n

    def rejected(delta: float) -> bool:
        return tango_excess(b, c, n, delta) > z * math.sqrt(tango_variance(b, c, n, delta))

    return first_not(rejected, -1.0, table.difference)


def tango_test(table: PairedTable, margin: float = 0.0, alternative: OneSided = "greater") -> float:
    """One-sided p-value that the difference is above ("greater") or below ("less") the margin.

    z = (b - c - n margin) / sqrt(restricted variance), in closed form. Where numerator and
    variance both vanish (no discordant pair at margin 0; every pair in b at margin 1) the limit
    is z = 0. Tango (1998), Stat. Med. 17:891.

    Args:
        table: counts of paired outcomes.
        margin: the difference under the hypothesis, in [-1, 1].
        alternative: the side that small p-values speak for.

    Returns:
        The p-value.

    Raises:
        ValueError: a margin outside [-1, 1], or another alternative.

    Example:
        >>> round(tango_test(PairedTable(a=20, b=20, c=9, d=51)), 4)
        0.0205
    """
    return one_sided_p(tango_z(table, margin), alternative)


def tango_z(table: PairedTable, margin: float) -> float:
    """The score of `tango_test`, positive above the margin; errors as there."""
    if not -1.0 <= margin <= 1.0:
        raise ValueError(f"margin must lie in [-1, 1], got {margin}")
    b, c, n = table.b, table.c, table.n
    return score_z(tango_excess(b, c, n, margin), tango_variance(b, c, n, margin))


def min_n_equivalence(margin: float, alpha: float = 0.05) -> int:
    """Fewest pairs at which any table can show equivalence within ±margin.

    With no discordant pair the score is sqrt(n margin / (1 - margin)), the largest any table
    gives, so n >= z^2 (1 - margin) / margin. Tango (1998), Stat. Med. 17:891.

    Args:
        margin: the largest difference that still counts as none, in (0, 1].
        alpha: level of each of the two one-sided tests, in (0, 0.5).

    Returns:
        The number of pairs, at least 1.

    Raises:
        ValueError: a margin or an alpha outside its range.

    Example:
        >>> min_n_equivalence(0.05), min_n_equivalence(0.02)
        (52, 133)
    """
    if not 0.0 < margin <= 1.0:
        raise ValueError(f"an equivalence margin must lie in (0, 1], got {margin}")
    z = one_sided_z(alpha)
    return max(1, math.ceil(z * z * (1.0 - margin) / margin))


def ratio_excess(a: Number, b: Number, c: Number, ratio: float) -> Number:
    """Successes of the first less ratio times those of the second, divided by max(1, ratio)."""
    return ((a + b) - ratio * (a + c)) / max(1.0, ratio)


def ratio_variance(a: Number, b: Number, c: Number, ratio: float) -> Number:
    """Variance of `ratio_excess` under the best-fitting table with this ratio.

    A pair in which neither succeeds says nothing about the ratio: d enters no formula. For
    ratio >= 1: ((1 + ratio) q + m (ratio - 1)) / ratio^2, with m = a + b + c and q the
    restricted maximum likelihood estimate of the expected c: the non-negative root of
    (1 + ratio) q^2 + B q - c m (ratio - 1) with B = (a + c) ratio^2 - (a + b + 2c). Nam and
    Blackwelder (2002), Stat. Med. 21:689.
    """
    if ratio < 1.0:  # the mirrored table keeps every term non-negative
        return ratio_variance(a, c, b, 1.0 / ratio)
    m = a + b + c
    slope = (a + c) * ratio * ratio - (a + b + 2 * c)
    lead = 1.0 + ratio
    q: Number = ((slope * slope + 4 * lead * c * m * (ratio - 1.0)) ** 0.5 - slope) / (2 * lead)
    return (lead * q + m * (ratio - 1.0)) / (ratio * ratio)


def ratio_score(table: PairedTable, confidence: float = 0.95) -> Interval:
    """Score interval for the ratio of two paired rates, first over second.

    Nam and Blackwelder (2002), Stat. Med. 21:689; Tang, Tang and Chan (2003), Stat. Med. 22:1217.

    Args:
        table: counts of paired outcomes.
        confidence: two-sided level in (0, 1).

    Returns:
        The interval in [0, inf]: the ratios that `ratio_test` accepts. The lower limit is 0 when
        the first never succeeds, the upper inf when the second never does; (0, inf) when neither
        does.

    Raises:
        ValueError: a confidence outside (0, 1).

    Example:
        >>> seen = ratio_score(PairedTable(a=40, b=10, c=20, d=30))
        >>> round(seen.low, 3), round(seen.high, 3)
        (0.675, 1.014)
    """
    z = z_value(confidence)
    inverse = _score_low(table.swapped, z)
    return Interval(_score_low(table, z), 1.0 / inverse if inverse > 0.0 else math.inf)


def _score_low(table: PairedTable, z: float) -> float:
    a, b, c = table.a, table.b, table.c
    if a + b == 0:
        return 0.0

    def rejected(ratio: float) -> bool:
        if ratio == 0.0:  # its variance would divide by zero; with a success it is impossible
            return True
        return ratio_excess(a, b, c, ratio) > z * math.sqrt(ratio_variance(a, b, c, ratio))

    high = (a + b) / (a + c) if a + c else 1.0
    # without a success of the second no ratio is observed: go up until one is accepted
    while a + c == 0 and rejected(high):
        high *= 2.0
    return first_not(rejected, 0.0, high)


def ratio_test(table: PairedTable, ratio: float, alternative: OneSided = "greater") -> float:
    """One-sided p-value that p1 / p2 is above ("greater") or below ("less") the ratio.

    z = (successes of first - ratio x successes of second) / sqrt(restricted variance). Without
    any success, or without discordant pairs at ratio 1, the limit z = 0 is taken. Nam and
    Blackwelder (2002), Stat. Med. 21:689.

    Args:
        table: counts of paired outcomes.
        ratio: the ratio under the hypothesis, positive and finite.
        alternative: the side that small p-values speak for.

    Returns:
        The p-value.

    Raises:
        ValueError: a ratio that is not positive and finite, or another alternative.

    Example:
        >>> round(ratio_test(PairedTable(a=40, b=10, c=20, d=30), 0.6), 4)
        0.0017
    """
    return one_sided_p(ratio_z(table, ratio), alternative)


def ratio_z(table: PairedTable, ratio: float) -> float:
    """The score of `ratio_test`, positive above the ratio; errors as there."""
    if not 0.0 < ratio < math.inf:
        raise ValueError(f"ratio must be positive and finite, got {ratio}")
    a, b, c = table.a, table.b, table.c
    return score_z(ratio_excess(a, b, c, ratio), ratio_variance(a, b, c, ratio))
