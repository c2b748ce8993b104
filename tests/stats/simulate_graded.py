"""False passes of claims on marks with the truth on the margin, and their power; a t test beside.

python tests/stats/simulate_graded.py --draws 20000
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

Array = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Array]
SEED, Z = 20260122, 1.959964
MARGINS = (-0.1, 0.0, 0.1)


def rare(lost: float, gained: float, mean: float, noise: float = 0.0) -> Draw:
    """A small gain on most episodes and a loss on the few that bring the mean to the margin."""
    share = (gained - mean) / (gained - lost)

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        losses = lost + noise * rng.uniform(-1, 1, shape)
        gains = gained + 0.03 * bool(noise) * rng.uniform(-1, 1, shape)
        return np.clip(np.where(rng.random(shape) < share, losses, gains), -1, 1)

    return draw


def f1(first: tuple[float, float], second: tuple[float, float]) -> tuple[Draw, float]:
    """The difference of two marks that are 0, 1 or between, and its mean."""

    def one(rng: np.random.Generator, shape: tuple[int, int], none: float, whole: float) -> Array:
        kind = rng.random(shape)
        between = np.where(kind < none + whole, 1.0, rng.beta(2, 2, shape))
        return np.where(kind < none, 0.0, between)

    def mean(none: float, whole: float) -> float:
        return whole + (1.0 - none - whole) / 2.0

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        return one(rng, shape, *first) - one(rng, shape, *second)

    return draw, mean(*first) - mean(*second)


def spread(mean: float, sd: float) -> Draw:
    """Evenly about the mean."""
    return lambda rng, shape: mean + sd * np.sqrt(3.0) * rng.uniform(-1, 1, shape)


def skewed(mean: float, a: float, b: float) -> Draw:
    """A beta distribution, half as wide as a mark's range."""
    return lambda rng, shape: mean + 0.5 * (rng.beta(a, b, shape) - a / (a + b))


def truths() -> Iterator[tuple[str, Draw, float]]:
    """By name what differences are drawn from, and their mean, which is the margin."""
    for m in MARGINS:
        for lost, gained in ((-1.0, m + 0.05), (-0.5, m + 0.05), (m - 0.3, m + 0.03)):
            yield f"losses at {lost:.2g}", rare(lost, gained, m), m
        yield "losses of many sizes", rare(-0.25 + min(m, 0.0), m + 0.05, m, 0.25), m
        yield "even", spread(m, 0.16), m
        yield "skewed down", skewed(m, 8, 1), m
        yield "skewed up", skewed(m, 1, 8), m
    for first, second in (
        ((0.3, 0.3), (0.5, 0.1)),
        ((0.05, 0.7), (0.1, 0.6)),
        ((0.5, 0.05), (0.6, 0.02)),
    ):
        draw, mean = f1(first, second)
        yield "as F1", draw, mean


def score_passes(values: Array, margin: float) -> Array:
    """Whether the multinomial score on [-1, 1] rejects, as `lpca.stats.gain.above` has it."""
    away = values - margin
    excess = away.sum(axis=1)
    multiplier = Z * Z / np.where(excess > 0, excess, 1.0)
    weights = 1.0 + multiplier[:, None] * away
    safe = np.where(weights > 0, weights, 1.0)
    inner = (multiplier * (margin + 1.0) < 1.0) & (weights > 0).all(axis=1)
    return (excess > 0) & inner & ((away / safe).sum(axis=1) > 0)


def t_passes(values: Array, margin: float) -> Array:
    """Whether a t test rejects."""
    n = values.shape[1]
    se = values.std(axis=1, ddof=1) / np.sqrt(n)
    return values.mean(axis=1) - margin > student.ppf(0.975, n - 1) * se


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    draws, rng = parser.parse_args().draws, np.random.default_rng(SEED)
    print("| truth, margin | n | score | t |\n|---|---|---|---|")
    for name, draw, margin in truths():
        for n in (40, 200):
            drawn = draw(rng, (draws, n))
            found = [f"{test(drawn, margin).mean():.4f}" for test in (score_passes, t_passes)]
            print(f"| {name}, {margin:.3g} | {n} | {' | '.join(found)} |")
    print("\n| sd | excess | n | score | t |\n|---|---|---|---|---|")
    for sd in (0.1, 0.2, 0.3):
        for excess in (0.03, 0.05, 0.1):
            for n in (40, 100, 200):
                drawn = spread(excess, sd)(rng, (draws, n))
                found = [f"{test(drawn, 0.0).mean():.2f}" for test in (score_passes, t_passes)]
                print(f"| {sd} | {excess} | {n} | {' | '.join(found)} |")


if __name__ == "__main__":
    main()
