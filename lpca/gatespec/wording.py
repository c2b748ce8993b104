"""Claims in plain words, and the conditions they name."""

from __future__ import annotations

from collections.abc import Callable

from lpca.base.numbers import PERCENT, POINTS, RATIO, Unit, percent, points
from lpca.stats import (
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


def in_words(claim: Claim, *, holds: bool = True, named: Callable[[str], str] = str) -> str:
    """The claim as a sentence, or its denial.

    Args:
        claim: what is claimed.
        holds: whether it is stated, else denied.
        named: says how a condition is called in it.

    Returns:
        The sentence, without a full stop.

    Example:
        >>> from lpca.stats import Difference
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
