"""Does each claim say something, and something that no other says?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np

from lpca.base.numbers import percent
from lpca.checker.decision import limit_of
from lpca.checker.rule import Fault, carried, deciding, deciding_criteria, rule
from lpca.gatespec.model import Criterion, Gate, Spec
from lpca.stats.batch import BatchTest
from lpca.stats.claims import Band, Claim, Difference, Equivalence, Gain, Rate, Ratio

EVERYWHERE = 0.98
"""A claim that is shown at so large a share of all rates is shown whatever comes out."""
POINTS = {1: 400, 2: 40, 3: 16}
"""By number of conditions: at how many rates of each a claim is tried."""
MOST_COMPARED = 60
"""Criteria of one gate that are compared with one another."""
_TIE = 1e-9

Halfspace = tuple[Mapping[str, float], float]
"""Weights of success rates whose sum exceeds a constant."""


@rule("always-holds", "error")
def always_holds(spec: Spec) -> Iterator[Fault]:
    """A claim that is shown whatever comes out."""
    for gate, criterion in deciding_criteria(spec):
        if criterion.claim.method is None or only_reports(gate):
            continue
        share = shown_share(spec, gate, criterion)
        if share >= EVERYWHERE:
            yield Fault(
                criterion.position,
                f"{criterion.text} holds whatever comes out",
                f"at n {spec.episodes(gate)} it is shown at {percent(share)} of all rates",
                "a margin that some outcomes miss, or no such criterion",
            )


def only_reports(gate: Gate) -> bool:
    """Whether a gate is there for its numbers, and claims nothing of a message."""
    return bool(gate.reported) and not any(carried(one.claim) for one in gate.criteria)


def shown_share(spec: Spec, gate: Gate, criterion: Criterion) -> float:
    """At how many of all rates of its conditions a claim is shown, if outcomes come as expected."""
    n = spec.episodes(gate)
    test = BatchTest.of(criterion.claim)
    count = POINTS[len(criterion.claim.conditions)]
    rates = (np.arange(count) + 0.5) / count  # the ends are few outcomes, not a share of them
    grids = np.meshgrid(*[rates] * len(criterion.claim.conditions), indexing="ij")
    counts = [np.zeros(grids[0].shape) for _ in range(test.kinds)]
    for bits in product((0, 1), repeat=len(grids)):
        parts = [grid if bit else 1.0 - grid for bit, grid in zip(bits, grids, strict=True)]
        counts[test.kind(bits)] += n * np.prod(parts, axis=0)
    # a hair of each kind keeps the scores of what never varies defined
    toward, _ = test.scores([count + _TIE for count in counts], n)
    return float((toward > limit_of(criterion, spec.evaluation, gate)).mean())


@rule("repeated-claim", "warning")
def repeated_claim(spec: Spec) -> Iterator[Fault]:
    """A claim said twice, or that a stricter one implies."""
    for gate in spec.gates.values():
        compared = [one for one in deciding(gate)[:MOST_COMPARED] if one.claim.method is not None]
        for index, one in enumerate(compared):
            stricter = next(
                (
                    other
                    for place, other in enumerate(compared)
                    # of two that say the same the later is the repetition
                    if other is not one
                    and implies(other.claim, one.claim)
                    and (place < index or not implies(one.claim, other.claim))
                ),
                None,
            )
            if stricter is not None:
                same = implies(one.claim, stricter.claim)
                says = "says again what" if same else "is implied by"
                yield Fault(
                    one.position,
                    f"{one.id} ({one.text}) {says} {stricter.id} ({stricter.text})"
                    + (" says" if same else ""),
                    f"wherever {stricter.text} is true, {one.text} is",
                    f"{stricter.id} alone",
                )


def implies(stricter: Claim, weaker: Claim) -> bool:
    """Whether a claim is true at all rates at which another is."""
    return all(
        any(_least_within(given, asked) >= -_TIE for given in halfspaces(stricter))
        for asked in halfspaces(weaker)
    )


def halfspaces(claim: Claim) -> list[Halfspace]:
    """A claim as sums of weighted rates, each above a constant; all must hold."""
    match claim:
        case Difference(first, second) | Equivalence(first, second):
            weights = {first: 1.0, second: -1.0}
        case Ratio(first, second, relation, ratio):
            sign = 1.0 if relation == ">" else -1.0
            return [({first: sign, second: -sign * ratio}, 0.0)]
        case Gain(condition, text, base, fraction):
            return [({condition: 1.0, text: -fraction, base: fraction - 1.0}, 0.0)]
        case Rate(condition) | Band(condition):
            weights = {condition: 1.0}
        case _:
            return []
    region, found = claim.region, list[Halfspace]()
    if np.isfinite(region.low):
        found.append((weights, region.low))
    if np.isfinite(region.high):
        found.append(({name: -weight for name, weight in weights.items()}, -region.high))
    return found


def _least_within(given: Halfspace, asked: Halfspace) -> float:
    """By how much a sum exceeds its constant at least, where another claim is true.

    A continuous knapsack: from the rates that make the sum least, those are moved first that cost
    least for what they add to the other.
    """
    weights, due = given
    aims, constant = asked
    names = list(dict.fromkeys([*weights, *aims]))
    cost = {name: aims.get(name, 0.0) for name in names}
    gain = {name: weights.get(name, 0.0) for name in names}
    # without a cost a rate stands where it helps the other claim
    start = {n: float(cost[n] < 0.0 or (cost[n] == 0.0 and gain[n] > 0.0)) for n in names}
    total = sum(cost[name] * start[name] for name in names)
    lacking = due - sum(gain[name] * start[name] for name in names)
    moves = []
    for name in names:
        direction = -1.0 if start[name] else 1.0
        if gain[name] * direction > 0.0:
            moves.append(
                (cost[name] * direction / (gain[name] * direction), gain[name] * direction)
            )
    for price, most in sorted(moves):
        if lacking <= 0.0:
            break
        taken = min(lacking, most)
        total += price * taken
        lacking -= taken
    # a claim that no rates satisfy implies anything: other rules refuse it
    return total - constant
