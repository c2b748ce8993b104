"""Many samples decided at once, each as `assess` and `decide` do it, for power and adversaries.

A claim reads only how many episodes are of each of a few kinds. Its scores follow from arrays of
such counts, one element per sample; what is decided from them follows `lpca.stats.verdicts`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

from lpca.stats.claims import Claim, Decidable, Gain, Rate, Ratio, bounds_of_mean, decidable
from lpca.stats.gain import gain_support
from lpca.stats.normal import upper_tail, z_value
from lpca.stats.proportions import ratio_excess, ratio_variance, tango_excess, tango_variance
from lpca.stats.sequential import STAKES
from lpca.stats.tables import Interval

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]
    Codes = npt.NDArray[np.int8]
    Passes = Callable[[Sequence[Array], int], Mask]

INCONCLUSIVE, PASS, FAIL = 0, 1, 2
"""Verdicts as numbers, for arrays of them."""
_BISECTIONS = 60
"""Halvings that place a gain's restricted fit to the last bits."""


@dataclass(frozen=True)
class BatchTest:
    """How a claim is decided from counts of `kinds` kinds of episode, in many samples at once.

    Counts are given as one array per kind, all of one shape; n is the number of episodes.

    Example:
        >>> import numpy as np
        >>> from lpca.stats.claims import Difference
        >>> above = BatchTest.of(Difference("normal", "p0", ">", 0.1))
        >>> above.passes(0.95)([np.array([60.0, 15.0]), np.array([5.0, 9.0]), 0.0], 100)
        array([ True, False])
    """

    claim: Decidable

    @classmethod
    def of(cls, claim: Claim) -> BatchTest:
        """The test of a claim; TypeError for one that no sound method decides."""
        return cls(decidable(claim))

    @cached_property
    def values(self) -> tuple[float, ...]:
        """By kind: the value of such an episode, whose mean the claim speaks of."""
        claim = self.claim
        if isinstance(claim, Gain):
            return gain_support(claim.fraction)
        if isinstance(claim, Ratio):  # reads all four cells of a table, not only b and c
            return tuple(claim.value(*bits) for bits in ((1, 1), (1, 0), (0, 1), (0, 0)))
        return (1.0, -1.0, 0.0) if len(claim.conditions) == 2 else (1.0, 0.0)

    @property
    def kinds(self) -> int:
        """How many kinds of episode it tells apart."""
        return len(self.values)

    def kind(self, bits: Sequence[int]) -> int:
        """The kind of an episode, from the outcomes of the claim's conditions."""
        if isinstance(self.claim, Ratio):
            return 3 - 2 * bits[0] - bits[1]
        return self.values.index(self.claim.value(*bits))

    def level(self, confidence: float, equivalence_confidence: float) -> float:
        """The confidence that it is decided at."""
        return equivalence_confidence if self.claim.is_two_sided else confidence

    def passes(self, confidence: float) -> Passes:
        """Whether the claim is shown, as `Assessment.holds` says it."""
        z = z_value(confidence)
        if isinstance(self.claim, Gain):
            return lambda counts, _: _mean_is_positive(self.values, z, counts)
        return lambda counts, n: self.scores(counts, n)[0] > z

    def scores(self, counts: Sequence[Array], n: int) -> tuple[Array, Array]:
        """Standard scores for the claim and for its opposite.

        `p_pass` of an assessment is `upper_tail` of the first, `p_fail` that of the second.
        """
        import numpy as np

        region, toward, against = self.claim.region, [], []
        if region.low > -math.inf:
            score = self._score(counts, n, region.low)
            toward.append(score)
            against.append(-score)
        if region.high < math.inf:
            score = self._score(counts, n, region.high)
            toward.append(-score)
            against.append(score)
        # all of two one-sided tests must reject; either alone contradicts
        return np.minimum.reduce(toward), np.maximum.reduce(against)

    def _score(self, counts: Sequence[Array], n: int, bound: float) -> Array:
        claim = self.claim
        if isinstance(claim, Gain):
            return _gain_score(self.values, counts)
        if isinstance(claim, Ratio):
            a, b, c = counts[0], counts[1], counts[2]
            return _standard(ratio_excess(a, b, c, bound), ratio_variance(a, b, c, bound))
        if len(claim.conditions) == 2:
            b, c = counts[0], counts[1]
            return _standard(tango_excess(b, c, n, bound), tango_variance(b, c, n, bound))
        variance = n * bound * (1.0 - bound) + 0.0 * counts[0]
        return _standard(counts[0] - n * bound, variance)

    def log_evalues(self, counts: Sequence[Array]) -> tuple[Array, Array]:
        """Logarithms of the e-values for the claim and for its opposite.

        Raises:
            ValueError: a bound that no value can pass.
        """
        import numpy as np

        if isinstance(self.claim, Rate) or len(self.claim.conditions) == 1:
            possible = (0.0, 1.0)
        else:
            bits = product((0.0, 1.0), repeat=len(self.claim.conditions))
            seen = [self.claim.value(*one) for one in bits]
            possible = (min(seen), max(seen))
        span, region = Interval(*possible), bounds_of_mean(self.claim)
        stacked = np.stack(np.broadcast_arrays(*counts), axis=-1).astype(np.float64)
        toward, against = [], []
        if region.low > -math.inf:
            toward.append(_log_capital(self.values, stacked, region.low, span, 1.0))
            against.append(_log_capital(self.values, stacked, region.low, span, -1.0))
        if region.high < math.inf:
            toward.append(_log_capital(self.values, stacked, region.high, span, -1.0))
            against.append(_log_capital(self.values, stacked, region.high, span, 1.0))
        # a band holds only if both sides do; it fails if either does, and a mean of e-values is one
        opposed = np.logaddexp.reduce(against) - math.log(len(against))
        return np.minimum.reduce(toward), opposed


def _standard(excess: Array, variance: Array) -> Array:
    """`excess / sqrt(variance)` with the limits of `lpca.stats.normal.score_z`."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        score = excess / np.sqrt(variance)
    # 0 / 0 is a sample that lies on the hypothesis
    return np.where((variance <= 0.0) & (excess == 0.0), 0.0, score)


def _mean_is_positive(values: Sequence[float], z: float, counts: Sequence[Array]) -> Mask:
    # the score of `lpca.stats.gain` at mean 0, multiplied through by the excess: no division
    excess = sum((value * k for value, k in zip(values, counts, strict=True)), 0.0 * counts[0])
    possible = (excess > 0.0) & (excess + z * z * min(values) > 0.0)
    safe = excess * possible + (1.0 - possible) * z * z
    slope = 0.0 * excess
    for value, k in zip(values, counts, strict=True):
        weight = safe + z * z * value
        slope = slope + value * k / (weight + (weight == 0.0))
    passed: Mask = possible & (slope > 0.0)
    return passed


def _gain_score(values: Sequence[float], counts: Sequence[Array]) -> Array:
    """The score of `lpca.stats.gain` at mean 0."""
    import numpy as np

    each = np.stack(np.broadcast_arrays(*counts), axis=-1).astype(np.float64)
    worth = np.array(values)
    excess = each @ worth
    # what lies below 0 is scored as its mirror image
    sign = np.where(excess < 0.0, -1.0, 1.0)
    worth = sign[..., None] * worth
    least = np.where(sign > 0.0, min(values), -max(values))
    largest = 1.0 / -least
    low, high = np.zeros_like(excess), largest

    def slope(multiplier: Array) -> Array:
        weight = 1.0 + multiplier[..., None] * worth
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(each > 0.0, each * worth / weight, 0.0)
            # past the pole an observed value would have no probability
            terms = np.where((each > 0.0) & (weight <= 0.0), -np.inf, terms)
        total: Array = terms.sum(axis=-1)
        return total

    at_end = slope(largest) > 0.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        rising = slope(middle) > 0.0
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    root = np.where(at_end, largest, high)
    score: Array = sign * np.sqrt(np.abs(excess) * root)
    return score


def _log_capital(
    values: Sequence[float], counts: Array, margin: float, possible: Interval, sign: float
) -> Array:
    """`lpca.stats.sequential.log_betting_evalue` of many samples, the last axis their kinds."""
    import numpy as np

    low, high = possible.low, possible.high
    if not low < margin < high:
        raise ValueError(f"margin must lie strictly between {low} and {high}, got {margin}")
    room = margin - low if sign > 0.0 else high - margin
    stakes = (np.arange(STAKES) + 0.5) / (STAKES * room)
    gains = np.log1p(sign * stakes * (np.array(values)[:, None] - margin))
    capital = counts @ gains
    peak = capital.max(axis=-1, keepdims=True)  # taken out, so that no exponential overflows
    logs: Array = peak[..., 0] + np.log(np.exp(capital - peak).mean(axis=-1))
    return logs


def tails(scores: Array) -> Array:
    """One-sided p-values of standard scores."""
    import numpy as np

    return np.asarray(np.frompyfunc(upper_tail, 1, 1)(scores), dtype=np.float64)


def holm_many(pvalues: Array) -> Array:
    """`lpca.stats.verdicts.holm` of many families; the last axis is a family's p-values."""
    import numpy as np

    order = np.argsort(pvalues, axis=-1, kind="stable")
    count = pvalues.shape[-1]
    rising = np.take_along_axis(pvalues, order, axis=-1) * np.arange(count, 0, -1)
    rising = np.maximum.accumulate(np.minimum(rising, 1.0), axis=-1)
    adjusted = np.empty_like(rising)
    np.put_along_axis(adjusted, order, rising, axis=-1)
    return adjusted


def decide_many(toward: Array, against: Array, confidences: Sequence[float]) -> Codes:
    """`lpca.stats.verdicts.decide` for many samples.

    Args:
        toward: standard scores for each claim, [samples, claims].
        against: those for its opposite.
        confidences: by claim, the level it is decided at.

    Returns:
        Verdicts as numbers, [samples, claims].
    """
    import numpy as np

    limits = np.array([z_value(level) for level in confidences])
    alphas = np.array([(1.0 - level) / 2.0 for level in confidences])
    codes = np.where(toward > limits, PASS, INCONCLUSIVE).astype(np.int8)
    outside = (against > limits) & (codes != PASS)
    rows = outside.any(axis=-1)
    if rows.any():
        adjusted = holm_many(tails(against[rows]))
        codes[rows] = np.where(outside[rows] & (adjusted < alphas), FAIL, codes[rows])
    return codes


def whole_many(codes: Codes) -> Codes:
    """`lpca.stats.verdicts.gate_verdict` for many samples: the last axis is a gate's criteria."""
    import numpy as np

    failed, passed = (codes == FAIL).any(axis=-1), (codes == PASS).all(axis=-1)
    return np.where(failed, FAIL, np.where(passed, PASS, INCONCLUSIVE)).astype(np.int8)
