"""Power of a whole gate: all its criteria at once, on the same episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from lpca.gatespec.model import Criterion
from lpca.stats._decision import decision
from lpca.stats.assessment import CONFIDENCE, EQUIVALENCE_CONFIDENCE
from lpca.stats.truth import Truth, joint, ties_of

DRAWS = 10_000
SEED = 20260122


@dataclass(frozen=True)
class GatePower:
    """The share of simulated gates that pass, its standard error, and that of each criterion."""

    power: float
    standard_error: float
    by_criterion: dict[str, float]


def gate_power(
    criteria: Sequence[Criterion],
    truth: Truth,
    n: int,
    confidence: float = CONFIDENCE,
    equivalence_confidence: float = EQUIVALENCE_CONFIDENCE,
) -> GatePower:
    """Probability that every criterion passes on the same n episodes, from 10000 seeded draws.

    Outcomes of one episode hang together by `truth.correlation`, except that a criterion with
    `expect_discordant` ties its first condition to its second alone. Raises ValueError for no
    criteria, n < 1, a missing rate, a contradictory tie, or a `truth.discordant`, which no gate of
    several pairs can share; TypeError for a claim that no sound method decides.
    """
    import numpy as np

    if not criteria or n < 1:
        raise ValueError(f"a gate needs criteria and n >= 1, got {len(criteria)} and {n}")
    if truth.discordant is not None:
        raise ValueError("state discordance by criterion: several pairs cannot share one")
    tests = [decision(one.claim, confidence, equivalence_confidence) for one in criteria]
    names = list(dict.fromkeys(name for test in tests for name in test.conditions))
    patterns = joint(names, truth, ties_of(criteria, truth))
    shares = np.array(list(patterns.values()))
    drawn = np.random.default_rng(SEED).multinomial(n, shares / shares.sum(), size=DRAWS)
    drawn = drawn.astype(np.float64)  # whole numbers: products with 0 and 1 are exact, and fast
    all_pass, by_criterion = np.ones(DRAWS, dtype=bool), {}
    for criterion, test in zip(criteria, tests, strict=True):
        places = [names.index(name) for name in test.conditions]
        cells = np.array([test.cell([bits[i] for i in places]) for bits in patterns])
        counts = drawn @ (cells[:, None] == np.arange(test.size)).astype(np.float64)
        passed = test.passes(list(counts.T), n)
        by_criterion[criterion.id] = float(passed.mean())
        all_pass &= passed
    share = float(all_pass.mean())
    return GatePower(share, sqrt(share * (1.0 - share) / DRAWS), by_criterion)
