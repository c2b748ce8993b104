"""Each kind of claim assessed: from paired outcomes, or from the counts they come to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lpca.stats.claims import Claim, Difference, Gain, Rate, Ratio, decidable
from lpca.stats.gain import ValueCounts, gain_counts, gain_interval, gain_z
from lpca.stats.graded import (
    RatioMarks,
    graded_sample,
    is_graded,
    ratio_marks_interval,
    ratio_marks_z,
)
from lpca.stats.normal import OneSided, one_sided_p
from lpca.stats.proportions import rate_z, ratio_score, ratio_z, tango, tango_z, wilson
from lpca.stats.tables import Interval, PairedTable, Proportion

if TYPE_CHECKING:
    from lpca.stats.clusters import Clusters

CONFIDENCE = 0.95
EQUIVALENCE_CONFIDENCE = 0.90
Sample = Proportion | PairedTable | ValueCounts | RatioMarks
"""Counts that decide a claim: of a rate, of a difference or a ratio, of a gain or any claim on
marks but a ratio, which reads the marks themselves."""


@dataclass(frozen=True)
class Grouping:
    """What groups of episodes come to, for one claim.

    `icc` is the correlation of its values within groups and `design_effect` how much larger their
    variance is than that of as many independent episodes, both at the estimate, where they
    describe the data; they count as `effective` independent ones. `at_margin` is the design effect
    under the hypothesis, which decides.
    """

    groups: int
    icc: float
    design_effect: float
    effective: float
    at_margin: float


@dataclass(frozen=True)
class Rounding:
    """What a claim comes to where outcomes lie within the receiver's numerical noise.

    In `episodes` of them the claim's value may be another; with all of them at its least and at
    its largest the estimate has the ends of `estimates`. `decides` is whether one of these
    readings says something else of the claim than another.
    """

    episodes: int
    estimates: Interval
    decides: bool


@dataclass(frozen=True)
class Assessment:
    """What the data say about one claim `region.low < parameter < region.high`.

    `interval` has confidence 1 - 2 alpha. `p_pass` is the p-value for the claim, `p_fail` that
    for its opposite, each one-sided at `alpha`; `method` names interval and tests. `grouping` is
    None where each episode is a group of its own. `resolved` are the same of the outcomes with
    those that rounding could turn, in `turning` episodes, all at the claim's least value and all
    at its largest; empty where there are none.
    """

    estimate: float
    interval: Interval
    region: Interval
    p_pass: float
    p_fail: float
    alpha: float
    method: str
    grouping: Grouping | None = None
    resolved: tuple[Assessment, ...] = ()
    turning: int = 0

    @cached_property
    def cautious(self) -> Assessment:
        """What it says however rounding turned: of all readings the least favourable.

        Its interval holds that of each reading, its p-values are the largest. So it holds where
        every reading does, and is outside where every one is, on the same side.
        """
        if not self.resolved:
            return self
        every = (replace(self, resolved=()), *self.resolved)
        middle = 0.5 * (self.region.low + self.region.high)
        one_side = (
            not math.isfinite(middle)
            or all(one.estimate <= middle for one in every)
            or all(one.estimate >= middle for one in every)
        )
        return replace(
            every[0],
            interval=Interval(
                min(one.interval.low for one in every), max(one.interval.high for one in every)
            ),
            p_pass=max(one.p_pass for one in every),
            # below one bound in this reading and above the other in that: neither is shown
            p_fail=max(one.p_fail for one in every) if one_side else 1.0,
        )

    @property
    def rounding(self) -> Rounding | None:
        """What rounding could make of it; None where no outcome lies within the noise."""
        if not self.resolved:
            return None
        every = (self, *self.resolved)
        estimates = [one.estimate for one in every]
        said = {(one.holds, one.outside and one.p_fail < one.alpha) for one in every}
        # two readings that contradict a claim on either side leave room for one that does not
        split = said == {(False, True)} and not self.cautious.outside
        return Rounding(
            self.turning, Interval(min(estimates), max(estimates)), len(said) > 1 or split
        )

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
    outcomes: Mapping[str, Sequence[float]],
    confidence: float = CONFIDENCE,
    equivalence_confidence: float = EQUIVALENCE_CONFIDENCE,
    clusters: Clusters | None = None,
) -> Assessment:
    """Assess one claim from outcomes by condition, element i the same episode in all.

    Args:
        claim: what is claimed.
        outcomes: by condition one outcome per episode, 0 or 1, or a mark in [0, 1].
        confidence: two-sided level of the interval of a one-sided claim.
        equivalence_confidence: that of a claim with two bounds (Equivalence, Band).
        clusters: which episodes are no independent evidence (`lpca.stats.clusters`); with none, or
            with groups of one, the tests of independent episodes decide.

    Returns:
        Estimate, interval and the two p-values.

    Raises:
        KeyError: a condition has no outcomes.
        ValueError: outcomes that are not paired, or outside [0, 1].
        TypeError: a claim that no sound method decides.

    Example:
        >>> from lpca.stats.claims import Difference
        >>> outcomes = {"normal": [1] * 40 + [0] * 10, "p0": [1] * 12 + [0] * 38}
        >>> seen = assess(Difference("normal", "p0", ">", 0.1), outcomes)
        >>> round(seen.estimate, 2), seen.holds
        (0.56, True)
    """
    sample = sample_of(claim, outcomes)
    if clusters is None or clusters.are_single:
        return assess_counts(claim, sample, confidence, equivalence_confidence)
    from lpca.stats.grouped import over_groups

    reading = over_groups(decidable(claim), sample, outcomes, clusters)
    return _assessed(claim, reading, confidence, equivalence_confidence)


def sample_of(claim: Claim, outcomes: Mapping[str, Sequence[float]]) -> Sample:
    """Count the outcomes of a claim's conditions; arguments and errors as of `assess`."""
    found = [outcomes[name] for name in decidable(claim).conditions]
    if is_graded(found):
        return graded_sample(decidable(claim), found)
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
    return _assessed(
        claim, independent(decidable(claim), sample), confidence, equivalence_confidence
    )


@dataclass(frozen=True)
class Reading:
    """One parameter read from data: its estimate, its tests at any bound and its interval.

    `test` takes a bound and a side and gives the one-sided p-value, `interval` takes a confidence,
    `grouping` the bounds of the claim.
    """

    method: str
    estimate: float
    test: Callable[[float, OneSided], float]
    interval: Callable[[float], Interval]
    grouping: Callable[[Sequence[float]], Grouping | None] = lambda _: None


def independent(claim: Claim, sample: Sample) -> Reading:
    """Read a claim's parameter from counts of independent episodes.

    Raises:
        TypeError: a claim that no sound method decides.
    """
    method = method_of(claim, sample)
    return Reading(
        method.name,
        method.estimate(sample),
        lambda bound, side: one_sided_p(method.z(sample, bound), side),
        lambda level: method.interval(sample, level),
    )


def _assessed(
    claim: Claim, reading: Reading, confidence: float, equivalence_confidence: float
) -> Assessment:
    region = claim.region
    # an empty region would be contradicted by every sample: a FAIL that says nothing
    if not region.low < region.high:
        raise ValueError(f"margins need low < high, got {region.low} and {region.high}")
    level = equivalence_confidence if claim.is_two_sided else confidence
    inside, outside = [], []
    if region.low > -math.inf:
        inside.append(reading.test(region.low, "greater"))
        outside.append(reading.test(region.low, "less"))
    if region.high < math.inf:
        inside.append(reading.test(region.high, "less"))
        outside.append(reading.test(region.high, "greater"))
    name = reading.method
    return Assessment(
        estimate=reading.estimate,
        interval=reading.interval(level),
        region=region,
        # all of two one-sided tests must reject; either alone contradicts
        p_pass=max(inside),
        p_fail=min(outside),
        alpha=(1.0 - level) / 2.0,
        method=f"two one-sided {name}" if claim.is_two_sided else name,
        grouping=reading.grouping(claim.margins),
    )


@dataclass(frozen=True)
class Method:
    """How one parameter is estimated, held within an interval and scored against a bound.

    `z` is the score of independent episodes, positive above the bound.
    """

    name: str
    estimate: Callable[[Any], float]
    interval: Callable[[Any, float], Interval]
    z: Callable[[Any, float], float]


def method_of(claim: Claim, sample: Sample) -> Method:
    """How a claim's parameter is read from its sample; TypeError where no method is sound."""
    own = METHODS[decidable(claim).method]
    if isinstance(sample, RatioMarks):
        return _RATIO_OF_MARKS
    return METHODS[Gain.method] if isinstance(sample, ValueCounts) else own


def _observed_ratio(table: PairedTable) -> float:
    if table.second:
        return table.first / table.second
    return math.inf if table.first else math.nan


METHODS = {
    Rate.method: Method(
        "Wilson score",
        lambda seen: seen.successes / seen.n,
        lambda seen, level: wilson(seen.successes, seen.n, level),
        lambda seen, bound: rate_z(seen.successes, seen.n, bound),
    ),
    Difference.method: Method("Tango score", lambda table: table.difference, tango, tango_z),
    Ratio.method: Method("Nam-Blackwelder score", _observed_ratio, ratio_score, ratio_z),
    Gain.method: Method("multinomial score", lambda sample: sample.mean, gain_interval, gain_z),
}
_RATIO_OF_MARKS = Method(
    "multinomial score", lambda marks: marks.ratio, ratio_marks_interval, ratio_marks_z
)
