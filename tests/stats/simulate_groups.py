"""How often claims over groups pass falsely, cover the truth, and pass rightly.

By hand, for the tables of docs/lab/groups.md: python tests/stats/simulate_groups.py

Outcomes of a group follow one of two models, both with the correlation asked for: `urn`
(Dirichlet-multinomial: each group has rates of its own) and `copy` (each episode copies its group's
one draw with probability sqrt(icc)).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from lpca.stats.clusters import Clusters, Tally, scores, upper_tail
from lpca.stats.normal import OneSided
from lpca.stats.sequential import log_group_evalue, obrien_fleming

Array = npt.NDArray[np.float64]
Model = Literal["urn", "copy"]
Cell = Callable[..., float]
SEED = 20261130
ALPHA = 0.025
GROUPS, ICCS = (8, 13, 30, 80), (0.0, 0.1, 0.5, 1.0)


@dataclass(frozen=True)
class Truth:
    """A claim at its margin: the values an episode may take and how probable each is."""

    name: str
    values: tuple[float, ...]
    shares: tuple[float, ...]
    side: int = 1
    """1 for a claim that the mean is above, -1 that it is below."""

    @property
    def margin(self) -> float:
        return float(np.dot(self.values, self.shares))

    def moved(self, by: float) -> tuple[float, ...]:
        """Shares whose mean lies `by` farther on the claim's side, as far as there is room."""
        shares = list(self.shares)
        best, worst = (-1, 0) if self.side > 0 else (0, -1)
        mass = min(by / (self.values[-1] - self.values[0]), 0.98 * shares[worst])
        if shares[best] == 0.0:  # losses only: they become ties
            mass = min(by / abs(self.values[worst]), 0.98 * shares[worst])
            best = int(np.argmin(np.abs(self.values)))
        shares[worst] -= mass
        shares[best] += mass
        return tuple(shares)


DIFF = (-1.0, 0.0, 1.0)
TRUTHS = (
    Truth("difference > -.10, losses only", DIFF, (0.1, 0.9, 0.0)),
    Truth("difference > -.05, losses only", DIFF, (0.05, 0.95, 0.0)),
    Truth("difference > -.10, mixed", DIFF, (0.2, 0.7, 0.1)),
    Truth("difference > 0, mixed", DIFF, (0.2, 0.6, 0.2)),
    Truth("difference < .10, gains only", DIFF, (0.0, 0.9, 0.1), -1),
    Truth("difference > .10, mostly gains", DIFF, (0.05, 0.8, 0.15)),
    Truth("rate > .80", (0.0, 1.0), (0.2, 0.8)),
    Truth("rate < .30", (0.0, 1.0), (0.7, 0.3), -1),
    Truth("ratio > 2", (-2.0, -1.0, 0.0, 1.0), (0.1, 0.2, 0.3, 0.4)),
    Truth("half of the gain > 0", (-1.0, -0.5, 0.0, 0.5, 1.0), (0.05, 0.3, 0.25, 0.4, 0.0)),
)


def sizes(groups: int, lopsided: bool, equal: int = 13) -> list[int]:
    """How many episodes each group has: all the same, or from 1 to 40."""
    if not lopsided:
        return [equal] * groups
    return (
        [round(40.0 ** (i / (groups - 1))) for i in range(groups)] if lopsided else [equal] * groups
    )


def clusters_of(held: Sequence[int]) -> Clusters:
    """The groups of those sizes, one after the other."""
    return Clusters(np.repeat(np.arange(len(held)), held))


def drawn(
    rng: np.random.Generator,
    tables: int,
    clusters: Clusters,
    shares: Sequence[float],
    icc: float,
    model: Model,
) -> npt.NDArray[np.intp]:
    """[tables, n]: which value each episode takes."""
    p = np.array(shares)
    k, groups = len(p), clusters.groups
    if icc == 0.0:
        rates = np.broadcast_to(p, (tables, groups, k))
    elif icc == 1.0 or model == "copy":
        own = np.eye(k)[rng.choice(k, size=(tables, groups), p=p)]
        rates = math.sqrt(icc) * own + (1.0 - math.sqrt(icc)) * p
    else:
        possible = np.flatnonzero(p)
        rates = np.zeros((tables, groups, k))
        alphas = p[possible] * (1.0 - icc) / icc
        rates[..., possible] = rng.dirichlet(alphas, size=(tables, groups))
    edges = rates.cumsum(axis=2)[:, clusters.own, :-1]
    return (rng.random((tables, clusters.n, 1)) > edges).sum(axis=2)


def tails(
    kinds: npt.NDArray[np.intp], truth: Truth, clusters: Clusters, margin: float | None = None
) -> Array:
    """By table the one-sided p-value of the claim, as `lpca.stats.grouped` has it."""
    values = np.array(truth.values)
    at = np.full(len(kinds), truth.margin if margin is None else margin)
    tally = Tally(kinds, len(values), clusters)
    z = truth.side * scores(values, tally.total.astype(float), at)
    effect = tally.design_effect(values, at)
    return upper_tail(z, effect, clusters.freedom(effect))


def false_passes(truth: Truth, held: Sequence[int], icc: float, model: Model, tables: int) -> float:
    """The share of tables, drawn at the margin, that pass."""
    clusters = clusters_of(held)
    rng = np.random.default_rng([SEED, len(held), round(100 * icc), sum(held)])
    kinds = drawn(rng, tables, clusters, truth.shares, icc, model)
    return float((tails(kinds, truth, clusters) < ALPHA).mean())


def coverage(truth: Truth, held: Sequence[int], icc: float, model: Model, tables: int) -> float:
    """The share of tables whose 95 % interval holds the truth: that neither side's test rejects."""
    clusters = clusters_of(held)
    rng = np.random.default_rng([SEED + 2, len(held), round(100 * icc), sum(held)])
    found = tails(drawn(rng, tables, clusters, truth.shares, icc, model), truth, clusters)
    return float(((found >= ALPHA) & (found <= 1.0 - ALPHA)).mean())


def early_passes(
    truth: Truth, held: Sequence[int], icc: float, model: Model, tables: int
) -> tuple[float, float]:
    """The share of tables at the margin that pass at some look: O'Brien-Fleming, e-process.

    Four looks at whole groups; the e-process is looked at after every group.
    """
    clusters = clusters_of(held)
    rng = np.random.default_rng([SEED + 3, len(held), round(100 * icc), sum(held)])
    kinds = drawn(rng, tables, clusters, truth.shares, icc, model)
    passed = np.zeros(tables, dtype=bool)
    ends = np.cumsum(held)
    for look, limit in enumerate(obrien_fleming(4, ALPHA).p, start=1):
        rows = int(ends[np.searchsorted(ends, clusters.n * look / 4, side="right") - 1])
        if look == 4:
            rows = clusters.n
        passed |= tails(kinds[:, :rows], truth, clusters.head(rows)) < limit
    won = 0
    for table in kinds[: tables // 10]:
        values = np.array(truth.values)[table]
        side: OneSided = "greater" if truth.side > 0 else "less"
        paths = (
            log_group_evalue(
                values[:end].tolist(),
                clusters.head(int(end)),
                truth.margin,
                truth.values[0],
                truth.values[-1],
                side,
            )
            for end in ends
        )
        won += max(paths) >= -math.log(ALPHA)
    return float(passed.mean()), won / (tables // 10)


def powers(
    truth: Truth, held: Sequence[int], icc: float, model: Model, tables: int
) -> tuple[float, float]:
    """The power, and that of the score test that knows the design effect.

    At a truth at which the latter has a power of about .8, as far as the claim's values have room.
    """
    clusters = clusters_of(held)
    values = np.array(truth.values)
    square = np.array(held, dtype=float)
    effect = 1.0 + icc * (square * (square - 1.0)).sum() / clusters.n
    spread = float(np.dot(values**2, truth.shares)) - truth.margin**2
    shares = truth.moved(2.8 * math.sqrt(spread * effect / clusters.n))
    rng = np.random.default_rng([SEED + 1, len(held), round(100 * icc), sum(held)])
    kinds = drawn(rng, tables, clusters, shares, icc, model)
    at = np.full(tables, truth.margin)
    total = Tally(kinds, len(values), clusters).total.astype(float)
    known = truth.side * scores(values, total, at) / math.sqrt(effect)
    return (
        float((tails(kinds, truth, clusters) < ALPHA).mean()),
        float((upper_tail(known, np.ones(tables), np.full(tables, np.inf)) < ALPHA).mean()),
    )


def print_tables(tables: int) -> None:
    """All cells, as Markdown."""
    every = [(groups, icc) for groups in GROUPS for icc in ICCS]
    many = [(groups, icc) for groups, icc in every if groups >= 30]

    def shown(cell: Cell, form: str) -> Callable[..., str]:
        return lambda *about: form.format(cell(*about, tables)).replace("0.", ".")

    def both(*about: Any) -> str:
        own, known = powers(*about, tables)
        return f"{own:.2f} / {known:.2f}".replace("0.", ".")

    def early(*about: Any) -> str:
        return " / ".join(f"{share:.3f}".lstrip("0") for share in early_passes(*about, tables // 5))

    print_table("False PASS at the margin", every, shown(false_passes, "{:.3f}"))
    print_table("Coverage of 95 % intervals", every, shown(coverage, "{:.3f}"))
    print_table("Power, and that of a test that knows the design effect", many, both)
    looked = (
        "False PASS at any look: O'Brien-Fleming of 4 (a fifth of the draws), e-process (a 50th)"
    )
    print_table(looked, many, early, TRUTHS[:4])


def print_table(
    title: str,
    columns: Sequence[tuple[int, float]],
    cell: Callable[..., str],
    truths: Sequence[Truth] = TRUTHS,
) -> None:
    """One table: a row for each claim, sizes and model."""
    print(f"\n{title}; columns: groups, ICC\n")
    print("| claim | sizes | model |" + "".join(f" {g}, {icc:g} |" for g, icc in columns))
    print("|---|---|---|" + "---|" * len(columns))
    for truth, lopsided, model in product(truths, (False, True), get_args(Model)):
        cells = [cell(truth, sizes(groups, lopsided), icc, model) for groups, icc in columns]
        kind = "1 to 40" if lopsided else "13"
        print(f"| {truth.name} | {kind} | {model} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    print_tables(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
