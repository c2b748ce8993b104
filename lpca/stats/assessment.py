"""Each kind of claim assessed: from paired outcomes, or from the counts they come to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lpca.stats.claims import Claim, Difference, Gain, Rate, Ratio, decidable
from lpca.stats.gain import ValueCounts, gain_counts, gain_interval, gain_test
from lpca.stats.proportions import rate_test, ratio_score, ratio_test, tango, tango_test, wilson
from lpca.stats.tables import Interval, PairedTable, Proportion

CONFIDENCE = 0.95
EQUIVALENCE_CONFIDENCE = 0.90
Sample = Proportion | PairedTable | ValueCounts
"""Counts that decide a claim: of a rate, of a difference or a ratio, of a gain."""


@dataclass(frozen=True)
class Assessment:
    """What the data say about one claim `region.low < parameter < region.high`.

    `interval` has confidence 1 - 2 alpha. `p_pass` is the p-value for the claim, `p_fail` that
    for its opposite, each one-sided at `alpha`; `method` names interval and tests.
    """

    estimate: float
    interval: Interval
    region: Interval
    p_pass: float
    p_fail: float
    alpha: float
    method: str

    @property
    def holds(self) -> bool:
        """Whether the claim is shown, by the interval and by the test alike."""
        above = self.region.low < self.interval.low
        # an interval for a ratio may itself end at infinity
        below = self.interval.high < self.region.high or self.region.high == math.inf
        return above and below and self.p_pass < self.alpha

    @property
    def outside(self) -> bool:
        """Whether the whole interval contradicts the claim."""
        return self.interval.high < self.region.low or self.region.high < self.interval.low


def assess(
    claim: Claim,
    outcomes: Mapping[str, Sequence[int]],
    confidence: float = CONFIDENCE,
    equivalence_confidence: float = EQUIVALENCE_CONFIDENCE,
) -> Assessment:
    """Assess one claim from outcomes by condition, element i the same episode in all.

    Args:
        claim: what is claimed.
        outcomes: by condition one outcome per episode, 0 or 1.
        confidence: two-sided level of the interval of a one-sided claim.
        equivalence_confidence: that of a claim with two bounds (Equivalence, Band).

    Returns:
        Estimate, interval and the two p-values.

    Raises:
        KeyError: a condition has no outcomes.
        ValueError: outcomes that are not paired or neither 0 nor 1.
        TypeError: a claim that no sound method decides.

    Example:
        >>> from lpca.stats.claims import Difference
        >>> outcomes = {"normal": [1] * 40 + [0] * 10, "p0": [1] * 12 + [0] * 38}
        >>> seen = assess(Difference("normal", "p0", ">", 0.1), outcomes)
        >>> round(seen.estimate, 2), seen.holds
        (0.56, True)
    """
    return assess_counts(claim, sample_of(claim, outcomes), confidence, equivalence_confidence)


def sample_of(claim: Claim, outcomes: Mapping[str, Sequence[int]]) -> Sample:
    """Count the outcomes of a claim's conditions; arguments and errors as of `assess`."""
    found = [outcomes[name] for name in decidable(claim).conditions]
    if isinstance(claim, Gain):
        return gain_counts(found[0], found[1], found[2], claim.fraction)
    if len(found) == 2:
        return PairedTable.from_outcomes(found[0], found[1])
    return Proportion.of(found[0])


def assess_counts(
    claim: Claim,
    sample: Sample,
    confidence: float = CONFIDENCE,
    equivalence_confidence: float = EQUIVALENCE_CONFIDENCE,
) -> Assessment:
    """Assess one claim from the counts of its conditions' outcomes.

    Args:
        claim: what is claimed.
        sample: `Proportion` for a rate or a band, a `PairedTable` for a difference, an equivalence
            or a ratio, `gain_counts` for a gain.
        confidence: two-sided level of the interval of a one-sided claim.
        equivalence_confidence: that of a claim with two bounds.

    Returns:
        Estimate, interval and the two p-values.

    Raises:
        ValueError: the region claimed is empty, or a bound is none of the parameter's.
        TypeError: a claim that no sound method decides.

    Example:
        >>> from lpca.stats.claims import Equivalence
        >>> seen = assess_counts(Equivalence("embed", "p1", 0.05), PairedTable(200, 5, 5, 190))
        >>> seen.method, seen.holds
        ('two one-sided Tango score', True)
    """
    method, region = _METHODS[decidable(claim).method], claim.region
    # an empty region would be contradicted by every sample: a FAIL that says nothing
    if not region.low < region.high:
        raise ValueError(f"margins need low < high, got {region.low} and {region.high}")
    level = equivalence_confidence if claim.is_two_sided else confidence
    inside, outside = [], []
    if region.low > -math.inf:
        inside.append(method.test(sample, region.low, "greater"))
        outside.append(method.test(sample, region.low, "less"))
    if region.high < math.inf:
        inside.append(method.test(sample, region.high, "less"))
        outside.append(method.test(sample, region.high, "greater"))
    return Assessment(
        estimate=method.estimate(sample),
        interval=method.interval(sample, level),
        region=region,
        # all of two one-sided tests must reject; either alone contradicts
        p_pass=max(inside),
        p_fail=min(outside),
        alpha=(1.0 - level) / 2.0,
        method=f"two one-sided {method.name}" if claim.is_two_sided else method.name,
    )


@dataclass(frozen=True)
class _Method:
    """How one parameter is estimated, held within an interval and tested against a bound."""

    name: str
    estimate: Callable[[Any], float]
    interval: Callable[[Any, float], Interval]
    test: Callable[..., float]


def _observed_ratio(table: PairedTable) -> float:
    if table.second:
        return table.first / table.second
    return math.inf if table.first else math.nan


_METHODS = {
    Rate.method: _Method(
        "Wilson score",
        lambda seen: seen.successes / seen.n,
        lambda seen, level: wilson(seen.successes, seen.n, level),
        lambda seen, bound, side: rate_test(seen.successes, seen.n, bound, side),
    ),
    Difference.method: _Method("Tango score", lambda table: table.difference, tango, tango_test),
    Ratio.method: _Method("Nam-Blackwelder score", _observed_ratio, ratio_score, ratio_test),
    Gain.method: _Method("multinomial score", lambda sample: sample.mean, gain_interval, gain_test),
}
