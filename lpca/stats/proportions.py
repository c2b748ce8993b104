"""One success rate: intervals, a score test, the success count a bound asks for."""

from __future__ import annotations

import math
from bisect import bisect_left

from lpca.stats._normal import OneSided, TwoSided, one_sided_p, score_z, z_value
from lpca.stats.tables import Interval, check_counts


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Two-sided score interval for a rate.

    Inverts `rate_test`: the rates r with |s - n r| <= z sqrt(n r (1 - r)). 0 successes give a
    lower limit of exactly 0, n successes an upper limit of exactly 1. Raises ValueError for
    n < 1, successes outside 0..n, or confidence outside (0, 1). Wilson (1927), JASA 22:209.
    """
    check_counts(successes, n)
    z = z_value(confidence)
    return wilson_at(successes, n, z)


def wilson_at(successes: float, n: float, z: float) -> Interval:
    """The Wilson interval at a given normal quantile z; unchecked."""
    return Interval(_wilson_low(successes, n, z), 1.0 - _wilson_low(n - successes, n, z))


def _wilson_low(s: float, n: float, z: float) -> float:
    # The two roots multiply to s^2 / (n (n + z^2)); dividing by the larger loses no digits.
    larger = s + z * z / 2.0 + z * math.sqrt(s * (n - s) / n + z * z / 4.0)
    return s * s / (n * larger)


def clopper_pearson(
    successes: int, n: int, confidence: float = 0.95, alternative: TwoSided = "two-sided"
) -> Interval:
    """Exact interval for a rate, from beta quantiles.

    "greater" spends all of 1 - confidence on the lower limit (the upper is 1), "less" all on the
    upper (the lower is 0); "two-sided" spends half on each. Raises ValueError as `wilson` does.
    Clopper and Pearson (1934), Biometrika 26:404.
    """
    from scipy.special import betaincinv

    check_counts(successes, n)
    z_value(confidence)
    if alternative not in ("two-sided", "greater", "less"):
        raise ValueError(f"unknown alternative {alternative!r}")
    tail = (1.0 - confidence) / (2.0 if alternative == "two-sided" else 1.0)
    low, high = 0.0, 1.0
    if alternative != "less" and successes > 0:
        low = float(betaincinv(successes, n - successes + 1, tail))
    if alternative != "greater" and successes < n:
        high = float(betaincinv(successes + 1, n - successes, 1.0 - tail))
    return Interval(low, high)


def rate_test(successes: int, n: int, bound: float, alternative: OneSided = "greater") -> float:
    """One-sided p-value of the score test that a rate is above ("greater") or below the bound.

    z = (s - n r) / sqrt(n r (1 - r)) at r = bound; bounds 0 and 1 give the limits. Raises
    ValueError for counts as in `wilson` or a bound outside [0, 1]. Wilson (1927), JASA 22:209.
    """
    check_counts(successes, n)
    if not 0.0 <= bound <= 1.0:
        raise ValueError(f"bound must lie in [0, 1], got {bound}")
    excess = successes - n * bound
    return one_sided_p(score_z(excess, n * bound * (1.0 - bound)), alternative)


def wilson_threshold(n: int, bound: float, confidence: float = 0.95) -> int | None:
    """Fewest successes out of n whose Wilson lower limit is at least the bound.

    None when even n successes do not reach it. Raises ValueError as `wilson` does.
    """
    check_counts(0, n)
    z = z_value(confidence)
    fewest = bisect_left(range(n + 1), bound, key=lambda s: _wilson_low(s, n, z))
    return fewest if fewest <= n else None
