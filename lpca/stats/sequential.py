"""Deciding while episodes still arrive: e-processes at any time, O'Brien-Fleming at a few looks.

An e-process starts at 1 and has mean at most 1 under its hypothesis at every stopping time, so
P(it ever reaches 1 / alpha) <= alpha (Ville 1939; Ramdas, Gruenwald, Vovk and Shafer 2023, Stat.
Sci. 38:576). It depends on the counts alone, not on the order in which they arrived.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

from lpca.stats.claims import Approximate, BoundsComparison, Claim, bounds_of_mean
from lpca.stats.graded import is_graded
from lpca.stats.normal import OneSided, first_not, one_sided_z, upper_tail
from lpca.stats.tables import Interval, binary
from lpca.stats.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lpca.stats.clusters import Clusters

    Array = npt.NDArray[np.float64]

STAKES = 200
"""How many stakes the betting capital is spread over, evenly between none and the largest."""
PANEL_NODES = 12
REACH = 9.0
"""How many standard deviations of the final sum below the boundary are integrated over."""
ROOT_WITHIN, ROOT_VALUE = 1e-11, 1e-14
"""How near a boundary is to the exact one, or its probability to the level."""


@dataclass(frozen=True)
class EValues:
    """Natural logarithms of the e-values that a claim holds, and that its opposite does."""

    log_pass: float
    log_fail: float


def evalues(
    claim: Claim, outcomes: Mapping[str, Sequence[float]], clusters: Clusters | None = None
) -> EValues:
    """E-values for and against a claim, from all outcomes so far.

    Differences and rates bet on their own mean, gains on the mean gain, ratios on the mean of
    first - ratio x second. A claim with two bounds takes the smaller of its two e-values, its
    opposite their average. Assumptions are those of `log_betting_evalue`: any stopping rule is
    allowed.

    Args:
        claim: what is claimed.
        outcomes: by condition one outcome per episode so far, 0, 1 or a mark in [0, 1]; element i
            the same episode.
        clusters: the groups that episodes come in, one bet for each (`log_group_evalue`).

    Returns:
        The two logarithms.

    Raises:
        TypeError: a claim that no sound method decides.
        ValueError: unpaired outcomes, or outside [0, 1], or a margin that no value can pass.
        KeyError: a condition has no outcomes.

    Example:
        >>> from lpca.stats.claims import Difference
        >>> outcomes = {"normal": [1] * 40 + [0] * 10, "p0": [1] * 12 + [0] * 38}
        >>> decide_anytime([evalues(Difference("normal", "p0", ">", 0.1), outcomes)])
        [<Verdict.PASS: 'PASS'>]
    """
    if isinstance(claim, BoundsComparison | Approximate):
        raise TypeError(f"a {type(claim).__name__} is not decided while episodes arrive")
    columns = [outcomes[name] for name in claim.conditions]
    if not is_graded(columns):
        columns = [binary(column) for column in columns]
    if len({len(column) for column in columns}) != 1:
        raise ValueError(f"outcomes must be paired, got lengths {[len(c) for c in columns]}")
    possible = [claim.value(*bits) for bits in product((0.0, 1.0), repeat=len(columns))]
    low, high = min(possible), max(possible)
    counts = Counter[float]()
    for bits, count in Counter(zip(*columns, strict=True)).items():
        counts[float(claim.value(*bits))] += count
    single = clusters is None or clusters.groups == clusters.n
    values = [] if single else [claim.value(*bits) for bits in zip(*columns, strict=True)]

    def log_evalue(bound: float, side: OneSided) -> float:
        if clusters is None or single:
            return log_betting_evalue(counts, bound, low, high, side)
        return log_group_evalue(values, clusters, bound, low, high, side)

    region, favouring, opposing = bounds_of_mean(claim), [], []
    if region.low > -math.inf:
        favouring.append(log_evalue(region.low, "greater"))
        opposing.append(log_evalue(region.low, "less"))
    if region.high < math.inf:
        favouring.append(log_evalue(region.high, "less"))
        opposing.append(log_evalue(region.high, "greater"))
    # two bounds hold only if both sides do; it fails if either does, and a mean of e-values is one
    return EValues(min(favouring), log_mean_exp(opposing))


def decide_anytime(
    found: Sequence[EValues], alpha: float | Sequence[float] = 0.025
) -> list[Verdict]:
    """Verdicts at one look, one per criterion of a gate.

    PASS when the e-value for the claim reaches 1 / alpha; FAIL when that of its opposite reaches
    m / alpha, m the number of criteria (Bonferroni); else INCONCLUSIVE. A criterion once decided
    stays decided: whoever looks repeatedly must keep its first verdict. `alpha` is one for all, or
    one for each. Raises ValueError for alpha outside (0, 1).
    """
    given = [alpha] if isinstance(alpha, float) else list(alpha)
    if wrong := [one for one in given if not 0.0 < one < 1.0]:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {wrong[0]}")
    alphas = given * len(found) if isinstance(alpha, float) else given
    correction = math.log(max(1, len(found)))
    paired = zip(found, alphas, strict=True)
    return [_verdict(seen, -math.log(own), correction) for seen, own in paired]


def _verdict(seen: EValues, needed: float, correction: float) -> Verdict:
    if seen.log_pass >= needed:
        return Verdict.PASS
    return Verdict.FAIL if seen.log_fail >= needed + correction else Verdict.INCONCLUSIVE


def log_betting_evalue(
    values: Iterable[float] | Mapping[float, int],
    margin: float,
    low: float = -1.0,
    high: float = 1.0,
    alternative: OneSided = "greater",
) -> float:
    """Natural logarithm of the capital won by betting that a bounded mean exceeds the margin.

    The capital of a stake s in (0, 1 / (margin - low)) is the product over values of
    1 + s (value - margin); the e-value is the average over 200 evenly spaced stakes. Assumes that
    under the hypothesis each value, given all before it, has a mean at most the margin
    (independent episodes do); nothing else of their distribution, and any stopping rule is
    allowed. Waudby-Smith and Ramdas (2024), J. R. Stat. Soc. B 86:1; Cover (1991), Math. Finance
    1:1.

    Args:
        values: one per episode, in [low, high], or how often each value occurs.
        margin: what the mean is compared with.
        low: the least value that is possible.
        high: the largest.
        alternative: "less" bets that the mean is below.

    Returns:
        The logarithm: it overflows at no number of episodes, as the e-value itself would.

    Raises:
        ValueError: a value outside [low, high], a margin not strictly inside, or another
            alternative.

    Example:
        >>> round(log_betting_evalue({1.0: 30, 0.0: 60, -1.0: 10}, margin=0.0), 2)
        4.15
    """
    import numpy as np

    sign, stakes = _stakes(margin, low, high, alternative)
    counts = values if isinstance(values, Mapping) else Counter(values)
    for value in counts:
        if not low <= value <= high:
            raise ValueError(f"every value must lie in [{low}, {high}], got {value}")
    capital = np.zeros(STAKES)
    for value, count in counts.items():
        capital += count * np.log1p(stakes * sign * (value - margin))
    peak = float(capital.max())  # taken out, so that no exponential overflows
    return peak + math.log(float(np.exp(capital - peak).mean()))


def log_group_evalue(
    values: Sequence[float],
    clusters: Clusters,
    margin: float,
    low: float = -1.0,
    high: float = 1.0,
    alternative: OneSided = "greater",
) -> float:
    """Natural logarithm of the capital won by betting on one group of episodes after another.

    A group's factor is 1 + s (sum of its values less the margin) / m, m the size of the largest
    group so far: sizes are known before outcomes, so each bet is placed in advance. Assumes that
    under the hypothesis a group's sum, given all groups before it, has a mean at most the margin
    times its size; whatever hangs together within the group. With groups of one it is
    `log_betting_evalue`, whose source holds here too.

    Args:
        values: one per episode, in [low, high], in the order of `clusters`.
        clusters: the groups, numbered in the order in which they are bet on.
        margin: what the mean is compared with.
        low: the least value that is possible.
        high: the largest.
        alternative: "less" bets that the mean is below.

    Returns:
        The logarithm.

    Raises:
        ValueError: a margin not strictly inside, or another alternative.
    """
    import numpy as np

    sign, stakes = _stakes(margin, low, high, alternative)
    largest = np.maximum.accumulate(clusters.sizes)
    gains = sign * np.bincount(clusters.own, np.array(values) - margin) / largest
    capital: Array = np.log1p(stakes[:, None] * gains).sum(axis=1)
    return log_mean_exp(capital.tolist())


def _stakes(margin: float, low: float, high: float, alternative: OneSided) -> tuple[float, Array]:
    """The sign of a gain and the stakes; errors as of `log_betting_evalue`."""
    import numpy as np

    if not low < margin < high:
        raise ValueError(f"margin must lie strictly between {low} and {high}, got {margin}")
    if alternative not in ("greater", "less"):
        raise ValueError(f"alternative must be 'greater' or 'less', got {alternative!r}")
    sign, room = (1.0, margin - low) if alternative == "greater" else (-1.0, high - margin)
    middles = np.arange(STAKES, dtype=np.float64) + 0.5
    return sign, middles / (STAKES * room)


@dataclass(frozen=True)
class AnytimeMean:
    """A bounded mean seen while values arrive: an interval, and the p-value that it is not 0.

    Both hold at every stopping time; the interval excludes 0 exactly when p is below its level.
    """

    interval: Interval
    p: float


def anytime_mean(
    values: Sequence[float],
    clusters: Clusters,
    low: float = -1.0,
    high: float = 1.0,
    confidence: float = 0.95,
) -> AnytimeMean:
    """A confidence sequence for a bounded mean, and its p-value.

    It holds each mean that neither bet of `log_group_evalue` rejects, that the mean is above it
    and that it is below, each at half of the level; assumptions are those of the bet.

    Args:
        values: one per episode, in [low, high], in the order of `clusters`.
        clusters: the groups, numbered in the order in which they are bet on.
        low: the least value that is possible; below 0.
        high: the largest; above 0.
        confidence: two-sided level in (0, 1), held over all times together.

    Returns:
        The interval and the two-sided p-value of a mean of 0.

    Raises:
        ValueError: a confidence outside (0, 1), no values, or one outside its range.

    Example:
        >>> from lpca.stats.clusters import Clusters, codes_of
        >>> values = [1.0] * 30 + [0.0] * 60 + [-1.0] * 10
        >>> seen = anytime_mean(values, Clusters(codes_of(range(100))))
        >>> round(seen.interval.low, 3), round(seen.interval.high, 3), round(seen.p, 4)
        (0.01, 0.39, 0.0316)
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie strictly between 0 and 1, got {confidence}")
    if not values:
        raise ValueError("a mean needs at least one value")
    alpha, mean, counts = 1.0 - confidence, math.fsum(values) / len(values), Counter(values)

    def p_value(margin: float, side: OneSided) -> float:
        if not low < margin < high:
            beyond = mean > margin if side == "greater" else mean < margin
            return 0.0 if beyond else 1.0
        if clusters.groups == len(values):
            won = log_betting_evalue(counts, margin, low, high, side)
        else:
            won = log_group_evalue(values, clusters, margin, low, high, side)
        return min(1.0, 2.0 * math.exp(min(0.0, -won)))

    ends = (
        first_not(lambda margin: p_value(margin, "greater") < alpha, low, high),
        -first_not(lambda margin: p_value(-margin, "less") < alpha, -high, -low),
    )
    p = min(p_value(0.0, "greater"), p_value(0.0, "less"))
    # bets on groups of rising sizes may reject everything: what lies between is then left
    interval = Interval(min(ends), max(ends))
    return AnytimeMean(interval, max(p, alpha) if interval.low <= 0.0 <= interval.high else p)


def log_mean_exp(logs: Sequence[float]) -> float:
    """Logarithm of the mean of exponentials: the average of e-values is an e-value."""
    peak = max(logs)
    return peak + math.log(math.fsum(math.exp(x - peak) for x in logs) / len(logs))


@dataclass(frozen=True)
class Boundaries:
    """By look: the z a score must exceed, and the one-sided p-value it must stay below."""

    z: tuple[float, ...]
    p: tuple[float, ...]


@lru_cache(maxsize=64)
def obrien_fleming(looks: int, alpha: float = 0.025) -> Boundaries:
    """Boundaries for `looks` equally spaced looks, crossed with probability alpha in all.

    z_k = C sqrt(looks / k), so that partial sums face one constant boundary; C by recursive
    numerical integration to 1e-9. Assumes looks fixed beforehand at equal numbers of new
    episodes, and scores that are normal with independent increments: an approximation for
    counts, so keep at least some fifty episodes per look. O'Brien and Fleming (1979), Biometrics
    35:549; Armitage, McPherson and Rowe (1969), J. R. Stat. Soc. A 132:235; Jennison and Turnbull
    (2000), section 2.4 and chapter 19.

    Args:
        looks: how often the data are read, at least once.
        alpha: the one-sided level of all looks together, in (0, 0.5).

    Returns:
        The boundaries, by look.

    Raises:
        ValueError: looks or an alpha outside their range.

    Example:
        >>> [round(z, 3) for z in obrien_fleming(4).z]
        [4.049, 2.863, 2.337, 2.024]
    """
    if looks < 1:
        raise ValueError(f"at least one look is needed, got {looks}")
    single = one_sided_z(alpha)
    depth, weights, kernel = _grid(looks)

    def excess(boundary: float) -> float:
        return _crossing(boundary, looks, depth, weights, kernel) - alpha

    root = math.sqrt(looks)
    boundary = _root(excess, 0.9 * single * root, 2.0 * (single + 1.0) * root)
    z = tuple(boundary / math.sqrt(k) for k in range(1, looks + 1))
    return Boundaries(z, tuple(upper_tail(value) for value in z))


def repeated_p(p: float, look: int, looks: int) -> float:
    """One-sided p-value of a look as one of several: the level whose boundary it just reaches.

    It is below alpha exactly where p is below `obrien_fleming(looks, alpha).p` at this look.
    Jennison and Turnbull (2000), chapter 9.

    Args:
        p: the one-sided p-value of the episodes so far, by themselves.
        look: which look it is, from 1.
        looks: how many there are in all.

    Returns:
        The p-value, at most 0.5.

    Raises:
        ValueError: a look that is none of them.

    Example:
        >>> round(repeated_p(0.002, look=2, looks=4), 4), round(repeated_p(0.022, 4, 4), 4)
        (0.0243, 0.0256)
    """
    if not 1 <= look <= looks:
        raise ValueError(f"look must be from 1 to {looks}, got {look}")
    if not 0.0 < p < 0.5:
        return min(p, 0.5)
    return min(0.5, _crossing(one_sided_z(p) * math.sqrt(look), looks, *_grid(looks)))


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that falls from above 0 to below meets it, to 1e-11.

    Regula falsi that halves the value at an end that stays (the Illinois rule): as quick as a
    library's root finder, without the third of a second that loading one takes.
    """
    at_low, at_high = falling(low), falling(high)
    while high - low > ROOT_WITHIN:
        middle = (low * at_high - high * at_low) / (at_high - at_low)
        found = falling(middle)
        if abs(found) < ROOT_VALUE:
            return middle
        if found > 0.0:
            low, at_low, at_high = middle, found, at_high * 0.5
        else:
            high, at_high, at_low = middle, found, at_low * 0.5
    return 0.5 * (low + high)


def _crossing(boundary: float, looks: int, depth: Array, weights: Array, kernel: Array) -> float:
    """P(some partial sum of `looks` standard normals exceeds the boundary)."""
    import numpy as np

    density = np.exp(-0.5 * (boundary - depth) ** 2) / math.sqrt(2.0 * math.pi)
    crossed = upper_tail(boundary)
    beyond = np.array([upper_tail(below) for below in depth])
    for _ in range(looks - 1):
        crossed += float((density * weights) @ beyond)
        density = kernel @ (density * weights)
    return crossed


def _grid(looks: int) -> tuple[Array, Array, Array]:
    """Nodes below the boundary, their Gauss-Legendre weights, and the step between them."""
    import numpy as np

    node, weight = np.polynomial.legendre.leggauss(PANEL_NODES)
    panels = math.ceil(2.0 * REACH * math.sqrt(looks))
    depth = (np.arange(panels)[:, None] + 0.5 * (node + 1.0)[None, :]).ravel()
    kernel = np.exp(-0.5 * (depth[:, None] - depth[None, :]) ** 2) / math.sqrt(2.0 * math.pi)
    return depth, np.tile(0.5 * weight, panels), kernel
