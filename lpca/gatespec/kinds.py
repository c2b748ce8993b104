"""What a key may hold: each kind reads a value, and says itself in JSON Schema.

A kind is told how messages call the value and what is known of the sections around it, by key:
so a list of conditions can be held against those of its own gate.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from lpca.base.registry import numbered_in, shown_names, suggestion
from lpca.gatespec.document import Node, SpecError, as_items, as_scalar, describe, refuse

Schema = dict[str, Any]
Known = Mapping[str, Any]
"""By key: what was read before, in this section and in those around it. Beside the keys of the
file it holds `section` and `key`, how messages call the section and the key at hand, and
`siblings`, the other keys of a section whose keys are names."""
NOTHING: Known = {}

MAX_INTEGER = 10**12
IDENTIFIER = "[a-z][a-z0-9_]*"
RESERVED_NAMES = frozenset(
    {"and", "or", "not", "parametrize", "skip", "skipif", "xfail", "usefixtures"}
    | {"filterwarnings", "tryfirst", "trylast", "xdist_group"}
)
"""Names that mean something else to `pytest -m` or `-k`."""
NOT_BLANK = r"\S"
_INTEGER = re.compile(r"[+-]?[0-9]{1,13}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BOOLEANS = {"true": True, "false": False}


class Kind:
    """A kind of value; by itself any text."""

    allowed = "a text"

    def read(self, node: Node, what: str, known: Known = NOTHING) -> Any:
        """Return the node's value; SpecError, at the node, for one that is not of this kind."""
        return as_scalar(node, what, self.allowed).text

    def schema(self) -> Schema:
        """Return the JSON Schema of the value as YAML resolves it."""
        return {"type": ["string", "number", "boolean"], "pattern": NOT_BLANK}


TEXT = Kind()


class Word(Kind):
    """A number or a word, kept as it is written."""

    allowed = "a number or a word"


class Setting(Kind):
    """A value whose type is the author's: a number, `true`, `false` or a text."""

    def read(self, node: Node, what: str, known: Known = NOTHING) -> int | float | str | bool:
        """Return the value; a text in quotes stays one."""
        allowed = "a number, true, false or a text"
        scalar = as_scalar(node, what, allowed)
        text = scalar.text
        if not scalar.plain:
            return text
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        is_number = _NUMBER.fullmatch(text)
        # `.inf` and `.nan` are YAML's, and 1e999 overflows to infinity: none is a setting
        finite = math.isfinite(float(text)) if is_number else not _means_infinity(text)
        if not finite:
            refuse(node, what, f"a finite {allowed.removeprefix('a ')}")
        return float(text) if is_number else text


def _means_infinity(text: str) -> bool:
    return text.lstrip("+-.").lower() in ("inf", "nan")


@dataclass(frozen=True)
class Integer(Kind):
    """A whole number in [low, high], written plainly: no quotes, point or exponent."""

    low: int
    high: int = MAX_INTEGER

    def read(self, node: Node, what: str, known: Known = NOTHING) -> int:
        """Return the number."""
        end = "on" if self.high >= MAX_INTEGER else f"to {self.high}"
        allowed = f"a whole number from {self.low} {end}"
        scalar = as_scalar(node, what, allowed)
        written = scalar.plain and _INTEGER.fullmatch(scalar.text)
        if not written or not self.low <= int(scalar.text) <= self.high:
            refuse(node, what, allowed)
        return int(scalar.text)

    def schema(self) -> Schema:
        """Return its type and its ends."""
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class Number(Kind):
    """A finite number in [low, high]; with `nearest` at least so far inside of either end."""

    low: float
    high: float
    nearest: float = 0.0

    def read(self, node: Node, what: str, known: Known = NOTHING) -> float:
        """Return the number."""
        ends = "above {:g} and below {:g}" if self.nearest else "from {:g} to {:g}"
        allowed = f"a number {ends.format(self.low, self.high)}"
        scalar = as_scalar(node, what, allowed)
        written = scalar.plain and _NUMBER.fullmatch(scalar.text)
        value = float(scalar.text) if written else math.nan
        if not self.low <= value <= self.high or (self.nearest and value in (self.low, self.high)):
            refuse(node, what, allowed)
        if not self.low + self.nearest <= value <= self.high - self.nearest:
            refuse(node, what, f"{allowed}, by {self.nearest:g} at least")
        return value

    def schema(self) -> Schema:
        """Return its type and its ends."""
        ends = {"minimum": self.low + self.nearest, "maximum": self.high - self.nearest}
        return {"type": "number", **ends}


@dataclass(frozen=True)
class Choice(Kind):
    """One of a few words; of those that are known under `among` where that is given.

    `means` says what a word stands for, where that is another.
    """

    choices: Collection[str]
    among: str = ""
    means: Mapping[str, str] = field(default_factory=dict)

    def read(self, node: Node, what: str, known: Known = NOTHING) -> str:
        """Return the word, or what it stands for."""
        word = one_of(node, what, known.get(self.among, self.choices))
        return self.means.get(word, word)

    def schema(self) -> Schema:
        """Return the words as YAML resolves them: the condition null needs no quotes."""
        words: list[str | None] = []
        for word in self.choices:
            words += [word, None] if word == "null" else [word]
        more = [{"pattern": f"^{one.pattern}$"} for one in numbered_in(self.choices)]
        if not more:
            return {"enum": words}
        return {"type": ["string", "null"], "anyOf": [{"enum": words}, *more]}


def one_of(node: Node, what: str, choices: Collection[str]) -> str:
    """Return the node's word, which is one of these; SpecError otherwise."""
    scalar = as_scalar(node, what, "one of " + ", ".join(shown_names(choices)))
    if scalar.text not in choices:
        raise SpecError(
            scalar.position,
            f"unknown {what} {describe(scalar)}; {suggestion(scalar.text, choices)}",
        )
    return scalar.text


@dataclass(frozen=True)
class Identifier(Kind):
    """A name that can be a pytest id and marker; one that is known, with `among`."""

    among: str = ""

    def read(self, node: Node, what: str, known: Known = NOTHING) -> str:
        """Return the name."""
        if self.among:
            return one_of(node, what, known[self.among])
        allowed = "lower-case letters, digits and _, beginning with a letter"
        text = as_scalar(node, what, allowed).text
        if not re.fullmatch(IDENTIFIER, text):
            refuse(node, what, allowed)
        if text in RESERVED_NAMES:
            refuse(node, what, "any name that pytest does not use itself")
        return text

    def schema(self) -> Schema:
        """Return the pattern, without pytest's own names."""
        names = {"pattern": f"^{IDENTIFIER}$", "not": {"enum": sorted(RESERVED_NAMES)}}
        return {"type": "string", **names}


@dataclass(frozen=True)
class ListOf(Kind):
    """A list of at least `fewest` items, all different where `distinct`.

    `item` is how messages call one, `too_few` what they say of a list that is too short. With
    `rising` each whole number is above the one before. `shown` stands for it in the documentation,
    where that is not what it is a list of.
    """

    of: Kind
    item: str = "{key}"
    fewest: int = 0
    too_few: str = ""
    distinct: bool = False
    rising: bool = False
    shown: str = ""

    def read(self, node: Node, what: str, known: Known = NOTHING) -> tuple[Any, ...]:
        """Return the items, in the order of the file."""
        item, of = self.item.format_map(known), self.of
        found: list[Any] = []
        for place in as_items(node, what):
            if self.rising and found and isinstance(self.of, Integer):
                of = Integer(found[-1] + 1, self.of.high)
            value = of.read(place, item, known)
            if self.distinct and value in found:
                name = f"{item.removeprefix('a ')} {value!r}"
                raise SpecError(place.position, f"{name} stands twice; once is allowed")
            found.append(value)
        if len(found) < self.fewest:
            raise SpecError(node.position, self.too_few.format_map(known))
        return tuple(found)

    def schema(self) -> Schema:
        """Return the items' schema and how many there are."""
        size = {"minItems": self.fewest} if self.fewest else {}
        different = {"uniqueItems": True} if self.distinct else {}
        return {"type": "array", "items": self.of.schema(), **size, **different}
