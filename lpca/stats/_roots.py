"""Root finding to the last bit."""

from __future__ import annotations

from collections.abc import Callable


def first_not(exceeds: Callable[[float], bool], low: float, high: float) -> float:
    """Least float in [low, high] at which the decreasing `exceeds` no longer holds.

    So `x < first_not(...)` and `exceeds(x)` are the same statement: an interval whose end is
    found here agrees with its own test at every float. `exceeds(high)` must be false.
    """
    if not exceeds(low):
        return low
    while low < (middle := 0.5 * (low + high)) < high:
        if exceeds(middle):
            low = middle
        else:
            high = middle
    return high
