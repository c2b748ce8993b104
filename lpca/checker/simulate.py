"""How often a gate comes out PASS, FAIL and INCONCLUSIVE in a world, by seeded simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lpca.checker.adversaries import Scene, World
from lpca.checker.decision import INVALID, Columns, Tables, clearance, decide_tables, sizes_of
from lpca.checker.rule import deciding, with_required
from lpca.gatespec.model import Gate, Spec
from lpca.stats.batch import FAIL, INCONCLUSIVE, PASS
from lpca.stats.normal import one_sided_z

if TYPE_CHECKING:
    from lpca.stats.batch import Array, Codes

SEED = 20260122
DRAWS, FEWEST = 1_000, 200
"""Tables drawn for a probability that is told, and the fewest where a spec makes each one dear."""
SCOUTS, FEWEST_SCOUTS = 100, 25
"""Tables drawn of each world of an adversary, to find the one that passes most often."""
FULL_EFFORT = 10
"""Gates of a spec for which as many are drawn as that; of more gates fewer each."""
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
        self.sizes, self.every_look = sizes_of(spec, gate)

    def draw(self, world: World, count: int, seed: int = SEED) -> Tables:
        """Draw tables of a world's episodes."""
        rng = np.random.default_rng(seed)
        reads = self.columns.of_patterns(world.names, world.patterns)
        shares = world.shares / world.shares.sum()
        drawn, counts = np.zeros((count, len(shares))), []
        for size, before in zip(self.sizes, (0, *self.sizes), strict=False):
            drawn = drawn + rng.multinomial(size - before, shares, size=count)
            counts.append(drawn @ reads)
        return Tables(self.columns, self.sizes, tuple(counts))

    def decide(self, world: World, count: int | None = None, seed: int = SEED) -> Drawn:
        """Draw tables of a world and count their verdicts."""
        count = self.affordable(len(world.shares)) if count is None else count
        return counted(decide_tables(self.spec, self.gate, self.draw(world, count, seed)))

    def affordable(self, patterns: int) -> int:
        """How many tables are drawn of a world with so many patterns."""
        each = len(self.sizes) * (2 * patterns + 50 * self.columns.width)
        return max(FEWEST, min(int(DRAWS * self.effort), BUDGET // each))

    def worst(self, worlds: Sequence[World]) -> World | None:
        """The world that passes most often of a few tables each; None where none passes at all."""
        likely, scouts = self._possible(worlds), max(FEWEST_SCOUTS, int(SCOUTS * self.effort))
        if not likely:
            return None
        drawn = [self.draw(world, scouts, SEED + i) for i, world in enumerate(likely)]
        looks = zip(*(one.counts for one in drawn), strict=True)
        stacked = Tables(self.columns, self.sizes, tuple(map(np.concatenate, looks)))
        codes = decide_tables(self.spec, self.gate, stacked)
        passed = (codes.reshape(len(likely), scouts) == PASS).sum(axis=1)
        best = int(passed.argmax())
        return likely[best] if passed[best] else None

    def _possible(self, worlds: Sequence[World]) -> list[World]:
        """Those in which no criterion is so far from what is expected that it cannot be shown."""
        most = self.clearance(worlds)
        return [world for world, one in zip(worlds, most, strict=True) if one > -CLEAR]

    def clearance(self, worlds: Sequence[World]) -> Array:
        """By world, by how many standard scores its least clear criterion is beyond what is due.

        Outcomes are as often as expected; required gates are read at the gate's own n.
        """
        expected = [
            (self.sizes[-1] * world.shares / world.shares.sum())
            @ self.columns.of_patterns(world.names, world.patterns)
            for world in worlds
        ]
        least: Array = self._cleared(np.stack(expected)).min(axis=1)
        return least

    def at_rates(self, names: Sequence[str], rates: Array, draws: Sequence[Sequence[str]]) -> Array:
        """The same by criterion, [points, criteria], of [points, conditions] rates."""
        return self._cleared(self.sizes[-1] * self.columns.of_rates(names, rates, draws))

    def _cleared(self, counts: Array) -> Array:
        tables = Tables(self.columns, self.sizes[-1:], (counts,))
        gates = [one for one in with_required(self.spec, self.gate) if deciding(one)]
        return np.concatenate([clearance(self.spec, one, tables) for one in gates], axis=1)


CLEAR = 6.0
"""A claim expected to score so far beyond what is due always passes; so far short of it never."""


def counted(codes: Codes) -> Drawn:
    """Count verdicts."""
    found = np.bincount(codes.ravel(), minlength=4)
    return Drawn(*(int(found[code]) for code in (PASS, FAIL, INCONCLUSIVE, INVALID)))
