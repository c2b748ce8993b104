"""How often a gate comes out PASS, FAIL and INCONCLUSIVE in a world, by seeded simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lpca.checker.adversaries import Scene, World
from lpca.checker.decision import (
    INVALID,
    MOST_LOOKS,
    Columns,
    Tables,
    clearance,
    decide_tables,
    sizes_of,
)
from lpca.checker.groups import Alike
from lpca.checker.rule import deciding, with_required
from lpca.checker.search import chance
from lpca.gatespec.model import Gate, Spec
from lpca.stats.batch import FAIL, INCONCLUSIVE, PASS
from lpca.stats.normal import one_sided_z

if TYPE_CHECKING:
    from lpca.stats.batch import Array, Codes

SEED = 20260122
DRAWS, FEWEST, VERY_FEWEST = 1_000, 200, 50
"""Tables drawn for a probability that is told, the fewest where a spec makes each one dear, and the
fewest where it also has very many gates."""
SCOUTS, FEWEST_SCOUTS = 100, 25
"""Tables drawn of each world of an adversary, to find the one that passes most often."""
TRIED = 10
"""Worlds of which they are drawn: those in which all criteria are most likely to be shown."""
FULL_EFFORT = 10
"""Gates of a spec for which as many are drawn as that; of more gates fewer each."""
FEWEST_LOOKS = 8
"""Looks that are taken in a spec of very many gates; of few gates up to `MOST_LOOKS`."""
BUDGET = 20_000_000
"""About so many random numbers and sums one simulation may take."""
MONTE_CARLO = 0.99
"""The one-sided confidence of what is said of a simulated probability."""


@dataclass(frozen=True)
class Drawn:
    """How many of the drawn tables came to each verdict."""

    passed: int
    failed: int
    undecided: int
    invalid: int

    @property
    def tables(self) -> int:
        """How many were drawn."""
        return self.passed + self.failed + self.undecided + self.invalid

    @property
    def share(self) -> float:
        """The share that passes."""
        return self.passed / self.tables

    @property
    def low(self) -> float:
        """The lower 99 % Monte Carlo limit of the probability to pass."""
        return _wilson_low(self.passed, self.tables)

    @property
    def high(self) -> float:
        """The upper one."""
        return 1.0 - _wilson_low(self.tables - self.passed, self.tables)


def _wilson_low(s: int, n: int) -> float:
    z = one_sided_z(1.0 - MONTE_CARLO)
    larger = s + z * z / 2.0 + z * math.sqrt(s * (n - s) / n + z * z / 4.0)
    return s * s / (n * larger)


class Simulator:
    """A gate of a spec, decided again and again.

    Args:
        spec: the spec.
        gate: one of its gates, whose deciding criteria and those it requires have sound methods.

    Raises:
        TypeError: a claim that no sound method decides.
        ValueError: a stopping rule that leaves a claim nothing to decide by.
    """

    def __init__(self, spec: Spec, gate: Gate) -> None:
        self.spec, self.gate = spec, gate
        # a file of many gates is checked in bounded time: fewer tables are drawn for each
        self.effort = min(1.0, FULL_EFFORT / len(spec.gates))
        self.scene = Scene.of(spec, gate)
        self.columns = Columns.of(with_required(spec, gate))
        self.sizes, self.every_look = sizes_of(
            spec, gate, max(FEWEST_LOOKS, int(MOST_LOOKS * self.effort))
        )
        self.alike = Alike.of(spec, gate)

    def draw(self, world: World, count: int, seed: int = SEED) -> Tables:
        """Draw tables of a world's episodes."""
        rng = np.random.default_rng(seed)
        reads = self.columns.of_patterns(world.names, world.patterns)
        shares = world.shares / world.shares.sum()
        drawn, counts = np.zeros((count, len(shares))), []
        for size, before in zip(self.sizes, (0, *self.sizes), strict=False):
            if self.alike is None:
                drawn = drawn + rng.multinomial(size - before, shares, size=count)
            else:
                drawn = drawn + self._in_groups(self.alike, rng, shares, (before, size), count)
            counts.append(drawn @ reads)
        return Tables(self.columns, self.sizes, tuple(counts), self.alike)

    @staticmethod
    def _in_groups(
        alike: Alike, rng: np.random.Generator, shares: Array, span: tuple[int, int], count: int
    ) -> Array:
        """[count, patterns]: episodes of a span, some of which copy what their group has drawn.

        Two of one group both copy with a probability that is their correlation.
        """
        before, size = span
        groups = max(1, alike.among(size) - (alike.among(before) if before else 0))
        each = np.diff(np.round(np.linspace(0, size - before, groups + 1)).astype(int))
        copying = rng.binomial(each, math.sqrt(alike.icc), size=(count, groups))
        copied = rng.choice(len(shares), size=(count, groups), p=shares)
        places = np.arange(count)[:, None] * len(shares) + copied
        found = np.bincount(places.ravel(), copying.ravel(), count * len(shares))
        rest = rng.multinomial(size - before - copying.sum(axis=1), shares).astype(np.float64)
        return rest + found.reshape(count, len(shares))

    def decide(self, world: World, count: int | None = None, seed: int = SEED) -> Drawn:
        """Draw tables of a world and count their verdicts."""
        count = self.affordable(len(world.shares)) if count is None else count
        return counted(decide_tables(self.spec, self.gate, self.draw(world, count, seed)))

    def affordable(self, patterns: int) -> int:
        """How many tables are drawn of a world with so many patterns."""
        each = len(self.sizes) * (2 * patterns + 50 * self.columns.width)
        fewest = max(VERY_FEWEST, int(FEWEST * self.effort))
        return max(fewest, min(int(DRAWS * self.effort), BUDGET // each))

    def worst(self, worlds: Sequence[World]) -> World | None:
        """The world that passes most often of a few tables each; None where none passes at all."""
        likely, scouts = self._possible(worlds), max(FEWEST_SCOUTS, int(SCOUTS * self.effort))
        if not likely:
            return None
        drawn = [self.draw(world, scouts, SEED + i) for i, world in enumerate(likely)]
        looks = zip(*(one.counts for one in drawn), strict=True)
        stacked = Tables(self.columns, self.sizes, tuple(map(np.concatenate, looks)), self.alike)
        codes = decide_tables(self.spec, self.gate, stacked)
        passed = (codes.reshape(len(likely), scouts) == PASS).sum(axis=1)
        best = int(passed.argmax())
        return likely[best] if passed[best] else None

    def _possible(self, worlds: Sequence[World]) -> list[World]:
        """Those in which all criteria are most likely shown, none so far off that it cannot be."""
        cleared = self._expected(worlds)
        likely = chance(cleared)
        likely[~(cleared.min(axis=1) > -FAR)] = -np.inf
        best = np.argsort(-likely, kind="stable")[:TRIED]
        return [worlds[int(i)] for i in best if likely[i] > -np.inf]

    def clearance(self, worlds: Sequence[World]) -> Array:
        """By world, by how many standard scores its least clear criterion is beyond what is due.

        Outcomes are as often as expected; required gates are read at the gate's own n.
        """
        least: Array = self._expected(worlds).min(axis=1)
        return least

    def _expected(self, worlds: Sequence[World]) -> Array:
        expected = [
            (self.sizes[-1] * world.shares / world.shares.sum())
            @ self.columns.of_patterns(world.names, world.patterns)
            for world in worlds
        ]
        return self._cleared(np.stack(expected))

    def at_rates(self, names: Sequence[str], rates: Array, draws: Sequence[Sequence[str]]) -> Array:
        """The same by criterion, [points, criteria], of [points, conditions] rates."""
        return self._cleared(self.sizes[-1] * self.columns.of_rates(names, rates, draws))

    def _cleared(self, counts: Array) -> Array:
        tables = Tables(self.columns, self.sizes[-1:], (counts,), self.alike)
        gates = [one for one in with_required(self.spec, self.gate) if deciding(one)]
        return np.concatenate([clearance(self.spec, one, tables) for one in gates], axis=1)


CLEAR, FAR = 6.0, 4.0
"""A claim expected to score so far beyond what is due always passes; so far short of it never."""


def counted(codes: Codes) -> Drawn:
    """Count verdicts."""
    found = np.bincount(codes.ravel(), minlength=4)
    return Drawn(*(int(found[code]) for code in (PASS, FAIL, INCONCLUSIVE, INVALID)))
