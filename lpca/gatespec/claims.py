"""The claim language: one comparison of success rates, read into a `Claim`.

A claim compares two sums of conditions and numbers. Sides may be exchanged and terms moved
across, so `p0 + 0.10 < normal` and `normal - p0 > 0.10` are the same claim; `normal > p0` is a
difference above 0. `>=` reads as `>` and `<=` as `<`: an interval's bound cannot tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from lpca.base.numbers import PERCENT, POINTS, RATIO, Unit, percent, points
from lpca.gatespec.claim_parser import (
    ABOUT,
    FORMS,
    ClaimError,
    Linear,
    Quotient,
    Side,
    Token,
    parse_comparison,
)
from lpca.gatespec.model import CONDITIONS
from lpca.stats.claims import (
    Approximate,
    Band,
    BoundsComparison,
    Claim,
    Difference,
    Equivalence,
    Gain,
    Rate,
    Ratio,
    Relation,
)

__all__ = ["ClaimError", "parse_claim"]

_OTHER: dict[Relation, Relation] = {">": "<", "<": ">"}
_TIE = 1e-9
"""Weights nearer to one another are equal: three times 0.1 is not 0.3 in binary."""


def parse_claim(text: str, conditions: Collection[str] = CONDITIONS) -> Claim:
    """Read a claim.

    Args:
        text: a comparison such as `normal - p0 > 0.10`; `docs/spec-reference.md` lists the forms.
        conditions: those it may name.

    Returns:
        The claim, in one form however it is put.

    Raises:
        ClaimError: the text is no claim, or names another condition; its offset is the place.

    Example:
        >>> parse_claim("normal > p0 + 0.1")
        Difference(first='normal', second='p0', relation='>', margin=0.1)
    """
    sides, relations = parse_comparison(text, conditions)
    if len(sides) == 3:
        return _chain(sides, relations)
    (left, right), (relation,) = sides, relations
    if relation.text in ABOUT:
        return _approximate(left, right, relation)
    return _ordered(left, ">" if relation.text == ">" else "<", right)


def _chain(sides: Sequence[Side], relations: Sequence[Token]) -> Claim:
    low, middle, high = sides
    if relations[0].text != relations[1].text or relations[0].text in ABOUT:
        raise ClaimError(relations[1].offset, "a band is written low < condition < high")
    if relations[0].text == ">":
        low, high = high, low
    bottom, top = _constant(low), _constant(high)
    if not bottom < top:
        raise ClaimError(low.offset, f"the band from {bottom:g} to {top:g} is empty")
    rates, added = _rates(middle), _linear(middle).constant
    if len(rates) == 2:
        if abs(bottom + top) > _TIE or added:
            allowed = "a difference has equal margins, as in abs(null - p0) < 0.10"
            raise ClaimError(middle.offset, allowed)
        return Equivalence(*_pair(rates, middle.offset), _margin(top, middle.offset))
    if list(rates.values()) != [1.0] or added:
        raise ClaimError(middle.offset, "between two bounds stands one condition, as in 0.15 < p0")
    _within(bottom, 0.0, 1.0, low.offset, "a bound of a rate")
    _within(top, 0.0, 1.0, high.offset, "a bound of a rate")
    return Band(next(iter(rates)), bottom, top)


def _approximate(left: Side, right: Side, relation: Token) -> Claim:
    first, second = _linear(left).rates() or {}, _linear(right).rates() or {}
    constants = _linear(left).constant or _linear(right).constant
    if [*first.values(), *second.values()] != [1.0, 1.0] or not first or constants:
        raise ClaimError(
            relation.offset,
            "say how near: abs(null - p0) < 0.10 for two conditions, 0.15 < p0 < 0.35 for one",
        )
    return Approximate(next(iter(first)), next(iter(second)))


def _ordered(left: Side, relation: Relation, right: Side) -> Claim:
    if isinstance(right.value, Quotient):
        left, relation, right = right, _OTHER[relation], left
    if isinstance(left.value, Quotient):
        return _ratio(left.value, relation, _constant(right), left.offset)
    first, second = _linear(left), _linear(right)
    # `p0 + 0.10 < normal` is written as `normal - p0 > 0.10`: the margin stays positive
    constant_moves = bool(second.weights) and first.constant > 0.0 and relation == "<"
    if not first.weights or constant_moves:
        first, relation, second = second, _OTHER[relation], first
    total = first.minus(second)
    if any(atom.wrapper for atom in total.weights):
        return _wrapped(total, relation, left.offset)
    return _plain(total, relation, left.offset)


def _ratio(quotient: Quotient, relation: Relation, ratio: float, offset: int) -> Claim:
    first, second = quotient.numerator.rates(), quotient.denominator.rates()
    if first is None or second is None:
        raise ClaimError(offset, f"a ratio of bounds is no claim; allowed: {FORMS}")
    if len(first) == len(second) == 1 and ratio > 0.0 and first.keys() != second.keys():
        (over, weight), (under, divisor) = *first.items(), *second.items()
        constants = quotient.numerator.constant or quotient.denominator.constant
        if not constants and weight * divisor > 0.0:
            return Ratio(over, under, relation, _rounded(ratio * divisor / weight))
    if len(first) == len(second) == 2:
        total = quotient.numerator.minus(quotient.denominator.times(ratio))
        return _plain(total, relation, offset)
    raise ClaimError(offset, f"this ratio is no claim; allowed: {FORMS}")


def _plain(total: Linear, relation: Relation, offset: int) -> Claim:
    rates = total.rates() or {}
    if len(rates) == 1:
        return _rate(total, relation, offset)
    if len(rates) == 2 and abs(sum(rates.values())) < _TIE:
        first, second = _pair(rates, offset)
        margin = _rounded(-total.constant / rates[first])
        _within(margin, -1.0, 1.0, offset, "a margin")
        return Difference(first, second, relation, margin)
    if len(rates) == 2 and not total.constant:
        return _multiple(rates, relation, offset)
    if len(rates) == 3 and not total.constant:
        return _gain(rates, relation, offset)
    if not rates:
        raise ClaimError(offset, f"no condition is left in this claim; allowed: {FORMS}")
    raise ClaimError(offset, f"these weights make no claim; allowed: {FORMS}")


def _rate(total: Linear, relation: Relation, offset: int) -> Rate:
    ((condition, weight),) = (total.rates() or {}).items()
    bound = _rounded(-total.constant / weight)
    _within(bound, 0.0, 1.0, offset, "a bound of a rate")
    return Rate(condition, relation if weight > 0 else _OTHER[relation], bound)


def _multiple(rates: dict[str, float], relation: Relation, offset: int) -> Ratio:
    (first, weight), (second, other) = rates.items()
    if weight * other > 0.0:
        raise ClaimError(offset, f"a sum of conditions is no claim; allowed: {FORMS}")
    # `p1 / 2 < normal` is a ratio of normal to p1, whose own weight is 1
    if abs(abs(other) - 1.0) < _TIE < abs(abs(weight) - 1.0):
        first, weight, second, other = second, other, first, weight
    if weight < 0.0:
        relation = _OTHER[relation]
    return Ratio(first, second, relation, _rounded(-other / weight))


def _gain(rates: dict[str, float], relation: Relation, offset: int) -> Gain:
    if relation == "<":
        rates = {name: -weight for name, weight in rates.items()}
    gaining = [name for name, weight in rates.items() if weight > 0.0]
    if len(gaining) != 1 or abs(sum(rates.values())) > _TIE:
        raise ClaimError(
            offset,
            "three conditions make a claim only as a share of a gain: "
            "normal - 0.5*p1 - 0.5*p0 > 0, that is normal - p0 > 0.5*(p1 - p0)",
        )
    whole = rates[gaining[0]]
    others = [name for name in rates if name != gaining[0]]
    text = "p1" if "p1" in others else others[0]
    base = others[1] if text == others[0] else others[0]
    return Gain(gaining[0], text, base, _rounded(-rates[text] / whole))


def _wrapped(total: Linear, relation: Relation, offset: int) -> Claim:
    atoms = list(total.weights.items())
    if any(atom.wrapper == "abs" for atom, _ in atoms):
        return _absolute(total, relation, offset)
    if len(atoms) == 1:
        return _own_interval(total, relation, offset)
    singles = [atom for atom, _ in atoms if len(atom.terms) == 1]
    weights = sorted(weight for _, weight in atoms)
    if len(singles) != 2 or weights != [-1.0, 1.0]:
        raise ClaimError(offset, f"these bounds make no claim; allowed: {FORMS}")
    (left, weight), (right, _) = atoms
    if weight < 0.0:
        left, right = right, left
    first, second = left.terms[0][0], right.terms[0][0]
    if first == second:
        raise ClaimError(offset, f"{first} is compared with itself; name two conditions")
    return BoundsComparison(first, second, relation, _rounded(-total.constant))


def _own_interval(total: Linear, relation: Relation, offset: int) -> Claim:
    """`low(x) > bound` is what `x > bound` means here: decided by the interval."""
    ((atom, weight),) = total.weights.items()
    if weight < 0.0:
        relation = _OTHER[relation]
    if (atom.wrapper, relation) not in (("low", ">"), ("high", "<")):
        proves = "low(...) > bound or high(...) < bound"
        raise ClaimError(offset, f"this bound on its own shows nothing; allowed: {proves}")
    inner = Linear(constant=total.constant / weight)
    for condition, factor in atom.terms:
        inner = inner.plus(Linear.of(condition).times(factor))
    return _plain(inner, relation, offset)


def _absolute(total: Linear, relation: Relation, offset: int) -> Equivalence:
    allowed = "abs(null - p0) < 0.10"
    ((atom, weight), *others) = total.weights.items()
    if others or atom.wrapper != "abs" or len(atom.terms) != 3 or atom.terms[-1][1]:
        raise ClaimError(offset, f"abs() takes a difference of two conditions: {allowed}")
    if (relation == "<") != (weight > 0.0):
        raise ClaimError(offset, f"only a difference below a margin can be shown: {allowed}")
    first, second = _pair(dict(atom.terms[:-1]), offset)
    scale = abs(atom.terms[0][1]) * weight
    return Equivalence(first, second, _margin(-total.constant / scale, offset))


def _pair(rates: dict[str, float], offset: int) -> tuple[str, str]:
    (first, weight), (second, against) = rates.items()
    if abs(weight + against) > _TIE:
        raise ClaimError(offset, "a difference subtracts one whole condition from another")
    return (first, second) if weight > 0.0 else (second, first)


def _margin(value: float, offset: int) -> float:
    margin = _rounded(value)
    if not 0.0 < margin <= 1.0:
        raise ClaimError(
            offset, f"the margin {margin:g} is not allowed; allowed: above 0, at most 1"
        )
    return margin


def _within(value: float, low: float, high: float, offset: int, what: str) -> None:
    if not low <= value <= high:
        raise ClaimError(offset, f"{what} is {value:g}; allowed: {low:g} to {high:g}")


def _linear(side: Side) -> Linear:
    if isinstance(side.value, Quotient):
        raise ClaimError(side.offset, "a ratio is compared with a number, as in normal / p1 > 0.5")
    return side.value


def _rates(side: Side) -> dict[str, float]:
    rates = _linear(side).rates()
    if not rates:
        raise ClaimError(side.offset, f"a condition is expected here; allowed: {FORMS}")
    return rates


def _constant(side: Side) -> float:
    value = _linear(side)
    if value.weights:
        raise ClaimError(side.offset, f"a number is expected here; allowed: {FORMS}")
    return _rounded(value.constant)


def _rounded(value: float) -> float:
    # so that 0.3 - 0.2 reads as 0.1, and never as -0.0, in messages and in comparisons
    return round(value, 12) + 0.0


def in_words(claim: Claim, *, holds: bool = True, named: Callable[[str], str] = str) -> str:
    """The claim as a sentence, or its denial.

    Args:
        claim: what is claimed.
        holds: whether it is stated, else denied.
        named: says how a condition is called in it.

    Returns:
        The sentence, without a full stop.

    Example:
        >>> from lpca.stats.claims import Difference
        >>> in_words(Difference("normal", "p0", ">", 0.1))
        'normal is more than 10 points above p0'
    """
    verb = "is" if holds else "is not"
    match claim:
        case Difference(first, second, relation, margin):
            return f"{named(first)} {verb} {_difference(relation, margin)} {named(second)}"
        case Equivalence(first, second, margin):
            return f"{named(first)} {verb} within {points(margin)} of {named(second)}"
        case Band(condition, low, high):
            return f"{named(condition)} {verb} between {percent(low)} and {percent(high)}"
        case Rate(condition, relation, bound):
            return f"{named(condition)} {verb} {_side(relation)} {percent(bound)}"
        case Ratio(first, second, relation, ratio):
            return f"{named(first)} {verb} {_side(relation)} {ratio:g} times {named(second)}"
        case Gain(condition, text, base, fraction):
            verb = "keeps" if holds else "does not keep"
            gain = f"the gain of {named(text)} over {named(base)}"
            return f"{named(condition)} {verb} {percent(fraction)} of {gain}"
        case BoundsComparison(first, second, relation):
            sides = f"{_side(relation)} that of {named(second)}"
            return f"the interval of {named(first)} {verb} {sides}"
        case Approximate(first, second):
            return f"{named(first)} {verb} about {named(second)}"


def unit_of(claim: Claim) -> Unit:
    """What a claim's numbers are shown in."""
    if isinstance(claim, Ratio):
        return RATIO
    return PERCENT if isinstance(claim, Rate | Band) else POINTS


def _side(relation: Relation) -> str:
    return "above" if relation == ">" else "below"


def _difference(relation: Relation, margin: float) -> str:
    if margin == 0.0:
        return _side(relation)
    if (relation == ">") == (margin > 0.0):
        return f"more than {points(abs(margin))} {_side(relation)}"
    other: Relation = "<" if relation == ">" else ">"
    return f"less than {points(abs(margin))} {_side(other)}"
