"""Coverage of each interval by exact enumeration of every sample, and the worst case found.

By hand, for the figures in docs/lab/levels.md: python tests/stats/measure_coverage.py
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from references import agresti_min, bonett_price, clopper_pearson, newcombe, ratio_bonett_price
from scipy.special import gammaln, xlogy

from lpca.stats.claims import Difference, Equivalence, Gain, Rate, Ratio
from lpca.stats.gain import ValueCounts, gain_interval, gain_support
from lpca.stats.planning import power
from lpca.stats.proportions import ratio_score, tango, wilson
from lpca.stats.tables import Interval, PairedTable
from lpca.stats.truth import Truth


@dataclass(frozen=True)
class Coverage:
    """Least two-sided coverage, greatest one-sided misses, and the mean coverage."""

    least: float
    low_above: float
    high_below: float
    mean: float


def samples(n: int, kinds: int) -> np.ndarray:
    """Every way to spread n episodes over the kinds, one per row."""
    bars = np.array(list(itertools.combinations(range(n + kinds - 1), kinds - 1)))
    edges = np.full((len(bars), 1), -1), np.full((len(bars), 1), n + kinds - 1)
    return np.diff(np.hstack([edges[0], bars, edges[1]])) - 1


def measure(
    interval: Callable[[Sequence[int]], Interval],
    n: int,
    truths: np.ndarray,
    values: np.ndarray,
) -> Coverage:
    """Coverage of `values` under the rows of `truths`, the probabilities of each kind."""
    rows = samples(n, truths.shape[1])
    found = [interval([int(k) for k in row]) for row in rows]
    low, high = np.array([i.low for i in found]), np.array([i.high for i in found])
    ways = gammaln(n + 1) - gammaln(rows + 1).sum(axis=1)
    above, below = np.empty(len(truths)), np.empty(len(truths))
    for index, (truth, value) in enumerate(zip(truths, values, strict=True)):
        mass = np.exp(ways + xlogy(rows, truth).sum(axis=1))
        above[index], below[index] = mass[low > value].sum(), mass[high < value].sum()
    covered = 1.0 - above - below
    return Coverage(covered.min(), above.max(), below.max(), covered.mean())


def rates(n: int, method: Callable[..., Interval]) -> Coverage:
    grid = np.linspace(0.0, 1.0, 2001)[1:-1]
    truths = np.column_stack([grid, 1.0 - grid])
    return measure(lambda row: method(row[0], n), n, truths, grid)


def differences(n: int, method: Callable[..., Interval]) -> Coverage:
    """Over a grid of (b, c) probabilities; d stands for every concordant pair."""
    grid = np.linspace(0.0, 1.0, 41)
    truths = np.array([(b, c, 1.0 - b - c) for b in grid for c in grid if b + c <= 1.0 + 1e-9])
    truths = np.maximum(truths, 0.0)
    score_only = method in (tango, bonett_price, agresti_min)
    if score_only:
        value = truths[:, 0] - truths[:, 1]
        return measure(lambda row: method(PairedTable(0, *row)), n, truths, value)
    split = np.column_stack([truths[:, 2] / 2, truths[:, 0], truths[:, 1], truths[:, 2] / 2])
    return measure(lambda row: method(PairedTable(*row)), n, split, split[:, 1] - split[:, 2])


def ratios(n: int, method: Callable[..., Interval]) -> Coverage:
    grid = np.linspace(0.05, 0.95, 10)
    truths = np.array([(a, b, c, 1 - a - b - c) for a in grid for b in grid for c in grid])
    truths = truths[truths[:, 3] > 0.0]
    value = (truths[:, 0] + truths[:, 1]) / (truths[:, 0] + truths[:, 2])
    return measure(lambda row: method(PairedTable(*row)), n, truths, value)


def gains(n: int, fraction: float) -> Coverage:
    values = np.array(gain_support(fraction))
    generator = np.random.default_rng(5)
    truths = np.vstack(
        [generator.dirichlet(np.full(len(values), s), 400) for s in (0.2, 0.5, 1, 3)]
    )

    def interval(row: Sequence[int]) -> Interval:
        return gain_interval(ValueCounts(tuple(values), tuple(row)))

    return measure(interval, n, truths, truths @ values)


def false_pass_on_margin(claim: Difference | Equivalence, n: int) -> float:
    """Greatest chance of PASS with the true difference on the margin, over all disagreement."""
    margin = claim.margin
    shares = np.unique([abs(margin) + (1 - abs(margin)) * x**3 for x in np.linspace(0, 1, 80)])
    worst = 0.0
    for discordant in shares:
        truth = Truth({"x": (1 + margin) / 2, "y": (1 - margin) / 2}, discordant=float(discordant))
        worst = max(worst, power(claim, truth, n))
    return worst


def false_pass_of_rate(n: int, bound: float) -> float:
    return power(Rate("x", ">", bound), Truth({"x": bound}), n)


def false_pass_of_ratio(n: int, ratio: float) -> float:
    """Over rates of the second and correlations."""
    grid = itertools.product(np.linspace(0.05, 0.95, 10), (0.0, 0.5, 0.9, 1.0))
    return max(
        power(Ratio("x", "y", ">", ratio), Truth({"x": float(ratio * y), "y": float(y)}, r), n)
        for y, r in grid
        if ratio * y <= 1.0
    )


def false_pass_of_gain(n: int, fraction: float) -> float:
    """Over rates of text and base, and correlations; simulated beyond n of about ten."""
    grid = itertools.product((0.5, 0.8, 0.95), (0.05, 0.25, 0.45), (0.0, 0.5, 0.9, 1.0))
    claim = Gain("x", "y", "z", fraction)
    return max(
        power(claim, Truth({"x": fraction * y + (1 - fraction) * z, "y": y, "z": z}, r), n)
        for y, z, r in grid
    )


def main() -> None:
    for n in (10, 20, 30, 50):
        for rate in (wilson, clopper_pearson):
            print(n, rate.__name__, rates(n, rate), flush=True)
    for n in (10, 20, 30):
        for method in (tango, bonett_price, agresti_min, *([newcombe] if n == 10 else [])):
            print(n, method.__name__, differences(n, method), flush=True)
    for method in (ratio_score, ratio_bonett_price):
        print(15, method.__name__, ratios(15, method), flush=True)
    for fraction in (0.5, 0.3):
        print(10, "gain", fraction, gains(10, fraction), flush=True)
    for n in (50, 100, 200, 400):
        for margin in (-0.1, 0.0, 0.005, 0.02, 0.05, 0.1, 0.2):
            difference = Difference("x", "y", ">", margin)
            print(n, difference, round(false_pass_on_margin(difference, n), 4), flush=True)
        for margin in (0.05, 0.1):
            equivalence = Equivalence("x", "y", margin)
            print(n, equivalence, round(false_pass_on_margin(equivalence, n), 4), flush=True)
        for bound in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9):
            print(n, "rate >", bound, round(false_pass_of_rate(n, bound), 4), flush=True)
    for ratio in (0.5, 0.8, 1.0):
        print(100, "ratio >", ratio, round(false_pass_of_ratio(100, ratio), 4), flush=True)
    for n, fraction in itertools.product((8, 100, 400), (0.5, 0.8)):
        print(n, "gain", fraction, round(false_pass_of_gain(n, fraction), 4), flush=True)


if __name__ == "__main__":
    main()
