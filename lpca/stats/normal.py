"""What every score method shares: the standard normal, checks of levels, and root finding."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Literal

OneSided = Literal["greater", "less"]

_STANDARD = NormalDist()


def z_value(confidence: float) -> float:
    """The z with P(|Z| < z) = confidence. Raises ValueError outside (0, 1)."""
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie strictly between 0 and 1, got {confidence}")
    return -_STANDARD.inv_cdf((1.0 - confidence) / 2.0)


def one_sided_z(alpha: float) -> float:
    """The z with P(Z > z) = alpha. Raises ValueError outside (0, 0.5)."""
    if not 0.0 < alpha < 0.5:
        raise ValueError(f"alpha must lie strictly between 0 and 0.5, got {alpha}")
    return -_STANDARD.inv_cdf(alpha)


def upper_tail(z: float) -> float:
    """P(Z > z), accurate far into the tail."""
    # erfc, not 1 - cdf: that loses every digit beyond z = 8
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def score_z(excess: float, variance: float) -> float:
    """`excess / sqrt(variance)` with its limits: 0 for 0/0, otherwise a signed infinity."""
    if variance > 0.0:
        return excess / math.sqrt(variance)
    return math.copysign(math.inf, excess) if excess else 0.0


def one_sided_p(z: float, alternative: OneSided) -> float:
    """P-value of z when large z favours "greater". Raises ValueError for another alternative."""
    if alternative == "greater":
        return upper_tail(z)
    if alternative == "less":
        return upper_tail(-z)
    raise ValueError(f"alternative must be 'greater' or 'less', got {alternative!r}")


def first_not(exceeds: Callable[[float], bool], low: float, high: float) -> float:
    """Least float in [low, high] at which the decreasing `exceeds` no longer holds.

    So `x < first_not(...)` and `exceeds(x)` are the same statement: an interval whose end is
    found here agrees with its own test at every float. `exceeds(high)` must be false.
    """
    if not exceeds(low):
        return low
    # ends when no float lies between the two: bisection to the last bit, at most some 1100 steps
    while low < (middle := 0.5 * (low + high)) < high:
        if exceeds(middle):
            low = middle
        else:
            high = middle
    return high
