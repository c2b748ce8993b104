"""The ratio of two paired success rates, first over second: intervals and a test.

A pair in which neither succeeds says nothing about the ratio: d enters no formula here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from lpca.stats._normal import OneSided, one_sided_p, score_z, z_value
from lpca.stats._roots import first_not
from lpca.stats.proportions import wilson_at
from lpca.stats.tables import Interval, PairedTable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Number = TypeVar("Number", float, npt.NDArray[np.float64])


def ratio_excess(a: Number, b: Number, c: Number, ratio: float) -> Number:
    """Successes of the first less ratio times those of the second, divided by max(1, ratio)."""
    return ((a + b) - ratio * (a + c)) / max(1.0, ratio)


def ratio_variance(a: Number, b: Number, c: Number, ratio: float) -> Number:
    """Variance of `ratio_excess` under the best-fitting table with this ratio.

    For ratio >= 1: ((1 + ratio) q + m (ratio - 1)) / ratio^2, with m = a + b + c and q the
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
    """Score interval for the ratio p1 / p2, in [0, inf]: the ratios `ratio_test` accepts.

    The lower limit is 0 when the first never succeeds, the upper inf when the second never does;
    (0, inf) when neither does. Raises ValueError for confidence outside (0, 1). Nam and
    Blackwelder (2002), Stat. Med. 21:689; Tang, Tang and Chan (2003), Stat. Med. 22:1217.
    """
    z = z_value(confidence)
    inverse = _score_low(table.swapped, z)
    return Interval(_score_low(table, z), 1.0 / inverse if inverse > 0.0 else math.inf)


def _score_low(table: PairedTable, z: float) -> float:
    a, b, c = table.a, table.b, table.c
    if a + b == 0:
        return 0.0

    def rejected(ratio: float) -> bool:
        if ratio == 0.0:
            return True
        return ratio_excess(a, b, c, ratio) > z * math.sqrt(ratio_variance(a, b, c, ratio))

    high = (a + b) / (a + c) if a + c else 1.0
    while a + c == 0 and rejected(high):
        high *= 2.0
    return first_not(rejected, 0.0, high)


def ratio_test(table: PairedTable, ratio: float, alternative: OneSided = "greater") -> float:
    """One-sided p-value that p1 / p2 is above ("greater") or below ("less") the ratio.

    z = (successes of first - ratio x successes of second) / sqrt(restricted variance). Without
    any success, or without discordant pairs at ratio 1, the limit z = 0 is taken. Raises
    ValueError for a ratio that is not positive and finite. Nam and Blackwelder (2002), Stat. Med.
    21:689.
    """
    if not 0.0 < ratio < math.inf:
        raise ValueError(f"ratio must be positive and finite, got {ratio}")
    a, b, c = table.a, table.b, table.c
    excess = ratio_excess(a, b, c, ratio)
    return one_sided_p(score_z(excess, ratio_variance(a, b, c, ratio)), alternative)


def ratio_bonett_price(table: PairedTable, confidence: float = 0.95) -> Interval:
    """Hybrid interval for p1 / p2 from two Wilson intervals on the m = a + b + c informative pairs.

    The quantile is shrunk so that the two limits combine to the requested level. In [0, inf],
    with the same ends as `ratio_score` when a condition never succeeds. Raises ValueError for
    confidence outside (0, 1). Bonett and Price (2006), Stat. Med. 25:3039.
    """
    z = z_value(confidence)
    m = table.a + table.b + table.c
    if m == 0:
        return Interval(0.0, math.inf)
    x1, x2 = table.first, table.second
    joint = math.sqrt((table.b + table.c + 2) / ((x1 + 1) * (x2 + 1)))
    shrunk = z * joint / (_log_se(x1, m) + _log_se(x2, m))
    one, two = wilson_at(x1, m, shrunk), wilson_at(x2, m, shrunk)
    return Interval(one.low / two.high, one.high / two.low if two.low > 0.0 else math.inf)


def _log_se(successes: int, m: int) -> float:
    return math.sqrt((1.0 - (successes + 1) / (m + 2)) / (successes + 1))
