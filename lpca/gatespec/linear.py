"""Sums of success rates and numbers: what each side of a claim comes down to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Wrapper = Literal["", "abs", "low", "high"]


@dataclass(frozen=True)
class Atom:
    """A condition's rate (`wrapper` empty), or a function of a sum of such rates."""

    wrapper: Wrapper
    terms: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Linear:
    """`sum(weights[atom] * atom) + constant`."""

    weights: dict[Atom, float] = field(default_factory=dict)
    constant: float = 0.0

    @staticmethod
    def of(condition: str) -> Linear:
        """The rate of one condition."""
        return Linear({Atom("", ((condition, 1.0),)): 1.0})

    def times(self, factor: float) -> Linear:
        """This sum, scaled."""
        return Linear({a: w * factor for a, w in self.weights.items()}, self.constant * factor)

    def plus(self, other: Linear) -> Linear:
        """Both sums together; what cancels is dropped."""
        weights = dict(self.weights)
        for atom, weight in other.weights.items():
            weights[atom] = weights.get(atom, 0.0) + weight
        kept = {atom: weight for atom, weight in weights.items() if abs(weight) > 1e-12}
        return Linear(kept, self.constant + other.constant)

    def minus(self, other: Linear) -> Linear:
        """This sum less the other."""
        return self.plus(other.times(-1.0))

    def rates(self) -> dict[str, float] | None:
        """Weights by condition, or None when a function of rates takes part."""
        if any(atom.wrapper for atom in self.weights):
            return None
        return {atom.terms[0][0]: weight for atom, weight in self.weights.items()}

    def wrapped(self, wrapper: Wrapper) -> Linear | None:
        """A function of this sum of plain rates; None when it is none."""
        rates = self.rates()
        if not rates:
            return None
        if wrapper == "abs":
            return Linear({Atom("abs", (*rates.items(), ("", self.constant))): 1.0})
        return Linear({Atom(wrapper, tuple(rates.items())): 1.0}, self.constant)


@dataclass(frozen=True)
class Quotient:
    """`numerator / denominator`, both sums of rates."""

    numerator: Linear
    denominator: Linear
