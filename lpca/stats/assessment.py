"""Each kind of claim assessed from counts, and any claim from paired outcomes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from lpca.gatespec.model import Band, Claim, Criterion, Difference, Equivalence, Gain, Rate, Ratio
from lpca.stats._normal import OneSided
from lpca.stats.gain import ValueCounts, gain_counts, gain_interval, gain_test
from lpca.stats.paired import tango, tango_test, tost
from lpca.stats.proportions import rate_test, wilson
from lpca.stats.ratio import ratio_score, ratio_test
from lpca.stats.tables import Interval, PairedTable, binary
from lpca.stats.verdicts import Assessment

Relation = Literal[">", "<"]

CONFIDENCE = 0.95
EQUIVALENCE_CONFIDENCE = 0.90


def assess(
    claim: Claim | Criterion,
    outcomes: Mapping[str, Sequence[int]],
    confidence: float = CONFIDENCE,
    equivalence_confidence: float = EQUIVALENCE_CONFIDENCE,
) -> Assessment:
    """Assess one claim of a spec from outcomes by condition, element i the same episode in all.

    `equivalence_confidence` is that of two-sided claims (Equivalence, Band). Raises KeyError for
    a condition without outcomes, ValueError for unpaired or non-binary outcomes, and TypeError
    for a claim that no sound method decides (BoundsComparison, Approximate).
    """
    claim = claim.claim if isinstance(claim, Criterion) else claim
    match claim:
        case Difference(first, second, relation, margin):
            table = PairedTable.from_outcomes(outcomes[first], outcomes[second])
            return assess_difference(table, margin, relation, confidence)
        case Equivalence(first, second, margin):
            table = PairedTable.from_outcomes(outcomes[first], outcomes[second])
            return assess_equivalence(table, margin, equivalence_confidence)
        case Band(condition, low, high):
            seen = binary(outcomes[condition])
            return assess_band(seen.count(1), len(seen), low, high, equivalence_confidence)
        case Rate(condition, relation, bound):
            seen = binary(outcomes[condition])
            return assess_rate(seen.count(1), len(seen), bound, relation, confidence)
        case Gain(condition, text, base, fraction):
            named = (outcomes[condition], outcomes[text], outcomes[base])
            return assess_gain(gain_counts(*named, fraction), confidence)
        case Ratio(first, second, relation, ratio):
            table = PairedTable.from_outcomes(outcomes[first], outcomes[second])
            return assess_ratio(table, ratio, relation, confidence)
    raise TypeError(f"no sound method decides a {type(claim).__name__}")


def assess_difference(
    table: PairedTable, margin: float, relation: Relation, confidence: float = CONFIDENCE
) -> Assessment:
    """`first - second > margin` or `< margin`: Tango's score interval and test."""
    pass_side, fail_side = _sides(relation)
    return Assessment(
        estimate=table.difference,
        interval=tango(table, confidence),
        region=_beyond(margin, relation),
        p_pass=tango_test(table, margin, pass_side),
        p_fail=tango_test(table, margin, fail_side),
        alpha=_alpha(confidence),
        method="Tango score",
    )


def assess_equivalence(
    table: PairedTable, margin: float, confidence: float = EQUIVALENCE_CONFIDENCE
) -> Assessment:
    """`abs(first - second) < margin`: two one-sided Tango score tests."""
    alpha = _alpha(confidence)
    outside = (tango_test(table, margin, "greater"), tango_test(table, -margin, "less"))
    return Assessment(
        estimate=table.difference,
        interval=tango(table, confidence),
        region=Interval(-margin, margin),
        p_pass=tost(table, margin, alpha).p_tost,
        p_fail=min(outside),
        alpha=alpha,
        method="two one-sided Tango score",
    )


def assess_band(
    successes: int,
    n: int,
    low: float,
    high: float,
    confidence: float = EQUIVALENCE_CONFIDENCE,
) -> Assessment:
    """`low < rate < high`: two one-sided Wilson score tests.

    Raises ValueError unless low < high.
    """
    if not low < high:
        raise ValueError(f"a band needs low < high, got {low} and {high}")
    inside = (rate_test(successes, n, low, "greater"), rate_test(successes, n, high, "less"))
    outside = (rate_test(successes, n, low, "less"), rate_test(successes, n, high, "greater"))
    return Assessment(
        estimate=successes / n,
        interval=wilson(successes, n, confidence),
        region=Interval(low, high),
        p_pass=max(inside),
        p_fail=min(outside),
        alpha=_alpha(confidence),
        method="two one-sided Wilson score",
    )


def assess_rate(
    successes: int, n: int, bound: float, relation: Relation, confidence: float = CONFIDENCE
) -> Assessment:
    """`rate > bound` or `rate < bound`: Wilson's score interval and test."""
    pass_side, fail_side = _sides(relation)
    interval = wilson(successes, n, confidence)
    return Assessment(
        estimate=successes / n,
        interval=interval,
        region=_beyond(bound, relation),
        p_pass=rate_test(successes, n, bound, pass_side),
        p_fail=rate_test(successes, n, bound, fail_side),
        alpha=_alpha(confidence),
        method="Wilson score",
    )


def assess_gain(sample: ValueCounts, confidence: float = CONFIDENCE) -> Assessment:
    """`condition - f text - (1 - f) base > 0` in the mean: the multinomial score."""
    return Assessment(
        estimate=sample.mean,
        interval=gain_interval(sample, confidence),
        region=_beyond(0.0, ">"),
        p_pass=gain_test(sample, 0.0, "greater"),
        p_fail=gain_test(sample, 0.0, "less"),
        alpha=_alpha(confidence),
        method="multinomial score",
    )


def assess_ratio(
    table: PairedTable, ratio: float, relation: Relation, confidence: float = CONFIDENCE
) -> Assessment:
    """`first / second > ratio` or `< ratio`: the Nam-Blackwelder score; nan if neither succeeds."""
    pass_side, fail_side = _sides(relation)
    return Assessment(
        estimate=_observed_ratio(table),
        interval=ratio_score(table, confidence),
        region=_beyond(ratio, relation),
        p_pass=ratio_test(table, ratio, pass_side),
        p_fail=ratio_test(table, ratio, fail_side),
        alpha=_alpha(confidence),
        method="Nam-Blackwelder score",
    )


def _observed_ratio(table: PairedTable) -> float:
    if table.second:
        return table.first / table.second
    return math.inf if table.first else math.nan


def _sides(relation: Relation) -> tuple[OneSided, OneSided]:
    if relation not in (">", "<"):
        raise ValueError(f"relation must be '>' or '<', got {relation!r}")
    return ("greater", "less") if relation == ">" else ("less", "greater")


def _beyond(bound: float, relation: Relation) -> Interval:
    return Interval(bound, math.inf) if relation == ">" else Interval(-math.inf, bound)


def _alpha(confidence: float) -> float:
    return (1.0 - confidence) / 2.0
