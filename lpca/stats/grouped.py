"""A claim's parameter read over groups of episodes: the same scores, divided by a design effect."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from lpca.stats.assessment import Grouping, Reading, Sample, method_of
from lpca.stats.claims import Decidable, Ratio
from lpca.stats.clusters import (
    Clusters,
    Tally,
    correlation_of_marks,
    effect_of_marks,
    upper_tail,
)
from lpca.stats.graded import is_graded
from lpca.stats.normal import OneSided
from lpca.stats.tables import Interval, binary

Array = npt.NDArray[np.float64]

GRID, LEVELS = 32, 6
"""A limit is looked for among so many steps, then in the step it lies in, and so on: to 1e-9."""


def values_of(claim: Decidable, bounds: Sequence[float]) -> tuple[Array, Array]:
    """What patterns of a claim's outcomes are worth at each bound, and the mean they are held to.

    Args:
        claim: what is claimed.
        bounds: under the hypothesis; a ratio's goes into the values, its mean is held to 0.

    Returns:
        [bounds, patterns] and [bounds]; pattern i has the bits of i as the outcomes of the claim's
        conditions, the first condition's the highest.
    """
    bits = list(product((0, 1), repeat=len(claim.conditions)))
    if isinstance(claim, Ratio):
        scaled = [replace(claim, ratio=bound) for bound in bounds]
        return np.array([[one.value(*x) for x in bits] for one in scaled]), np.zeros(len(bounds))
    values = np.array([claim.value(*x) for x in bits], dtype=float)
    return np.broadcast_to(values, (len(bounds), len(bits))), np.array(bounds, dtype=float)


@dataclass(frozen=True)
class _Means:
    """Where a mean may lie."""

    low: float
    high: float

    @staticmethod
    def between(end: float, estimate: float, share: float) -> float:
        return end + share * (estimate - end)


class _Ratios:
    """Where a ratio may lie: from 0 to infinity, in steps of r / (1 + r)."""

    low, high = 0.0, math.inf

    @staticmethod
    def between(end: float, estimate: float, share: float) -> float:
        start, stop = (1.0 if math.isinf(x) else x / (1.0 + x) for x in (end, estimate))
        found = start + share * (stop - start)
        return found / (1.0 - found) if found < 1.0 else math.inf


def over_groups(
    claim: Decidable, sample: Sample, outcomes: Mapping[str, Sequence[float]], clusters: Clusters
) -> Reading:
    """Read a claim's parameter from outcomes whose episodes come in groups.

    The interval holds the bounds that the test does not reject; where those are no interval, all
    from the first to the last.

    Args:
        claim: what is claimed.
        sample: the counts of its outcomes.
        outcomes: by condition one outcome per episode, 0 or 1.
        clusters: the groups, of as many episodes.

    Returns:
        The reading.

    Raises:
        ValueError: as many outcomes as clusters are needed.
    """
    found = [outcomes[name] for name in claim.conditions]
    if len(found[0]) != clusters.n:
        raise ValueError(f"{clusters.n} episodes are grouped, {len(found[0])} have outcomes")
    worth = values_of(claim, [0.5])[0][0]
    method = method_of(claim, sample)
    effects = (_OfMarks if is_graded(found) else _OfKinds)(claim, found, clusters)

    def tails(bounds: Sequence[float], side: OneSided) -> Array:
        z = np.array([method.z(sample, bound) for bound in bounds])
        effect = effects(bounds, z)
        return upper_tail(z if side == "greater" else -z, effect, clusters.freedom(effect))

    estimate = method.estimate(sample)
    means = _Means(float(worth.min()), float(worth.max()))
    scale = _Ratios() if isinstance(claim, Ratio) else means

    def limit(alpha: float, side: OneSided) -> float:
        """The bound farthest from the estimate, on one side, that is not rejected."""
        end = scale.low if side == "greater" else scale.high
        if math.isnan(estimate) or estimate == end:
            return end

        def at(share: float) -> float:
            return scale.between(end, estimate, share)

        low, high = 0.0, 1.0
        for _ in range(LEVELS):
            shares = np.linspace(low, high, GRID + 1)
            rejected = tails([at(share) for share in shares[1:-1].tolist()], side) < alpha
            # all that is looked at may be rejected: the limit then lies next to the estimate
            first = int(rejected.argmin()) if not rejected.all() else len(rejected)
            low, high = float(shares[first]), float(shares[first + 1])
        return at(high) if low > 0.0 else end

    def interval(level: float) -> Interval:
        alpha = (1.0 - level) / 2.0
        return Interval(limit(alpha, "greater"), limit(alpha, "less"))

    def grouping(bounds: Sequence[float]) -> Grouping:
        # a ratio may be none: its values are then taken as those at the bound
        exists = 0.0 < estimate < math.inf or not isinstance(claim, Ratio)
        icc, effect = effects.observed(estimate if exists else bounds[0])
        z = np.array([method.z(sample, bound) for bound in bounds])
        at_margin = float(effects(bounds, z).max())
        return Grouping(clusters.groups, icc, effect, clusters.n / effect, at_margin)

    def test(bound: float, side: OneSided) -> float:
        return float(tails([bound], side)[0])

    return Reading(f"{method.name} over groups", estimate, test, interval, grouping)


class _OfKinds:
    """Design effects of outcomes that are 0 or 1: patterns of equal worth are one kind.

    Which of two conditions failed both is no evidence.
    """

    def __init__(
        self, claim: Decidable, found: Sequence[Sequence[float]], clusters: Clusters
    ) -> None:
        patterns = np.zeros(clusters.n, dtype=np.intp)
        for column in found:
            patterns = 2 * patterns + np.frombuffer(binary(column), dtype=np.uint8)
        worth = values_of(claim, [0.5])[0][0]
        kept, kinds = np.unique(worth, return_inverse=True)
        self.claim = claim
        self.first = np.array([int(np.flatnonzero(worth == value)[0]) for value in kept])
        self.tally = Tally(kinds[patterns][None, :], len(kept), clusters)

    def __call__(self, bounds: Sequence[float], z: Array) -> Array:
        """Those at bounds, where independent episodes have the scores z."""
        values, margins = values_of(self.claim, bounds)
        return self.tally.design_effect(values[:, self.first], margins)

    def observed(self, estimate: float) -> tuple[float, float]:
        """The correlation within groups, and the design effect, at the estimate."""
        values, margins = values_of(self.claim, [estimate])
        icc = self.tally.correlation(values[:, self.first], margins)
        return float(icc[0]), float(self([estimate], np.zeros(1))[0])


class _OfMarks:
    """Design effects of marks in [0, 1]."""

    def __init__(
        self, claim: Decidable, found: Sequence[Sequence[float]], clusters: Clusters
    ) -> None:
        self.claim, self.rows, self.clusters = claim, list(zip(*found, strict=True)), clusters

    def __call__(self, bounds: Sequence[float], z: Array) -> Array:
        """Those at bounds, where independent episodes have the scores z."""
        told = [
            effect_of_marks(*self._values(bound), score, self.clusters)
            for bound, score in zip(bounds, z.tolist(), strict=True)
        ]
        return np.array(told)

    def observed(self, estimate: float) -> tuple[float, float]:
        """The correlation within groups, and the design effect, at the estimate."""
        icc = correlation_of_marks(self._values(estimate)[0], self.clusters)
        return icc, 1.0 + icc * self.clusters.own_pairs / self.clusters.n

    def _values(self, bound: float) -> tuple[Array, float]:
        at, margin = self.claim, bound
        if isinstance(at, Ratio):
            at, margin = replace(at, ratio=bound), 0.0
        return np.array([at.value(*row) for row in self.rows], dtype=float), margin
