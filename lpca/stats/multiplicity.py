"""Adjustment of p-values for their number."""

from __future__ import annotations

from collections.abc import Sequence


def holm(pvalues: Sequence[float]) -> list[float]:
    """Step-down adjusted p-values, in the order given, each at most 1.

    The i-th smallest of m is multiplied by m - i + 1, then made non-decreasing. Raises ValueError
    for a value outside [0, 1]. Holm (1979), Scand. J. Stat. 6:65.
    """
    for p in pvalues:
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"a p-value must lie in [0, 1], got {p}")
    adjusted = [0.0] * len(pvalues)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(pvalues)), key=lambda i: pvalues[i])):
        largest = max(largest, min(1.0, (len(pvalues) - rank) * pvalues[index]))
        adjusted[index] = largest
    return adjusted
