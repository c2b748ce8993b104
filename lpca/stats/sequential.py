"""E-processes: evidence that may be read after every episode and acted on at any time.

An e-process starts at 1 and has mean at most 1 under its hypothesis at every stopping time, so
P(it ever reaches 1 / alpha) <= alpha (Ville 1939; Ramdas, Gruenwald, Vovk and Shafer 2023, Stat.
Sci. 38:576). Both here depend on the counts alone, not on the order in which they arrived.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from lpca.stats._normal import OneSided
from lpca.stats.tables import check_counts

BETS = 200
"""How many stakes the betting capital is spread over, evenly between none and the largest."""


def sign_evalue(b: int, c: int, direction: Literal["two-sided", "greater"] = "two-sided") -> float:
    """E-value against an even split of discordant pairs; inf where a float overflows.

    Exponential of `log_sign_evalue`, which says what is assumed and raised.
    """
    return _exp(log_sign_evalue(b, c, direction))


def log_sign_evalue(
    b: int, c: int, direction: Literal["two-sided", "greater"] = "two-sided"
) -> float:
    """Natural logarithm of the uniform mixture likelihood ratio for b of b + c discordant pairs.

    "two-sided" averages over p in (0, 1): 2^(b+c) B(b+1, c+1), against p = 1/2. "greater" averages
    over p in (1/2, 1), against p <= 1/2. Assumes that each discordant pair, given all before it,
    is a b with the same bound on its probability; any stopping rule is then allowed. Raises
    ValueError for counts that are negative or no integers, or another direction. Ville (1939);
    Robbins (1970), Ann. Math. Stat. 41:1397.
    """
    check_counts(b, max(b, 1))
    check_counts(c, max(c, 1))
    if direction not in ("two-sided", "greater"):
        raise ValueError(f"direction must be 'two-sided' or 'greater', got {direction!r}")
    mixture = (b + c) * math.log(2.0) + math.lgamma(b + 1) + math.lgamma(c + 1)
    mixture -= math.lgamma(b + c + 2)
    if direction == "two-sided":
        return mixture
    # The share of Beta(b+1, c+1) above 1/2 is a binomial tail; the smaller tail is summed.
    if b <= c:
        return math.log(_tail_over_edge(b, c + 1) / (c + 1))
    below = math.exp(-mixture - math.log(2.0)) * _tail_over_edge(c, b + 1) / (b + 1)
    return mixture + math.log(2.0) + math.log1p(-below)


def _tail_over_edge(k: int, rest: int) -> float:
    """Sum over i <= k of C(k + rest, i) / C(k + rest, k), for k < rest."""
    total = term = 1.0
    for step in range(k):
        term *= (k - step) / (rest + 1 + step)
        total += term
        if term < 1e-18 * total:
            break
    return total


def betting_evalue(
    values: Iterable[float] | Mapping[float, int],
    margin: float,
    low: float = -1.0,
    high: float = 1.0,
    alternative: OneSided = "greater",
) -> float:
    """E-value that a bounded mean is above the margin; inf where a float overflows.

    Exponential of `log_betting_evalue`, which says what is assumed and raised.
    """
    return _exp(log_betting_evalue(values, margin, low, high, alternative))


def log_betting_evalue(
    values: Iterable[float] | Mapping[float, int],
    margin: float,
    low: float = -1.0,
    high: float = 1.0,
    alternative: OneSided = "greater",
) -> float:
    """Natural logarithm of the capital won by betting that the mean exceeds the margin.

    The capital of a stake s in (0, 1 / (margin - low)) is the product over values of
    1 + s (value - margin); the e-value is the average over 200 evenly spaced stakes. `values` are
    in [low, high], or counts by value; "less" bets that the mean is below. For paired differences
    at margin 0 it is `sign_evalue(b, c, "greater")` but for the spacing. Assumes that under the
    hypothesis each value, given all before it, has a mean at most the margin (independent episodes
    do); nothing else of their distribution, and any stopping rule is allowed. Raises ValueError
    for a value outside [low, high], a margin not strictly inside, or another alternative.
    Waudby-Smith and Ramdas (2024), J. R. Stat. Soc. B 86:1; Cover (1991), Math. Finance 1:1.
    """
    import numpy as np

    if not low < margin < high:
        raise ValueError(f"margin must lie strictly between {low} and {high}, got {margin}")
    if alternative not in ("greater", "less"):
        raise ValueError(f"alternative must be 'greater' or 'less', got {alternative!r}")
    counts = values if isinstance(values, Mapping) else Counter(values)
    for value in counts:
        if not low <= value <= high:
            raise ValueError(f"every value must lie in [{low}, {high}], got {value}")
    sign, room = (1.0, margin - low) if alternative == "greater" else (-1.0, high - margin)
    stakes = (np.arange(BETS) + 0.5) / (BETS * room)
    capital = np.zeros(BETS)
    for value, count in counts.items():
        capital += count * np.log1p(stakes * sign * (value - margin))
    peak = float(capital.max())
    return peak + math.log(float(np.exp(capital - peak).mean()))


def log_mean_exp(logs: Sequence[float]) -> float:
    """Logarithm of the mean of exponentials: the average of e-values is an e-value."""
    peak = max(logs)
    return peak + math.log(math.fsum(math.exp(x - peak) for x in logs) / len(logs))


def _exp(logarithm: float) -> float:
    try:
        return math.exp(logarithm)
    except OverflowError:
        return math.inf
