"""What can be claimed of success rates: a parameter, and the region it is claimed to lie in.

The parameter is the mean over episodes of a value computed from an episode's outcomes: a rate, a
difference of two rates, what is kept of a gain. A ratio is decided on the mean of
`first - ratio x second`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from lpca.stats.gain import gain_value
from lpca.stats.tables import Interval

Relation = Literal[">", "<"]


class _Claimed:
    """What every claim answers; a subclass says of which conditions, and in which region."""

    method: ClassVar[str | None] = None
    """The one sound method that decides it, by the name a spec may ask for."""

    @property
    def conditions(self) -> tuple[str, ...]:
        """The conditions the claim names, first to last."""
        raise NotImplementedError

    @property
    def region(self) -> Interval:
        """Where the parameter is claimed to lie."""
        raise NotImplementedError

    @property
    def margins(self) -> tuple[float, ...]:
        """The bounds it is held against: both ends of a band or an equivalence, else one."""
        return tuple(end for end in (self.region.low, self.region.high) if math.isfinite(end))

    @property
    def is_two_sided(self) -> bool:
        """Whether two one-sided tests decide it, each at its own bound."""
        return len(self.margins) == 2


@dataclass(frozen=True)
class _OfTwo(_Claimed):
    first: str
    second: str

    @property
    def conditions(self) -> tuple[str, ...]:
        """The conditions the claim names, first to last."""
        return (self.first, self.second)

    def value(self, first: float, second: float) -> float:
        """The first outcome less the second."""
        return first - second


@dataclass(frozen=True)
class _Ordered(_OfTwo):
    relation: Relation

    @property
    def upper(self) -> str:
        """The condition that is said to do better, a margin or a ratio aside."""
        return self.first if self.relation == ">" else self.second

    @property
    def lower(self) -> str:
        """The other one."""
        return self.second if self.relation == ">" else self.first


@dataclass(frozen=True)
class _OfOne(_Claimed):
    method = "wilson"
    condition: str

    @property
    def conditions(self) -> tuple[str, ...]:
        """The conditions the claim names, first to last."""
        return (self.condition,)

    def value(self, outcome: float) -> float:
        """The outcome itself."""
        return outcome


@dataclass(frozen=True)
class Difference(_Ordered):
    """`first - second > margin` or `first - second < margin`; paired, one-sided."""

    method = "tango"
    margin: float

    @property
    def region(self) -> Interval:
        """Where the parameter is claimed to lie."""
        return beyond(self.margin, self.relation)


@dataclass(frozen=True)
class Equivalence(_OfTwo):
    """`abs(first - second) < margin`; paired, two one-sided tests."""

    method = "tango"
    margin: float

    @property
    def region(self) -> Interval:
        """Where the parameter is claimed to lie."""
        return Interval(-self.margin, self.margin)


@dataclass(frozen=True)
class Band(_OfOne):
    """`low < condition < high`: a success rate inside a band; two one-sided claims."""

    low: float
    high: float

    @property
    def region(self) -> Interval:
        """Where the parameter is claimed to lie."""
        return Interval(self.low, self.high)


@dataclass(frozen=True)
class Rate(_OfOne):
    """`condition > bound` or `condition < bound`: one success rate; one-sided."""

    relation: Relation
    bound: float

    @property
    def region(self) -> Interval:
        """Where the parameter is claimed to lie."""
        return beyond(self.bound, self.relation)


@dataclass(frozen=True)
class Gain(_Claimed):
    """`condition - f * text - (1 - f) * base > 0`: at least the fraction f of the gain of text."""

    method = "multinomial-score"
    condition: str
    text: str
    base: str
    fraction: float

    @property
    def conditions(self) -> tuple[str, ...]:
        """The conditions the claim names, first to last."""
        return (self.condition, self.text, self.base)

    @property
    def region(self) -> Interval:
        """Where the parameter is claimed to lie."""
        return beyond(0.0, ">")

    def value(self, condition: float, text: float, base: float) -> float:
        """The outcome less what the fraction of the gain comes to."""
        return gain_value(condition, text, base, self.fraction)


@dataclass(frozen=True)
class Ratio(_Ordered):
    """`first / second > ratio` or `<`; paired."""

    method = "nam-blackwelder"
    ratio: float

    @property
    def region(self) -> Interval:
        """Where the parameter is claimed to lie."""
        return beyond(self.ratio, self.relation)

    def value(self, first: float, second: float) -> float:
        """The first outcome less ratio times the second: its mean is compared with 0."""
        return first - self.ratio * second


@dataclass(frozen=True)
class BoundsComparison(_Ordered):
    """`low(first) > high(second)`: two separate intervals compared. Read so it can be refused."""

    margin: float = 0.0

    @property
    def region(self) -> Interval:
        """Where the parameter is claimed to lie."""
        return beyond(self.margin, self.relation)


@dataclass(frozen=True)
class Approximate(_OfTwo):
    """`first ~= second`: equality without a margin. Read so it can be refused."""

    @property
    def region(self) -> Interval:
        """Where the parameter is claimed to lie."""
        return Interval(-math.inf, math.inf)


Decidable = Difference | Equivalence | Band | Rate | Gain | Ratio
Claim = Decidable | BoundsComparison | Approximate


def beyond(bound: float, relation: Relation) -> Interval:
    """Everything above (">") or below ("<") a bound; ValueError for another relation."""
    if relation not in (">", "<"):
        raise ValueError(f"relation must be '>' or '<', got {relation!r}")
    return Interval(bound, math.inf) if relation == ">" else Interval(-math.inf, bound)


def decidable(claim: Claim) -> Decidable:
    """The claim, if a sound method decides it; TypeError if none does."""
    if isinstance(claim, BoundsComparison | Approximate):
        raise TypeError(f"no sound method decides a {type(claim).__name__}")
    return claim


def bounds_of_mean(claim: Decidable) -> Interval:
    """The region in which the mean of `claim.value` is claimed to lie."""
    # a ratio's bound is part of its value already
    return beyond(0.0, claim.relation) if isinstance(claim, Ratio) else claim.region
