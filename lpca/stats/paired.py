"""The difference of two paired success rates, first minus second: intervals and tests.

Every function takes the counts of one `PairedTable`; differences are in [-1, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from lpca.stats._normal import OneSided, one_sided_p, one_sided_z, score_z, upper_tail, z_value
from lpca.stats._roots import first_not
from lpca.stats.proportions import wilson
from lpca.stats.tables import Interval, PairedTable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Number = TypeVar("Number", float, npt.NDArray[np.float64])


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
    return n * (2.0 * q + delta * (1.0 - delta))


def tango(table: PairedTable, confidence: float = 0.95) -> Interval:
    """Score interval for the difference: the deltas that `tango_test` does not reject.

    Limits are found to the last bit, so `margin < interval.low` holds exactly when the one-sided
    test at (1 - confidence) / 2 rejects. Zero cells need no correction. Raises ValueError for
    confidence outside (0, 1). Tango (1998), Stat. Med. 17:891.
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
    is z = 0. Raises ValueError for a margin outside [-1, 1]. Tango (1998), Stat. Med. 17:891.
    """
    if not -1.0 <= margin <= 1.0:
        raise ValueError(f"margin must lie in [-1, 1], got {margin}")
    b, c, n = table.b, table.c, table.n
    excess = tango_excess(b, c, n, margin)
    return one_sided_p(score_z(excess, tango_variance(b, c, n, margin)), alternative)


def newcombe(table: PairedTable, confidence: float = 0.95) -> Interval:
    """Square-and-add interval for the difference from two Wilson intervals: method 10.

    The correlation of the two rates enters through phi with Newcombe's correction: ad - bc is
    reduced by n/2, not below zero, when positive. Raises ValueError for confidence outside
    (0, 1). Newcombe (1998), Stat. Med. 17:2635.
    """
    n, phi = table.n, _corrected_phi(table)
    p1, p2 = table.first / n, table.second / n
    one, two = wilson(table.first, n, confidence), wilson(table.second, n, confidence)
    below = _add_squares(p1 - one.low, two.high - p2, phi)
    above = _add_squares(one.high - p1, p2 - two.low, phi)
    return Interval(max(table.difference - below, -1.0), min(table.difference + above, 1.0))


def _corrected_phi(table: PairedTable) -> float:
    a, b, c, d = table.a, table.b, table.c, table.d
    product = (a + b) * (c + d) * (a + c) * (b + d)
    if product == 0:
        return 0.0
    cross = float(a * d - b * c)
    if cross > 0.0:
        cross = max(cross - table.n / 2.0, 0.0)
    return cross / math.sqrt(product)


def _add_squares(x: float, y: float, phi: float) -> float:
    return math.sqrt(max(x * x - 2.0 * phi * x * y + y * y, 0.0))


def bonett_price(table: PairedTable, confidence: float = 0.95) -> Interval:
    """Wald interval for the difference after adding one to each of b and c, cut to [-1, 1].

    Raises ValueError for confidence outside (0, 1). Bonett and Price (2012), J. Educ. Behav.
    Stat. 37:479.
    """
    return _adjusted_wald(table, 1.0, confidence)


def agresti_min(table: PairedTable, confidence: float = 0.95) -> Interval:
    """Wald interval for the difference after adding 1/2 to every cell, cut to [-1, 1].

    Raises ValueError for confidence outside (0, 1). Agresti and Min (2005), Stat. Med. 24:729.
    """
    return _adjusted_wald(table, 0.5, confidence)


def _adjusted_wald(table: PairedTable, added: float, confidence: float) -> Interval:
    n = table.n + 2.0
    p12, p21 = (table.b + added) / n, (table.c + added) / n
    estimate = p12 - p21
    half = z_value(confidence) * math.sqrt((p12 + p21 - estimate * estimate) / n)
    return Interval(max(estimate - half, -1.0), min(estimate + half, 1.0))


def mcnemar(table: PairedTable, method: Literal["midp", "exact", "asymptotic"] = "midp") -> float:
    """Two-sided p-value that the two rates differ, from the discordant counts b and c.

    "exact" is the sign test, "midp" the same less half the probability of each observed tail
    point, "asymptotic" chi-squared on one degree of freedom without continuity correction.
    With no discordant pair each is 1. Raises ValueError for another method. McNemar (1947),
    Psychometrika 12:153; Fagerland, Lydersen and Laake (2013), BMC Med. Res. Methodol. 13:91.
    """
    if method not in ("midp", "exact", "asymptotic"):
        raise ValueError(f"method must be 'midp', 'exact' or 'asymptotic', got {method!r}")
    more, fewer = max(table.b, table.c), min(table.b, table.c)
    discordant = more + fewer
    if discordant == 0:
        return 1.0
    if method == "asymptotic":
        return 2.0 * upper_tail((more - fewer) / math.sqrt(discordant))
    from scipy.special import betainc

    tail = 2.0 * float(betainc(more, fewer + 1, 0.5))
    observed = math.comb(discordant, fewer) / 2**discordant if method == "midp" else 0.0
    return min(tail - observed, 1.0)


@dataclass(frozen=True)
class Tost:
    """Two one-sided tests of equivalence; `p_tost` is the larger of the two p-values."""

    p_lower: float
    p_upper: float
    p_tost: float
    equivalent: bool


def tost(table: PairedTable, margin: float, alpha: float = 0.05) -> Tost:
    """Equivalence of the two rates within ±margin, by two Tango score tests.

    `p_lower` tests difference > -margin, `p_upper` difference < margin; equivalent when both are
    below alpha, that is when the 1 - 2 alpha Tango interval lies inside. Raises ValueError for a
    margin outside (0, 1] or alpha outside (0, 0.5). Schuirmann (1987), J. Pharmacokinet.
    Biopharm. 15:657; Tango (1998), Stat. Med. 17:891.
    """
    _check_equivalence_margin(margin)
    one_sided_z(alpha)
    p_lower = tango_test(table, -margin, "greater")
    p_upper = tango_test(table, margin, "less")
    p_tost = max(p_lower, p_upper)
    return Tost(p_lower, p_upper, p_tost, p_tost < alpha)


def min_n_equivalence(margin: float, alpha: float = 0.05) -> int:
    """Fewest pairs at which any table can show equivalence within ±margin.

    With no discordant pair the score is sqrt(n margin / (1 - margin)), the largest any table
    gives, so n >= z^2 (1 - margin) / margin. Raises ValueError as `tost` does. Tango (1998),
    Stat. Med. 17:891.
    """
    _check_equivalence_margin(margin)
    z = one_sided_z(alpha)
    return max(1, math.ceil(z * z * (1.0 - margin) / margin))


def _check_equivalence_margin(margin: float) -> None:
    if not 0.0 < margin <= 1.0:
        raise ValueError(f"an equivalence margin must lie in (0, 1], got {margin}")
