"""Is each claim decided by a method that fits it, and at the level the spec states?"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from lpca.base.numbers import percent, points
from lpca.checker.rule import Fault, criteria, place, place_in, rule
from lpca.gatespec.model import Gate, Spec
from lpca.gatespec.values import NO_METHOD, is_unpaired
from lpca.stats.claims import Approximate, BoundsComparison, Equivalence
from lpca.stats.planning import enough_n
from lpca.stats.proportions import min_n_equivalence, tango, wilson
from lpca.stats.tables import PairedTable
from lpca.stats.truth import Truth

LEAST_CONFIDENCE = 0.8
"""Below it an evaluation says why."""
_STANDARD = "confidence: 0.95 and equivalence_confidence: 0.90"


@rule("point-estimate", "error")
def point_estimate(spec: Spec) -> Iterator[Fault]:
    """A threshold on an observed rate, without inference."""
    for gate, criterion in criteria(spec):
        if criterion.method not in NO_METHOD:
            continue
        n = spec.episodes(gate)
        condition = criterion.claim.conditions[0]
        rate = gate.expect.get(condition, 0.5)
        seen = wilson(round(n * rate), n, spec.evaluation.confidence)
        yield Fault(
            place(criterion, "method"),
            f"method {criterion.method} decides {criterion.id} on an observed rate alone",
            f"at n {n} a rate of {percent(rate)} is anything from {percent(seen.low)} "
            f"to {percent(seen.high)}",
            f"method: {criterion.claim.method}, or no method: the claim's own",
        )


@rule("overlap", "error")
def overlap(spec: Spec) -> Iterator[Fault]:
    """Bounds of two intervals compared on shared episodes."""
    for gate, criterion in criteria(spec):
        if isinstance(criterion.claim, BoundsComparison):
            claim = criterion.claim
            yield Fault(
                criterion.position,
                f"separate intervals of {claim.first} and {claim.second} are compared, though "
                "both ran on the same episodes",
                _overlap_number(spec, gate, claim),
                f"{claim.first} - {claim.second} {claim.relation} {claim.margin:g}",
            )


def _overlap_number(spec: Spec, gate: Gate, claim: BoundsComparison) -> str:
    """The smallest lead that each way of deciding can see, from the lower rate's expectation."""
    n, confidence = spec.episodes(gate), spec.evaluation.confidence
    lower, upper = claim.lower, claim.upper
    base = round(n * gate.expect.get(lower, 0.2))
    top = wilson(base, n, confidence).high
    higher = range(base, n + 1)

    def apart(successes: int) -> bool:
        return wilson(successes, n, confidence).low > top

    def led(successes: int) -> bool:
        table = PairedTable(base, successes - base, 0, n - successes)
        return tango(table, confidence).low > 0.0

    needs = base + bisect_left(higher, True, key=apart)
    enough = base + bisect_left(higher, True, key=led)
    return (
        f"with {lower} at {base} of {n}, {upper} must reach {needs}; on paired outcomes {enough} "
        "can be enough"
    )


@rule("unpaired", "error")
def unpaired(spec: Spec) -> Iterator[Fault]:
    """An independent-samples method on paired conditions."""
    for gate, criterion in criteria(spec):
        if is_unpaired(criterion.method, criterion.claim):
            n = spec.episodes(gate)
            yield Fault(
                place(criterion, "method"),
                f"{criterion.method} takes {' and '.join(criterion.claim.conditions)} "
                "for separate samples, though both ran on the same episodes",
                f"{n} pairs are read as {2 * n} independent outcomes",
                f"method: {criterion.claim.method or 'tango'}, or no method: the claim's own",
            )


@rule("not-significant-as-equal", "error")
def not_significant_as_equal(spec: Spec) -> Iterator[Fault]:
    """Equality claimed without a margin."""
    for gate, criterion in criteria(spec):
        if isinstance(criterion.claim, Approximate):
            first, second = criterion.claim.first, criterion.claim.second
            yield Fault(
                criterion.position,
                f"{first} ≈ {second} has no margin: not finding a difference is no equality",
                _open_difference(spec, gate, first, second),
                _equivalence_instead(spec, gate, first, second),
            )


def _open_difference(spec: Spec, gate: Gate, first: str, second: str) -> str:
    n = spec.episodes(gate)
    p1, p2 = gate.expect.get(first, 0.25), gate.expect.get(second, 0.25)
    each = round(n * (p1 * (1.0 - p2) + p2 * (1.0 - p1)) / 2.0)
    seen = tango(PairedTable(0, each, each, n - 2 * each), spec.evaluation.confidence)
    return f"with equal successes at n {n} a difference of {points(seen.high)} stays possible"


def _equivalence_instead(spec: Spec, gate: Gate, first: str, second: str) -> str:
    margin = 0.10
    rate = gate.expect.get(second, 0.25)
    claim = Equivalence(first, second, margin)
    evaluation = spec.evaluation
    truth = Truth({first: rate, second: rate}, gate.correlation)
    levels = evaluation.confidence, evaluation.equivalence_confidence
    needed = enough_n(claim, truth, min_n_equivalence(margin), levels)
    size = f" (power 0.8 from n {needed} on)" if needed else ""
    return f"abs({first} - {second}) < {margin:.2f}{size}"


@rule("alpha-mismatch", "error")
def alpha_mismatch(spec: Spec) -> Iterator[Fault]:
    """Criteria decided at levels that do not belong together."""
    evaluation = spec.evaluation
    alpha = 1.0 - evaluation.confidence
    matching = 1.0 - 2.0 * alpha
    two_sided = any(criterion.claim.is_two_sided for _, criterion in criteria(spec))
    # 1 - 2 (1 - 0.95) is 0.9 but for the last bits
    if two_sided and abs(evaluation.equivalence_confidence - matching) > 1e-9:
        yield Fault(
            place_in(spec, evaluation, "equivalence_confidence"),
            f"equivalences at {percent(evaluation.equivalence_confidence)} do not spend the alpha "
            f"of {percent(evaluation.confidence)} intervals",
            f"{_side(evaluation.equivalence_confidence)} a side, alpha is {alpha:.3g}",
            f"equivalence_confidence: {matching:.4g}" if matching > 0.0 else _STANDARD,
        )
    for _, criterion in criteria(spec):
        own, level = criterion.confidence, evaluation.confidence
        if criterion.claim.is_two_sided:
            level = evaluation.equivalence_confidence
        if own is not None and abs(own - level) > 1e-9:
            yield Fault(
                place(criterion, "confidence"),
                f"{criterion.id} is decided at another level than the evaluation states",
                f"{percent(own)} spends {_side(own)} a side, {percent(level)} {_side(level)}",
                f"no confidence of its own, or {level:g}",
            )


def _side(confidence: float) -> str:
    return f"{(1.0 - confidence) / 2.0:.3g}"


@rule("low-confidence", "error")
def low_confidence(spec: Spec) -> Iterator[Fault]:
    """A level at which much passes by luck, without a reason."""
    evaluation = spec.evaluation
    if evaluation.why:
        return
    two_sided = any(criterion.claim.is_two_sided for _, criterion in criteria(spec))
    levels = [
        (key, level, place_in(spec, evaluation, key))
        for key, read in (("confidence", True), ("equivalence_confidence", two_sided))
        if read and (level := getattr(evaluation, key)) < LEAST_CONFIDENCE - 1e-9
    ]
    levels += [
        (f"confidence of {one.id}", one.confidence, place(one, "confidence"))
        for _, one in criteria(spec)
        if one.confidence is not None and one.confidence < LEAST_CONFIDENCE - 1e-9
    ]
    for key, level, position in levels:
        yield Fault(
            position,
            f"{key} {level:g} lets much pass by luck, and no reason is given",
            f"{_side(level)} a side; at most {_side(LEAST_CONFIDENCE)} needs none",
            f"{_STANDARD}, or why: in the evaluation",
        )
