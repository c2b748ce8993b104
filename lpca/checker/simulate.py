"""How often a gate comes out PASS, FAIL and INCONCLUSIVE in a world, by seeded simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lpca.checker.adversaries import Scene, World
from lpca.checker.decision import INVALID, Columns, Tables, decide_tables, sizes_of
from lpca.checker.rule import with_required
from lpca.gatespec.model import Gate, Spec
from lpca.stats.batch import FAIL, INCONCLUSIVE, PASS
from lpca.stats.normal import one_sided_z

if TYPE_CHECKING:
    from lpca.stats.batch import Codes

SEED = 20260122
DRAWS, FEWEST = 1_000, 200
"""Tables drawn for a probability that is told, and the fewest where a spec makes each one dear."""
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
        return max(FEWEST, min(DRAWS, BUDGET // each))

    def worst(self, worlds: Sequence[World], scouts: int) -> World | None:
        """The world that passes most often of a few tables each; None where none passes at all."""
        likely = self._possible(worlds)
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
        expected = [
            (self.sizes[-1] * world.shares / world.shares.sum())
            @ self.columns.of_patterns(world.names, world.patterns)
            for world in worlds
        ]
        tables = Tables(self.columns, self.sizes[-1:], (np.stack(expected),))
        scores = [tables.scores(claim)[0] for claim in self.columns.claims]
        least = np.minimum.reduce(scores)
        return [world for world, score in zip(worlds, least, strict=True) if score > -HOPELESS]


HOPELESS = 6.0
"""A claim whose score is expected so far on the wrong side comes out PASS in no table drawn."""


def counted(codes: Codes) -> Drawn:
    """Count verdicts."""
    found = np.bincount(codes.ravel(), minlength=4)
    return Drawn(*(int(found[code]) for code in (PASS, FAIL, INCONCLUSIVE, INVALID)))
