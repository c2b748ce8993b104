"""Whether a claim passes, for many samples at once: counts are numpy arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lpca.gatespec.model import Band, Claim, Difference, Equivalence, Gain, Rate, Ratio
from lpca.stats._normal import z_value
from lpca.stats.gain import gain_support, gain_value
from lpca.stats.paired import tango_excess, tango_variance
from lpca.stats.ratio import ratio_excess, ratio_variance

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Decision:
    """A claim's test on the counts of `size` kinds of episode.

    `cell` gives the kind of an episode from the outcomes of `conditions`; `passes` takes one array
    of counts per kind and the number of episodes.
    """

    conditions: tuple[str, ...]
    size: int
    cell: Callable[[Sequence[int]], int]
    passes: Callable[[Sequence[Array], int], Mask]


def decision(claim: Claim, confidence: float, equivalence_confidence: float) -> Decision:
    """The test by which `assess` decides the claim. Raises TypeError where there is none."""
    z, z_two = z_value(confidence), z_value(equivalence_confidence)
    match claim:
        case Difference(first, second, relation, margin):
            above = relation == ">"

            def beyond(counts: Sequence[Array], n: int) -> Mask:
                return _difference_beyond(counts, n, margin, z, above)

            return Decision((first, second), 3, _discordance, beyond)
        case Equivalence(first, second, margin):

            def within(counts: Sequence[Array], n: int) -> Mask:
                above = _difference_beyond(counts, n, -margin, z_two, True)
                return above & _difference_beyond(counts, n, margin, z_two, False)

            return Decision((first, second), 3, _discordance, within)
        case Band(condition, low, high):

            def inside(counts: Sequence[Array], n: int) -> Mask:
                above = _rate_beyond(counts, n, low, z_two, True)
                return above & _rate_beyond(counts, n, high, z_two, False)

            return Decision((condition,), 2, _failure, inside)
        case Rate(condition, relation, bound):
            above = relation == ">"
            return Decision(
                (condition,), 2, _failure, lambda k, n: _rate_beyond(k, n, bound, z, above)
            )
        case Gain(condition, text, base, fraction):
            values = gain_support(fraction)
            return Decision(
                (condition, text, base),
                len(values),
                lambda bits: values.index(gain_value(bits[0], bits[1], bits[2], fraction)),
                lambda counts, n: _mean_positive(values, counts, z),
            )
        case Ratio(first, second, relation, ratio):
            above = relation == ">"
            return Decision(
                (first, second), 4, _pair, lambda k, n: _ratio_beyond(k, ratio, z, above)
            )
    raise TypeError(f"no sound method decides a {type(claim).__name__}")


def _discordance(bits: Sequence[int]) -> int:
    return {1: 0, -1: 1, 0: 2}[bits[0] - bits[1]]


def _failure(bits: Sequence[int]) -> int:
    return 1 - bits[0]


def _pair(bits: Sequence[int]) -> int:
    return 3 - 2 * bits[0] - bits[1]


def _difference_beyond(
    counts: Sequence[Array], n: int, margin: float, z: float, above: bool
) -> Mask:
    b, c = counts[0], counts[1]
    excess, spread = tango_excess(b, c, n, margin), tango_variance(b, c, n, margin) ** 0.5
    return excess > z * spread if above else excess < -z * spread


def _ratio_beyond(counts: Sequence[Array], ratio: float, z: float, above: bool) -> Mask:
    a, b, c = counts[0], counts[1], counts[2]
    excess, spread = ratio_excess(a, b, c, ratio), ratio_variance(a, b, c, ratio) ** 0.5
    return excess > z * spread if above else excess < -z * spread


def _rate_beyond(counts: Sequence[Array], n: int, bound: float, z: float, above: bool) -> Mask:
    excess, spread = counts[0] - n * bound, math.sqrt(n * bound * (1.0 - bound))
    return excess > z * spread if above else excess < -z * spread


def _mean_positive(values: Sequence[float], counts: Sequence[Array], z: float) -> Mask:
    # gain._exceeds at mean 0, multiplied through by the excess so that nothing divides by zero
    excess = sum((value * k for value, k in zip(values, counts, strict=True)), 0.0 * counts[0])
    possible = (excess > 0.0) & (excess + z * z * min(values) > 0.0)
    safe = excess * possible + (1.0 - possible) * z * z
    slope = 0.0 * excess
    for value, k in zip(values, counts, strict=True):
        weight = safe + z * z * value
        slope = slope + value * k / (weight + (weight == 0.0))
    passed: Mask = possible & (slope > 0.0)
    return passed
