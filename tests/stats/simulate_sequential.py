"""False passes at each claim's boundary, and episodes needed at a clear effect, by simulation.

By hand, for the figures in docs/lab/levels.md: python tests/stats/simulate_sequential.py
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lpca.stats.assessment import assess
from lpca.stats.claims import Band, Claim, Difference, Equivalence, Gain, Rate, Ratio
from lpca.stats.sequential import decide_anytime, evalues, obrien_fleming
from lpca.stats.truth import Truth, joint
from lpca.stats.verdicts import Verdict

ALPHA = 0.025
SEED = 7

BOUNDARY: dict[str, tuple[Claim, Truth]] = {
    "difference": (Difference("x", "y", ">", 0.0), Truth({"x": 0.25, "y": 0.25})),
    "difference, margin": (Difference("x", "y", ">", 0.1), Truth({"x": 0.35, "y": 0.25}, 0.5)),
    "rate": (Rate("x", ">", 0.3), Truth({"x": 0.3})),
    "band": (Band("x", 0.15, 0.35), Truth({"x": 0.35})),
    "equivalence": (Equivalence("x", "y", 0.1), Truth({"x": 0.35, "y": 0.25}, 0.3)),
    "gain": (Gain("x", "y", "z", 0.5), Truth({"x": 0.525, "y": 0.8, "z": 0.25})),
    "ratio": (Ratio("x", "y", ">", 0.8), Truth({"x": 0.4, "y": 0.5}, 0.5)),
}
CLEAR = (Difference("x", "y", ">", 0.1), Truth({"x": 0.6, "y": 0.2}))


@dataclass(frozen=True)
class Result:
    """Share of paths that came to PASS, its standard error, and mean episodes until decided."""

    passed: float
    standard_error: float
    episodes: float


class Replay:
    """Verdicts of a claim on pattern counts; order never matters, so counts are cached."""

    def __init__(self, claim: Claim, truth: Truth) -> None:
        self.claim = claim
        self.names = [value for value in vars(claim).values() if value in truth.rates]
        masses = joint(self.names, truth, {})
        self.patterns, self.shares = list(masses), np.array(list(masses.values()))
        self.evalues = lru_cache(None)(lambda counts: evalues(claim, self.outcomes(counts)))
        self.p_pass = lru_cache(None)(lambda counts: assess(claim, self.outcomes(counts)).p_pass)

    def outcomes(self, counts: Sequence[int]) -> dict[str, list[bool]]:
        rows = [p for p, k in zip(self.patterns, counts, strict=True) for _ in range(k)]
        return dict(
            zip(self.names, (list(column) for column in zip(*rows, strict=True)), strict=True)
        )

    def paths(self, paths: int, looks: int, block: int) -> np.ndarray:
        shares = self.shares / self.shares.sum()
        drawn = np.random.default_rng(SEED).multinomial(block, shares, size=(paths, looks))
        return drawn.cumsum(axis=1)


def run(
    replay: Replay,
    decided: Callable[[tuple[int, ...], int], Verdict | None],
    paths: int,
    looks: int,
    block: int,
) -> Result:
    passes, episodes = 0, 0
    for path in replay.paths(paths, looks, block).tolist():
        for look, counts in enumerate(path):
            verdict = decided(tuple(counts), look)
            if verdict is not None or look == looks - 1:
                passes += verdict is Verdict.PASS
                episodes += (look + 1) * block
                break
    share = passes / paths
    return Result(share, math.sqrt(share * (1 - share) / paths), episodes / paths)


def anytime(claim: Claim, truth: Truth, paths: int, looks: int, block: int) -> Result:
    """Look after every block; stop at the first PASS or FAIL of the e-process."""
    replay, alpha = Replay(claim, truth), 0.05 if isinstance(claim, Equivalence) else ALPHA

    def decided(counts: tuple[int, ...], _: int) -> Verdict | None:
        verdict = decide_anytime([replay.evalues(counts)], alpha)[0]
        return None if verdict is Verdict.INCONCLUSIVE else verdict

    return run(replay, decided, paths, looks, block)


def group_sequential(claim: Claim, truth: Truth, paths: int, looks: int, block: int) -> Result:
    """Look at equal steps; stop at the first score beyond the O'Brien-Fleming boundary."""
    replay, alpha = Replay(claim, truth), 0.05 if claim.is_two_sided else ALPHA
    limits = obrien_fleming(looks, alpha).p

    def decided(counts: tuple[int, ...], look: int) -> Verdict | None:
        return Verdict.PASS if replay.p_pass(counts) < limits[look] else None

    return run(replay, decided, paths, looks, block)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paths", type=int, default=20_000)
    paths = parser.parse_args().paths
    rules = {
        "e-process, look every 10 to 400": (anytime, 40, 10),
        "O'Brien-Fleming, 4 looks of 50": (group_sequential, 4, 50),
        "O'Brien-Fleming, 4 looks of 100": (group_sequential, 4, 100),
    }
    for (rule, (method, looks, block)), (name, case) in itertools.product(
        rules.items(), {**BOUNDARY, "clear effect": CLEAR}.items()
    ):
        found = method(*case, paths, looks, block)
        print(
            f"{rule:34}{name:20}pass {found.passed:.4f} +- {found.standard_error:.4f}"
            f"   episodes {found.episodes:6.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
