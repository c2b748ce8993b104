"""From a claim's text to the sums it compares; `lpca.gatespec.claims` decides what they mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal, NoReturn

from lpca.base.registry import suggestion

Wrapper = Literal["", "abs", "low", "high"]
MAX_LENGTH = 200
EXAMPLES = (
    *("normal - p0 > 0.10", "abs(null - p0) < 0.10", "0.15 < p0 < 0.35", "normal > 0.30"),
    *("normal / p1 > 0.5", "normal - 0.5*p1 - 0.5*p0 > 0"),
)
FORMS = f"a claim such as {', '.join(EXAMPLES[:-1])} or {EXAMPLES[-1]}"
ABOUT = frozenset({"≈", "~", "~=", "=", "=="})
_ORDER = frozenset({">", "<"})
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<symbol>>=|<=|==|~=|[≥≤≈><=~+\-−*×/()]))"
)
_SAME = {"≥": ">", ">=": ">", "≤": "<", "<=": "<", "−": "-", "×": "*"}
WRAPPERS: dict[str, Wrapper] = {
    "abs": "abs",
    "low": "low",
    "lower": "low",
    "ci_low": "low",
    "high": "high",
    "upper": "high",
    "ci_high": "high",
}
_MAX_NESTING = 8
"""Deeper a claim is no claim, and ever deeper the parser would exhaust the stack."""
_MAX_NUMBER = 1e6
"""So that no product or quotient of numbers overflows to infinity."""


class ClaimError(ValueError):
    """A claim that cannot be read; `offset` counts characters from its beginning, from 0."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset


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
        # what cancels leaves rounding behind: a weight of 1e-17 is no condition that is named
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


@dataclass(frozen=True)
class Token:
    """One word of a claim."""

    kind: str
    text: str
    offset: int


@dataclass(frozen=True)
class Side:
    """One side of a comparison and where it begins."""

    value: Linear | Quotient
    offset: int


def parse_comparison(text: str, conditions: Collection[str]) -> tuple[list[Side], list[Token]]:
    """Read a claim's text: two sides and a relation, or three sides and two.

    Raises:
        ClaimError: at the character that cannot be read.
    """
    if len(text) > MAX_LENGTH:
        raise ClaimError(MAX_LENGTH, f"the claim goes on; at most {MAX_LENGTH} characters allowed")
    return _Parser(_tokens(text), conditions).comparison()


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    offset = 0
    while rest := text[offset:].lstrip():
        found = _TOKEN.match(text, offset)
        if found is None:
            offset = len(text) - len(rest)
            raise ClaimError(offset, f"{rest[0]!r} has no meaning in a claim; allowed: {FORMS}")
        kind = str(found.lastgroup)
        word = found.group(kind)
        tokens.append(Token(kind, _SAME.get(word, word), found.start(kind)))
        offset = found.end()
    tokens.append(Token("end", "the end", len(text)))
    return tokens


class _Parser:
    """Recursive descent: comparison, sum, product, factor."""

    def __init__(self, tokens: list[Token], conditions: Collection[str]) -> None:
        self._tokens = tokens
        self._next = 0
        self._conditions = conditions
        self._nesting = 0

    def comparison(self) -> tuple[list[Side], list[Token]]:
        sides = [self._side()]
        relations: list[Token] = []
        while relation := self._accept(_ORDER | ABOUT):
            if len(relations) == 2:
                raise ClaimError(relation.offset, "a third comparison; at most two are allowed")
            relations.append(relation)
            sides.append(self._side())
        if not relations:
            self._expected("a comparison (> or <)")
        if self._token.kind != "end":
            self._expected("an operator or the end")
        return sides, relations

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._token
        self._next += 1
        return token

    def _accept(self, symbols: Collection[str]) -> Token | None:
        if self._token.kind == "symbol" and self._token.text in symbols:
            return self._take()
        return None

    def _expected(self, what: str) -> NoReturn:
        token = self._token
        shown = token.text if token.kind == "end" else repr(token.text)
        raise ClaimError(token.offset, f"{shown} where {what} is expected; allowed: {FORMS}")

    def _side(self) -> Side:
        offset = self._token.offset
        return Side(self._sum(), offset)

    def _sum(self) -> Linear | Quotient:
        value = self._product()
        while operator := self._accept("+-"):
            left, right = _alone(value, operator), _alone(self._product(), operator)
            value = left.plus(right) if operator.text == "+" else left.minus(right)
        return value

    def _product(self) -> Linear | Quotient:
        value = self._factor()
        while operator := self._accept("*/"):
            left, right = _alone(value, operator), _alone(self._factor(), operator)
            combine = _product if operator.text == "*" else _quotient
            value = combine(left, right, operator)
        return value

    def _factor(self) -> Linear | Quotient:
        token = self._token
        if self._accept("+-"):
            value = _alone(self._nested(self._factor), token)
            return value.times(-1.0) if token.text == "-" else value
        if self._accept("("):
            return self._closed(self._nested(self._sum))
        if token.kind == "number":
            return self._number()
        if token.kind != "name":
            self._expected("a condition or a number")
        return self._name()

    def _nested(self, rule: Callable[[], Linear | Quotient]) -> Linear | Quotient:
        self._nesting += 1
        if self._nesting > _MAX_NESTING:
            raise ClaimError(
                self._token.offset, f"nested more than {_MAX_NESTING} deep; allowed: {FORMS}"
            )
        value = rule()
        self._nesting -= 1
        return value

    def _closed(self, value: Linear | Quotient) -> Linear | Quotient:
        if not self._accept(")"):
            self._expected("')'")
        return value

    def _number(self) -> Linear:
        token = self._take()
        value = float(token.text)
        if value > _MAX_NUMBER:
            raise ClaimError(
                token.offset, f"the number {token.text} is beyond any rate; rates lie in [0, 1]"
            )
        return Linear({}, value)

    def _name(self) -> Linear:
        token = self._take()
        if token.text in self._conditions:
            return Linear.of(token.text)
        if token.text not in WRAPPERS:
            raise ClaimError(
                token.offset,
                f"unknown condition {token.text!r}; {suggestion(token.text, self._conditions)}",
            )
        if not self._accept("("):
            self._expected(f"'(' after {token.text}")
        inner = self._closed(self._nested(self._sum))
        wrapped = _alone(inner, token).wrapped(WRAPPERS[token.text])
        if wrapped is None:
            raise ClaimError(
                token.offset, f"{token.text}() takes conditions, as in {token.text}(normal)"
            )
        return wrapped


def _alone(value: Linear | Quotient, operator: Token) -> Linear:
    if isinstance(value, Quotient):
        raise ClaimError(
            operator.offset, "a ratio must stand alone on its side, as in normal / p1 > 0.5"
        )
    return value


def _product(left: Linear, right: Linear, operator: Token) -> Linear:
    if left.weights and right.weights:
        raise ClaimError(
            operator.offset, "a product of conditions is no claim; allowed: number * condition"
        )
    return left.times(right.constant) if left.weights else right.times(left.constant)


def _quotient(left: Linear, right: Linear, operator: Token) -> Linear | Quotient:
    if right.weights:
        return Quotient(left, right)
    if right.constant == 0.0:
        raise ClaimError(operator.offset, "division by zero; allowed: a number other than 0")
    return left.times(1.0 / right.constant)
