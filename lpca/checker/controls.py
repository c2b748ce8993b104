"""Does the gate hold what a claim about meaning has to be compared with?"""

from __future__ import annotations

from collections.abc import Iterator, Set

from lpca.base.numbers import percent
from lpca.checker.rule import (
    CARRIERS,
    Fault,
    deciding,
    deciding_criteria,
    place,
    rule,
    with_required,
)
from lpca.gatespec.model import TEXTS, Gate, Spec
from lpca.stats.claims import BoundsComparison, Claim, Difference, Equivalence, Gain, Rate, Ratio
from lpca.stats.truth import Truth

INERT_SHARE = 0.10
"""How much of a bound an inert message may meet before retention is misleading."""


@rule("missing-control", "error")
def missing_control(spec: Spec) -> Iterator[Fault]:
    """A claim about meaning without shuffle, without null, or with a null that is no zeros."""
    for gate in spec.gates.values():
        semantic = [one for one in deciding(gate) if CARRIERS & set(_favoured(one.claim))]
        if not semantic:
            continue
        carriers = CARRIERS & {name for one in semantic for name in _favoured(one.claim)}
        carrier = next(name for name in gate.conditions if name in carriers)
        measured = with_required(spec, gate)
        shown = [*measured, *_shown_with(spec, gate)]
        for control, gates, cheat in (
            ("shuffle", measured, "one learned prefix that ignores the message would pass"),
            ("null", shown, "the mere presence of a prefix would pass"),
        ):
            if not any(_opposed(other, carriers, control) for other in gates):
                yield Fault(
                    semantic[0].position,
                    f"gate {gate.name} claims that {carrier} means something, but no criterion "
                    f"compares it with {control}",
                    f"0 of {len(deciding(gate))} criteria name both: {cheat}",
                    f"a further criterion: {carrier} - {control} > 0",
                )
    yield from _false_null(spec)


def _false_null(spec: Spec) -> Iterator[Fault]:
    for gate in spec.gates.values():
        form = gate.controls.get("null", "zeros")
        if form != "zeros":
            yield Fault(
                place(gate, "controls"),
                f"null is {form}, not true zeros: it carries whatever bias the decoder adds",
                "k vectors that are not zero",
                "null: zeros",
            )


def _favoured(claim: Claim) -> tuple[str, ...]:
    """The conditions a claim says do well."""
    match claim:
        case Difference() | BoundsComparison() | Ratio():
            return (claim.upper,)
        case Rate(condition, relation):
            return (condition,) if relation == ">" else ()
        case Gain(condition):
            return (condition,)
        case Equivalence(first, second):
            return (first,) if second in TEXTS else (second,) if first in TEXTS else ()
    return ()


def _opposed(gate: Gate, carriers: Set[str], control: str) -> bool:
    return any(
        control in criterion.claim.conditions and carriers & set(_favoured(criterion.claim))
        for criterion in deciding(gate)
    )


def _shown_with(spec: Spec, gate: Gate) -> list[Gate]:
    """The gates that one is reported beside, and those that are beside it."""
    return [
        other
        for other in spec.gates.values()
        if other.name in gate.shown_with or gate.name in other.shown_with
    ]


@rule("inert-retention", "error")
def inert_retention(spec: Spec) -> Iterator[Fault]:
    """Retention of the text's success that an inert message would largely meet."""
    for gate, criterion in deciding_criteria(spec):
        carrier = next((name for name in _favoured(criterion.claim) if name in CARRIERS), None)
        if carrier is None:
            continue
        met = _met_without_message(gate, criterion.claim, carrier)
        if met is not None:
            text = next((name for name in criterion.claim.conditions if name in TEXTS), "p1")
            yield Fault(
                criterion.position,
                f"a message that does nothing, {carrier} then succeeding as often as p0, would "
                f"largely meet {criterion.text}",
                met,
                f"preservation of gain: {carrier} - 0.5*{text} - 0.5*p0 > 0",
            )


def _met_without_message(gate: Gate, claim: Claim, carrier: str) -> str | None:
    """How much of a claim on text or a bare rate p0 alone meets; None where that is little."""
    base = gate.expect.get("p0")
    retained = _retained(claim, carrier)
    if retained is not None:
        text, fraction = retained
        full = gate.expect.get(text)
        if base is None or not full:  # 0 too: no share of nothing
            return f"how much is unknown: expect declares no rate for p0 or {text}"
        share = min(1.0, base / (fraction * full))
        met = f"p0 {percent(base)} is {percent(share)} of {fraction:g} * {text} {percent(full)}"
        return met if share >= INERT_SHARE else None
    others = set(claim.conditions) - {carrier}
    if base is None or not others <= set(TEXTS.among(gate.expect)):
        return None
    if not Truth({**gate.expect, carrier: base}).satisfies(claim):
        return None
    return f"p0 {percent(base)} meets it outright"


def _retained(claim: Claim, carrier: str) -> tuple[str, float] | None:
    """Text and fraction of a claim such as `normal / p1 > 0.5`."""
    match claim:
        case Ratio(first, second, ">", ratio) if first == carrier and second in TEXTS:
            return (second, ratio) if ratio <= 1.0 else None
        case Ratio(first, second, "<", ratio) if second == carrier and first in TEXTS:
            return (first, 1.0 / ratio) if ratio >= 1.0 else None
    return None
