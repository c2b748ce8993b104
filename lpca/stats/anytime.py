"""Claims decided while episodes still arrive: e-values for each claim and for its opposite."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lpca.gatespec.model import Band, Claim, Criterion, Difference, Gain, Rate, Ratio
from lpca.stats._normal import OneSided
from lpca.stats.gain import gain_value
from lpca.stats.sequential import log_betting_evalue, log_mean_exp
from lpca.stats.tables import binary
from lpca.stats.verdicts import Verdict


@dataclass(frozen=True)
class Evidence:
    """Natural logarithms of the e-values that a claim holds, and that its opposite does."""

    log_pass: float
    log_fail: float


@dataclass(frozen=True)
class _Bounded:
    """One value per episode, whose mean a claim compares with margins."""

    counts: Mapping[float, int]
    low: float
    high: float

    def log_evalue(self, margin: float, side: OneSided) -> float:
        return log_betting_evalue(self.counts, margin, self.low, self.high, side)


def evidence(claim: Claim | Criterion, outcomes: Mapping[str, Sequence[int]]) -> Evidence:
    """E-values for and against a claim, from all outcomes so far, by condition.

    Differences and rates bet on their own mean, gains on the mean gain, ratios on the mean of
    first - ratio x second. A band's claim takes the smaller of its two e-values, its opposite
    their average. Assumptions are those of `log_betting_evalue`: any stopping rule is allowed.
    Raises TypeError for an equivalence, which keeps its fixed n, and for claims that no sound
    method decides; ValueError for unpaired or non-binary outcomes, or a margin that no value can
    pass; KeyError for a condition without outcomes.
    """
    claim = claim.claim if isinstance(claim, Criterion) else claim
    match claim:
        case Difference(first, second, relation, margin):
            values = _values(outcomes, (first, second), lambda x, y: float(x - y))
            seen = _Bounded(values, -1.0, 1.0)
            return _one_sided(seen, margin, relation)
        case Rate(condition, relation, bound):
            return _one_sided(_rate(outcomes, condition), bound, relation)
        case Gain(condition, text, base, fraction):
            values = _values(
                outcomes, (condition, text, base), lambda x, t, b: gain_value(x, t, b, fraction)
            )
            return _one_sided(_Bounded(values, -1.0, 1.0), 0.0, ">")
        case Ratio(first, second, relation, ratio):
            values = _values(outcomes, (first, second), lambda x, y: x - ratio * y)
            seen = _Bounded(values, -ratio, 1.0)
            return _one_sided(seen, 0.0, relation)
        case Band(condition, low, high):
            seen = _rate(outcomes, condition)
            above = seen.log_evalue(low, "greater"), seen.log_evalue(high, "greater")
            below = seen.log_evalue(low, "less"), seen.log_evalue(high, "less")
            return Evidence(min(above[0], below[1]), log_mean_exp([below[0], above[1]]))
    raise TypeError(f"a {type(claim).__name__} is not decided while episodes arrive")


def decide_anytime(found: Sequence[Evidence], alpha: float = 0.025) -> list[Verdict]:
    """Verdicts at one look, one per criterion of a gate.

    PASS when the e-value for the claim reaches 1 / alpha; FAIL when that of its opposite reaches
    m / alpha, m the number of criteria (Bonferroni); else INCONCLUSIVE. A criterion once decided
    stays decided: whoever looks repeatedly must keep its first verdict. Raises ValueError for
    alpha outside (0, 1).
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha}")
    needed = -math.log(alpha)
    return [_verdict(one, needed, math.log(len(found))) for one in found]


def _verdict(one: Evidence, needed: float, correction: float) -> Verdict:
    if one.log_pass >= needed:
        return Verdict.PASS
    return Verdict.FAIL if one.log_fail >= needed + correction else Verdict.INCONCLUSIVE


def _one_sided(seen: _Bounded, margin: float, relation: str) -> Evidence:
    above, below = seen.log_evalue(margin, "greater"), seen.log_evalue(margin, "less")
    return Evidence(above, below) if relation == ">" else Evidence(below, above)


def _rate(outcomes: Mapping[str, Sequence[int]], condition: str) -> _Bounded:
    return _Bounded(_values(outcomes, (condition,), float), 0.0, 1.0)


def _values(
    outcomes: Mapping[str, Sequence[int]], names: Sequence[str], value: Callable[..., float]
) -> Counter[float]:
    """How often each value occurs, as it follows from an episode's outcomes under `names`."""
    columns = [binary(outcomes[name]) for name in names]
    if len({len(column) for column in columns}) != 1:
        raise ValueError(f"outcomes must be paired, got lengths {[len(c) for c in columns]}")
    found = Counter[float]()
    for bits, count in Counter(zip(*columns, strict=True)).items():
        found[value(*bits)] += count
    return found
