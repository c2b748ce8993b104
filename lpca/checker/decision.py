"""The judge's own decision of a gate, for many tables of outcomes at once.

`lpca.judge` decides one table in some hundred milliseconds; a probability takes thousands. What
stands here comes to the same verdicts, from how often each pattern of outcomes occurs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, product
from typing import TYPE_CHECKING

import numpy as np

from lpca.checker.groups import Alike, scale_of
from lpca.checker.rule import deciding, with_required
from lpca.checker.search import shares_of
from lpca.gatespec.model import (
    Criterion,
    Evaluation,
    Gate,
    Sequential,
    Spec,
    levels_of,
    look_alpha,
    passing_levels,
)
from lpca.stats.batch import (
    FAIL,
    INCONCLUSIVE,
    PASS,
    BatchTest,
    decide_many,
    holm_many,
    tails,
    whole_many,
)
from lpca.stats.claims import Band, Claim
from lpca.stats.normal import z_value
from lpca.stats.sequential import obrien_fleming

if TYPE_CHECKING:
    from lpca.stats.batch import Array, Codes, Mask

INVALID = 3
"""Beside the verdicts of `lpca.stats.batch`: a required gate does not pass."""
MOST_LOOKS = 40
"""Of more looks so many are taken, ever farther apart: what passes between them is left out."""
FAMILY_ALPHA = 0.05
"""The level of "any of several k", as in `lpca.stats.verdicts.any_of`."""


@dataclass(frozen=True)
class Columns:
    """Which columns of an array of counts each claim reads: one per kind of episode."""

    claims: tuple[Claim, ...]

    @classmethod
    def of(cls, gates: Iterable[Gate]) -> Columns:
        """Those that the deciding criteria of some gates read."""
        return cls(tuple(dict.fromkeys(one.claim for gate in gates for one in deciding(gate))))

    @property
    def conditions(self) -> tuple[str, ...]:
        """Every condition that a claim names."""
        return tuple(dict.fromkeys(name for one in self.claims for name in one.conditions))

    @property
    def width(self) -> int:
        """How many columns there are."""
        return sum(test.kinds for _, test in self._tests.values())

    @cached_property
    def _tests(self) -> dict[Claim, tuple[int, BatchTest]]:
        tests = [BatchTest.of(claim) for claim in self.claims]
        starts = accumulate((test.kinds for test in tests), initial=0)
        return dict(zip(self.claims, zip(starts, tests, strict=False), strict=True))

    def read(self, claim: Claim, counts: Array) -> tuple[BatchTest, list[Array]]:
        """A claim's test, and its columns of [tables, columns]."""
        start, test = self._tests[claim]
        return test, [counts[:, start + kind] for kind in range(test.kinds)]

    def of_patterns(self, names: Sequence[str], patterns: Array) -> Array:
        """[patterns, columns]: 1 where an episode with a pattern of outcomes counts, else 0."""
        parts = []
        for claim, (_, test) in self._tests.items():
            places = [names.index(name) for name in claim.conditions]
            # the few patterns of a claim's own conditions, then each pattern by its number
            own = patterns[:, places] @ (2.0 ** np.arange(len(places))[::-1])
            width = len(places)
            bits = [
                [number >> (width - 1 - i) & 1 for i in range(width)] for number in range(2**width)
            ]
            kinds = np.array([test.kind(one) for one in bits])[own.astype(np.intp)]
            parts.append(kinds[:, None] == np.arange(test.kinds))
        return np.concatenate(parts, axis=1).astype(np.float64)

    def of_rates(self, names: Sequence[str], rates: Array, draws: Sequence[Sequence[str]]) -> Array:
        """[points, columns]: how often an episode counts, from [points, conditions] rates.

        `draws` says which conditions share one draw of difficulty.
        """
        found = np.zeros((len(rates), self.width))
        for claim, (start, test) in self._tests.items():
            own = rates[:, [names.index(name) for name in claim.conditions]]
            shared = [
                [i for i, name in enumerate(claim.conditions) if name in draw] for draw in draws
            ]
            for bits, share in shares_of(own, [places for places in shared if places]):
                found[:, start + test.kind(bits)] += share
        return found


@dataclass(frozen=True)
class Tables:
    """Many tables of outcomes, as counts: `counts[i]` is [tables, columns] at `sizes[i]` episodes.

    The sizes rise; the last is that of the whole table.
    """

    columns: Columns
    sizes: tuple[int, ...]
    counts: tuple[Array, ...]
    alike: Alike | None = None
    """The groups that their episodes come in, where these are alike."""

    @property
    def n(self) -> int:
        """Episodes in each."""
        return self.sizes[-1]

    def scores(self, claim: Claim, at: int = -1) -> tuple[Array, Array]:
        """Standard scores for a claim and for its opposite, at a look."""
        test, counts = self.columns.read(claim, self.counts[at])
        return test.scores(counts, self.sizes[at])

    def log_evalues(self, claim: Claim, at: int) -> tuple[Array, Array]:
        """Logarithms of the e-values for a claim and for its opposite, at a look."""
        test, counts = self.columns.read(claim, self.counts[at])
        return test.log_evalues(counts)


def sizes_of(spec: Spec, gate: Gate, most: int = MOST_LOOKS) -> tuple[tuple[int, ...], bool]:
    """At which numbers of episodes a gate is to be looked at, and whether those are all."""
    n, found, whole = spec.episodes(gate), set[int](), True
    for one in with_required(spec, gate):
        rule, due = one.sequential, spec.episodes(one)
        if rule is None:
            continue
        if rule.block is None or due <= rule.block * most:
            sizes = list(rule.sizes(due))
        else:
            # a block of one makes a million looks: never written out
            count = -(-due // rule.block)
            places = np.geomspace(1, count, most).round().astype(int).tolist()
            sizes, whole = [min(due, rule.block * place) for place in dict.fromkeys(places)], False
        found.update(size for size in sizes if size <= n)
    return (*sorted(found - {n}), n), whole


def decide_tables(spec: Spec, gate: Gate, tables: Tables) -> Codes:
    """`judge` of many tables: the verdict of each as a number.

    A gate of which any of several k suffices is decided from one of them, as `lpca judge` does.
    """
    codes = (
        decide_family(gate, [tables], spec)
        if gate.any_k
        else whole_many(decide_criteria(spec, gate, tables))
    )
    # each once, however many gates require it: its k suffices by itself
    for required in with_required(spec, gate)[1:]:
        held = whole_many(decide_criteria(spec, required, tables))
        codes = np.where(held == PASS, codes, INVALID).astype(np.int8)
    return codes


def decide_criteria(spec: Spec, gate: Gate, tables: Tables) -> Codes:
    """`judge_gate` of many tables: verdicts as numbers, [tables, deciding criteria]."""
    criteria, evaluation = deciding(gate), spec.evaluation
    levels = [level_of(one, evaluation) for one in criteria]
    scores = [tables.scores(one.claim) for one in criteria]
    scales = np.array([scale_of(one, spec, tables.alike, tables.n) for one in criteria])
    fixed = decide_many(
        np.stack([toward for toward, _ in scores], axis=1) * scales,
        np.stack([against for _, against in scores], axis=1) * scales,
        levels,
    )
    if gate.sequential is None:
        return fixed
    n = spec.episodes(gate)
    codes = np.full_like(fixed, INCONCLUSIVE)
    for at, size in enumerate(tables.sizes if criteria else ()):
        look = _look(gate.sequential, size, n)
        if look is not None:
            seen = _at_look(spec, gate, criteria, tables, look, at)
            codes = np.where(codes == INCONCLUSIVE, seen, codes)
    return codes


def _look(rule: Sequential, size: int, n: int) -> int | None:
    """Which look a gate of n takes after so many episodes, from 0; None where it takes none."""
    if rule.block is not None:
        is_look = size == n or (size < n and size % rule.block == 0)
        return -(-size // rule.block) - 1 if is_look else None
    sizes = list(rule.sizes(n))
    return sizes.index(size) if size in sizes else None


def _at_look(
    spec: Spec,
    gate: Gate,
    criteria: Sequence[Criterion],
    tables: Tables,
    look: int,
    at: int,
) -> Codes:
    assert gate.sequential is not None
    verdicts, evaluation = [], spec.evaluation
    for one in criteria:
        alpha = look_alpha(one, evaluation)
        scale = scale_of(one, spec, tables.alike, tables.sizes[at])
        if gate.sequential.rule == "e-process":
            # about half the squared score
            favour, oppose = (scale**2 * log for log in tables.log_evalues(one.claim, at))
            needed = -math.log(alpha)
            verdicts.append(_three(favour >= needed, oppose >= needed + math.log(len(criteria))))
            continue
        limit = obrien_fleming(gate.sequential.looks or 1, alpha).p[look]
        own = (1.0 - level_of(one, evaluation)) / 2.0
        toward, against = tables.scores(one.claim, at)
        # each claim's own alpha scales the boundary: a band spends its alpha on either side
        passing, failing = limit * own / alpha, limit * own / alpha / len(criteria)
        verdicts.append(_three(tails(scale * toward) < passing, tails(scale * against) < failing))
    return np.stack(verdicts, axis=1)


def _three(passes: Mask, fails: Mask) -> Codes:
    return np.where(passes, PASS, np.where(fails, FAIL, INCONCLUSIVE)).astype(np.int8)


def decide_family(gate: Gate, by_k: Sequence[Tables], spec: Spec) -> Codes:
    """`judge_family` of many tables per k; of the family's k as many are run as are given."""
    criteria = deciding(gate)
    levels = [level_of(one, spec.evaluation) for one in criteria]
    alone, pvalues = [], []
    for tables in by_k:
        scores = [tables.scores(one.claim) for one in criteria]
        scales = np.array([scale_of(one, spec, tables.alike, tables.n) for one in criteria])
        toward = np.stack([score for score, _ in scores], axis=1) * scales
        against = np.stack([score for _, score in scores], axis=1) * scales
        alone.append(whole_many(decide_many(toward, against, levels)))
        scale = np.array([2.0 * FAMILY_ALPHA / (1.0 - level) for level in levels])
        pvalues.append(np.minimum(1.0, tails(toward) * scale).max(axis=1))
    # a k that was not run counts as p = 1
    missing = [np.ones_like(pvalues[0])] * (len(gate.family) - len(by_k))
    adjusted = holm_many(np.stack([*pvalues, *missing], axis=1))[:, : len(by_k)]
    codes = np.stack(alone, axis=1)
    codes = np.where((codes == PASS) & (adjusted >= FAMILY_ALPHA), INCONCLUSIVE, codes)
    any_pass, all_fail = (codes == PASS).any(axis=1), (codes == FAIL).all(axis=1) & (not missing)
    return np.where(any_pass, PASS, np.where(all_fail, FAIL, INCONCLUSIVE)).astype(np.int8)


def best_under_rule(spec: Spec, gate: Gate, criterion: Criterion) -> tuple[bool, float, float]:
    """Whether any outcome passes a criterion under its gate's stopping rule.

    The outcomes tried are those that are the same in every episode; of a band, rates in steps.

    Returns:
        Whether one passes; the largest e-value or score there is at the end, and the one due.

    Raises:
        ValueError: the rule leaves the claim nothing to decide by.
    """
    assert gate.sequential is not None
    alone = replace(gate, criteria=(replace(criterion, severity="error"),), requires=())
    columns, names = Columns.of([alone]), criterion.claim.conditions
    corners = np.array(list(product((0.0, 1.0), repeat=len(names))))
    rows = columns.of_patterns(names, corners)
    if isinstance(criterion.claim, Band):
        rates = np.linspace(0.0, 1.0, 401)[:, None]
        rows = (1.0 - rates) * rows[:1] + rates * rows[1:]
    sizes, _ = sizes_of(replace(spec, gates={gate.name: alone}), alone)
    # what passes mostly does so at the last look: the others are taken where it does not
    for looks in (sizes[-1:], sizes):
        tables = Tables(columns, looks, tuple(size * rows for size in looks))
        passes = bool((decide_criteria(spec, alone, tables) == PASS).any())
        if passes:
            break
    alpha = look_alpha(criterion, spec.evaluation)
    if gate.sequential.rule == "e-process":
        best = float(tables.log_evalues(criterion.claim, -1)[0].max())
        return passes, math.exp(min(best, 700.0)), 1.0 / alpha
    due = obrien_fleming(gate.sequential.looks or 1, alpha).z[-1]
    return passes, float(tables.scores(criterion.claim)[0].max()), due


def clearance(spec: Spec, gate: Gate, tables: Tables) -> Array:
    """By how many standard scores each criterion is beyond what it must reach at the last look.

    Returns:
        [tables, deciding criteria]; negative where a criterion falls short.

    Raises:
        ValueError: a stopping rule leaves a claim nothing to decide by.
    """
    found, rule = [], gate.sequential
    for one in deciding(gate):
        toward, _ = tables.scores(one.claim)
        due = limit_of(one, spec.evaluation, gate)
        alpha = look_alpha(one, spec.evaluation)
        if rule is not None:
            if rule.rule == "e-process":
                # about half the squared score: on that scale a capital is far or near
                logs, _ = tables.log_evalues(one.claim, -1)
                toward = np.where(logs > 0.0, np.sqrt(2.0 * np.maximum(logs, 0.0)), toward)
                due = math.sqrt(-2.0 * math.log(alpha))
            else:
                due = max(due, obrien_fleming(rule.looks or 1, alpha).z[-1])
        found.append(scale_of(one, spec, tables.alike, tables.n) * toward - due)
    return np.stack(found, axis=1)


def level_of(criterion: Criterion, evaluation: Evaluation) -> float:
    """The confidence a criterion's claim is decided at."""
    one_sided, two_sided = levels_of(criterion, evaluation)
    return two_sided if criterion.claim.is_two_sided else one_sided


def limit_of(criterion: Criterion, evaluation: Evaluation, gate: Gate) -> float:
    """The standard score that a criterion must exceed for its gate to pass, read once."""
    one_sided, two_sided = passing_levels(gate, levels_of(criterion, evaluation))
    return z_value(two_sided if criterion.claim.is_two_sided else one_sided)
