"""How often everything that a user does with one set of rows passes falsely, by simulation.

Each codec carries nothing: what a claim compares differs by exactly its margin, the least of which
it is false. Looks are refused by the accounts of lpca's own ledger, and decided by its own tests.
Run as a program, it prints the table of `docs/lab/ledger.md`.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np

from lpca.gatespec.load import parse_spec
from lpca.gatespec.model import Spec, levels_of
from lpca.judge.outcomes import OutcomeTable
from lpca.stats.assessment import assess
from lpca.validity.ledger import LedgerEntry, family_of

ROWS = 148
RATES = {"p0": 0.35, "normal": 0.35, "null": 0.35, "shuffle": 0.35}
CLAIMS = (
    "normal - shuffle > 0",
    "normal - p0 > 0",
    "normal - null > 0",
    "normal - shuffle > 0.02",
    "normal - p0 > 0.05",
    "normal - null > 0.10",
    "normal > 0.35",
)
FALSE_BY = {
    "normal - shuffle > 0.02": 0.02,
    "normal - p0 > 0.05": 0.05,
    "normal - null > 0.10": 0.1,
}
"""How much above the others' rates `normal` may lie for the claim to be just false."""
CODECS, KS = range(5), (2, 4, 8)
FILES = {"whole": range(ROWS), "one row other": range(1, ROWS + 1), "half": range(ROWS // 2)}
"""Which rows each set of test episodes shows: all connected."""
Look = tuple[int, int, str, int]
"""Codec, k, file, and which claim."""


def spec_of(checkpoints: int) -> Spec:
    """A gate of its own name for each claim."""
    lines = [
        "version: 1",
        "task: {name: trip, seed: 1}",
        f"evaluation: {{n: {ROWS}, checkpoints: {checkpoints}, cluster: none, why: simulated}}",
        "gates:",
    ]
    for index, claim in enumerate(CLAIMS):
        lines += [
            f"  g{index}:",
            f"    conditions: [{', '.join(RATES)}]",
            f"    criteria: [{{id: c, claim: {claim}}}]",
        ]
    return parse_spec("\n".join(lines) + "\n")


class World:
    """One repetition: outcomes of every codec at every k on all rows, drawn once."""

    def __init__(self, spec: Spec, rng: np.random.Generator, tied: float) -> None:
        self.spec, self.share = spec, 1.0 / spec.evaluation.checkpoints
        self.looks: list[LedgerEntry] = []
        shape = (len(RATES), ROWS + 1)
        common = rng.random(shape)
        # a part of the rows decides alike for all codecs: what is searched is then one outcome
        self.drawn = {
            pair: np.where(rng.random(shape) < tied, common, rng.random(shape))
            for pair in product(CODECS, KS)
        }

    def table(self, look: Look) -> OutcomeTable:
        """The outcomes that a look reads, at the margin of its claim."""
        codec, k, file, claim = look
        rows = list(FILES[file])
        above = FALSE_BY.get(CLAIMS[claim], 0.0)
        columns = {}
        for index, (name, rate) in enumerate(RATES.items()):
            rate += above if name == "normal" else 0.0
            columns[name] = tuple(bool(one) for one in self.drawn[codec, k][index, rows] < rate)
        return OutcomeTable(tuple(rows), columns)

    def passes(self, look: Look) -> bool | None:
        """Whether a look passes; None where alpha does not pay for it."""
        codec, k, file, claim = look
        now = LedgerEntry(
            rows=tuple(map(str, FILES[file])),
            receiver="r",
            k=k,
            codec=str(codec),
            recipe="",
            packets=(float(codec + 1), float(k)),
            gate=f"g{claim}",
            n=ROWS,
            criteria=(CLAIMS[claim],),
            share=self.share,
        )
        paid = family_of(now, self.looks).is_paid
        self.looks.append(now)
        if not paid:
            return None
        return self.holds(look)

    def holds(self, look: Look) -> bool:
        """Whether the claim of a look holds: as `judge`, which also says what more would show."""
        [criterion] = self.spec.gates[f"g{look[3]}"].criteria
        levels = levels_of(criterion, self.spec.evaluation)
        return assess(criterion.claim, self.table(look).packed, *levels).holds

    def excess(self, look: Look) -> float:
        """What a user sees in outcomes that were shown: the difference, in successes."""
        columns = self.table(look).outcomes
        return sum(columns["normal"]) - sum(columns["shuffle"])


def any_order(world: World, rng: random.Random) -> Iterator[Look]:
    """Whatever comes to mind: other codecs, k, files, gates and margins."""
    while True:
        yield rng.choice(CODECS), rng.choice(KS), rng.choice(list(FILES)), rng.randrange(7)


def five_codecs(world: World, rng: random.Random) -> Iterator[Look]:
    """Five noisy variants, one gate, in any order."""
    for codec in rng.sample(list(CODECS), len(CODECS)):
        yield codec, 4, "whole", 0


def all_claims(world: World, rng: random.Random) -> Iterator[Look]:
    """One codec by one gate after the other."""
    for claim in rng.sample(range(len(CLAIMS)), len(CLAIMS)):
        yield 0, 4, "whole", claim


def best_seen(world: World, rng: random.Random) -> Iterator[Look]:
    """Let a gate that hardly passes show several codecs, then read the best by another one."""
    shown = [(codec, 4, "whole", 5) for codec in CODECS[: world.spec.evaluation.checkpoints // 2]]
    yield from shown
    codec = max(shown or [(0, 4, "whole", 5)], key=world.excess)[0]
    for claim in (0, 1, 2):
        yield codec, 4, "whole", claim


USERS: tuple[Callable[[World, random.Random], Iterator[Look]], ...] = (
    any_order,
    five_codecs,
    all_claims,
    best_seen,
)


def false_passes(
    user: Callable[[World, random.Random], Iterator[Look]],
    checkpoints: int,
    repetitions: int,
    tied: float = 0.0,
    seed: int = 0,
) -> float:
    """In which share of repetitions anything passes; every user stops at a PASS or a refusal."""
    spec, passed = spec_of(checkpoints), 0
    for repetition in range(repetitions):
        world = World(spec, np.random.default_rng([seed, repetition]), tied)
        for look in user(world, random.Random(f"{seed}/{repetition}")):
            verdict = world.passes(look)
            passed += verdict is True
            if verdict is not False:
                break
    return passed / repetitions


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    for one, looks, alike in product(USERS, (1, 3, 6, 12), (0.0, 0.5)):
        found = false_passes(one, looks, count, alike)
        print(f"| {one.__name__} | {looks} | {alike:g} | {found:.4f} |", flush=True)
