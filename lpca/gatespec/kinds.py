"""What a key may hold: each kind reads a value, and says itself in JSON Schema and in words.

A kind is told how messages call the value and what is known of the sections around it, by key:
so a list of conditions can be held against those of its own gate.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from lpca.base.registry import suggestion
from lpca.gatespec.document import (
    Entry,
    Node,
    Section,
    SpecError,
    as_items,
    as_scalar,
    as_section,
    describe,
    refuse,
)
from lpca.gatespec.model import Position

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

    words = "text"
    allowed = "a text"

    def read(self, node: Node, what: str, known: Known = NOTHING) -> Any:
        """Return the node's value; SpecError, at the node, for one that is not of this kind."""
        return as_scalar(node, what, self.allowed).text

    def schema(self) -> Schema:
        """Return the JSON Schema of the value as YAML resolves it."""
        return {"type": ["string", "number", "boolean"], "pattern": NOT_BLANK}

    def in_words(self) -> str:
        """Say, in Markdown, what the value is."""
        return self.words


TEXT = Kind()


class Word(Kind):
    """A number or a word, kept as it is written."""

    words = "number or word"
    allowed = "a number or a word"


class Setting(Kind):
    """A value whose type is the author's: a number, `true`, `false` or a text."""

    words = "number, `true`, `false` or text"

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

    def in_words(self) -> str:
        """Say the span."""
        if self.low == self.high:
            return f"`{self.low}`"
        if self.high == MAX_INTEGER:
            return f"whole number from {self.low}"
        return f"whole number, {self.low} to {self.high}"


@dataclass(frozen=True)
class Number(Kind):
    """A finite number in [low, high]; with `nearest` at least so far inside of either end."""

    low: float
    high: float
    nearest: float = 0.0

    def read(self, node: Node, what: str, known: Known = NOTHING) -> float:
        """Return the number."""
        allowed = self._span("from {:g} to {:g}", "above {:g} and below {:g}")
        scalar = as_scalar(node, what, f"a number {allowed}")
        written = scalar.plain and _NUMBER.fullmatch(scalar.text)
        value = float(scalar.text) if written else math.nan
        if not self.low <= value <= self.high or (self.nearest and value in (self.low, self.high)):
            refuse(node, what, f"a number {allowed}")
        if not self.low + self.nearest <= value <= self.high - self.nearest:
            refuse(node, what, f"a number {allowed}, by {self.nearest:g} at least")
        return value

    def schema(self) -> Schema:
        """Return its type and its ends."""
        ends = {"minimum": self.low + self.nearest, "maximum": self.high - self.nearest}
        return {"type": "number", **ends}

    def in_words(self) -> str:
        """Say the span."""
        return self._span("number, {:g} to {:g}", "number above {:g} and below {:g}")

    def _span(self, closed: str, opened: str) -> str:
        return (opened if self.nearest else closed).format(self.low, self.high)


@dataclass(frozen=True)
class Choice(Kind):
    """One of a few words; of those that are known under `among` where that is given.

    `means` says what a word stands for, where that is another.
    """

    choices: tuple[str, ...]
    among: str = ""
    means: Mapping[str, str] = field(default_factory=dict)

    def read(self, node: Node, what: str, known: Known = NOTHING) -> str:
        """Return the word, or what it stands for."""
        word = _one_of(node, what, known.get(self.among, self.choices))
        return self.means.get(word, word)

    def schema(self) -> Schema:
        """Return the words as YAML resolves them: the condition null needs no quotes."""
        words = [word for one in self.choices for word in ([one, None] if one == "null" else [one])]
        return {"enum": words}

    def in_words(self) -> str:
        """List the words."""
        return " or ".join(", ".join(f"`{word}`" for word in self.choices).rsplit(", ", 1))


def _one_of(node: Node, what: str, choices: Iterable[str]) -> str:
    scalar = as_scalar(node, what, "one of " + ", ".join(choices))
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
    words = "name"

    def read(self, node: Node, what: str, known: Known = NOTHING) -> str:
        """Return the name."""
        if self.among:
            return _one_of(node, what, known[self.among])
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
        for one in as_items(node, what):
            if self.rising and found and isinstance(self.of, Integer):
                of = Integer(found[-1] + 1, self.of.high)
            value = of.read(one, item, known)
            if self.distinct and value in found:
                name = f"{item.removeprefix('a ')} {value!r}"
                raise SpecError(one.position, f"{name} stands twice; once is allowed")
            found.append(value)
        if len(found) < self.fewest:
            raise SpecError(node.position, self.too_few.format_map(known))
        return tuple(found)

    def schema(self) -> Schema:
        """Return the items' schema and how many there are."""
        size = {"minItems": self.fewest} if self.fewest else {}
        different = {"uniqueItems": True} if self.distinct else {}
        return {"type": "array", "items": self.of.schema(), **size, **different}

    def in_words(self) -> str:
        """Say of what."""
        if isinstance(self.of, Table):
            return "list of mappings"
        return self.shown or f"list of: {self.of.in_words()}"


@dataclass(frozen=True)
class Either(Kind):
    """Written as a value or as a mapping."""

    plain: Kind
    mapping: Table

    def read(self, node: Node, what: str, known: Known = NOTHING) -> Any:
        """Return what is written, read by its kind."""
        kind = self.mapping if isinstance(node, Section) else self.plain
        return kind.read(node, what, known)

    def schema(self) -> Schema:
        """Return both."""
        return {"anyOf": [self.plain.schema(), self.mapping.schema()]}

    def in_words(self) -> str:
        """Say both."""
        return f"{self.plain.in_words()}, or {self.mapping.in_words()}"


class Required(Enum):
    """Stands where a default would: the key must be given."""

    REQUIRED = "required"


REQUIRED = Required.REQUIRED


@dataclass(frozen=True)
class Key:
    """One key of a section; `default` holds where it is not given.

    `says` is its meaning in one line of Markdown without links, `see` a link to more, `what` how
    messages call its value.
    """

    name: str
    kind: Kind
    says: str
    default: Any = None
    see: str = ""
    what: str = "{key}"

    @property
    def stated_default(self) -> Any:
        """The default, where the documentation and the schema name it; else None."""
        return None if self.default in (REQUIRED, "", ()) else self.default

    def schema(self) -> Schema:
        """Return its meaning, its value and its default."""
        given = {} if self.stated_default is None else {"default": self.default}
        return {"description": self.says.replace("`", ""), **self.kind.schema(), **given}


@dataclass(frozen=True)
class Others:
    """The keys of a section that are not fixed: those that match `pattern`, or all (None).

    There are `fewest` to `most` of them, `too_many` is what messages say of more; `shown` stands
    for such a key in the documentation. Where `names`, each key is the name of what it holds.
    """

    shown: str
    pattern: str | None
    kind: Kind
    says: str
    what: str
    fewest: int = 0
    most: int | None = None
    too_many: str = ""
    names: str = ""


@dataclass(frozen=True)
class Values:
    """What a section holds: `fixed` keys by name, defaults filled in, and the `others`."""

    section: Section
    fixed: dict[str, Any]
    others: dict[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.fixed[key]

    @property
    def places(self) -> dict[str, Position]:
        """By key: where its value stands."""
        return self.section.places


@dataclass(frozen=True)
class Table(Kind):
    """A section: its keys, of which exactly one is given where `one_of`.

    Of the keys that name a condition only those are allowed that are known under `among`. Where
    `titled`, the first key's value is part of how messages call the section from there on.
    """

    keys: tuple[Key, ...] = ()
    others: tuple[Others, ...] = ()
    one_of: bool = False
    among: str = ""
    choices: tuple[str, ...] = ()
    titled: str = ""
    words = "mapping"

    @property
    def names(self) -> tuple[str, ...]:
        """The fixed keys."""
        return tuple(key.name for key in self.keys)

    def read(self, node: Node, what: str, known: Known = NOTHING) -> Values:
        """Return every value, defaults filled in; what is read is known to the keys after it."""
        section = as_section(node, what)
        allowed = [*self._named(known), *(n for n in self.names if n not in self.choices)]
        if not self.others:
            section.check_keys(what, allowed)
        if self.one_of and len(section.entries) != 1:
            both = " and ".join(self.names)
            raise SpecError(section.position, f"{what} has both or neither of {both}; allowed: one")
        fixed: dict[str, Any] = {}
        scope = {**known, "section": what}
        for key in self.keys:
            value = self._value(key, section, {**scope, "key": key.name})
            fixed[key.name] = scope[key.name] = value
            if self.titled and key is self.keys[0]:
                scope["section"] = self.titled.format(value)
        return Values(section, fixed, self._others(section, what, scope))

    def _named(self, known: Known) -> list[str]:
        return [name for name in known.get(self.among, self.choices) if name in self.choices]

    def _value(self, key: Key, section: Section, scope: Known) -> Any:
        entry = section.entries.get(key.name)
        if entry is not None:
            return key.kind.read(entry.value, key.what.format_map(scope), scope)
        if key.default is REQUIRED:
            section.required(key.name, scope["section"])
        return key.default

    def _others(self, section: Section, what: str, scope: Known) -> dict[str, Any]:
        rest = [one for name, one in section.entries.items() if name not in self.names]
        for others in self.others:
            self._check(others, section, what, rest)
        found: dict[str, Any] = {}
        names = [entry.key.text for entry in rest]
        for name, entry in zip(names, rest, strict=True):
            others = next(one for one in self.others if _matches(one, name))
            siblings = tuple(other for other in names if other != name)
            inner = {**scope, "key": name, "siblings": siblings}
            found[name] = others.kind.read(entry.value, others.what.format_map(inner), inner)
        return found

    def _check(self, others: Others, section: Section, what: str, rest: list[Entry]) -> None:
        if others.most is not None:
            if not section.entries and not self.keys:
                due = f"{what} is an empty mapping; at least one entry is due"
                raise SpecError(section.position, due)
            if not others.fewest <= len(rest) <= others.most:
                place = rest[others.most].key.position if others.names else section.position
                raise SpecError(place, others.too_many.format(len(rest)))
        if others.names:
            for entry in rest:
                Identifier().read(entry.key, others.names)

    def schema(self) -> Schema:
        """Return the keys' schemas, which of them are required, and what else may stand there."""
        schema: Schema = {
            "type": "object",
            "properties": {key.name: key.schema() for key in self.keys},
            "additionalProperties": False,
        }
        if required := [key.name for key in self.keys if key.default is REQUIRED]:
            schema["required"] = required
        if self.one_of:
            schema |= {"minProperties": 1, "maxProperties": 1}
        for others in self.others:
            _add_others(schema, others)
        return schema

    def rows(self) -> Iterator[str]:
        """Yield the lines of its table in the documentation."""
        for key in self.keys:
            more = f"; see {key.see}" if key.see else ""
            given = "" if key.stated_default is None else f"`{key.default}`"
            default = "required" if key.default is REQUIRED else given
            yield f"| `{key.name}` | {key.kind.in_words()} | {default} | {key.says}{more} |"
        for others in self.others:
            yield f"| {others.shown} | {others.kind.in_words()} | | {others.says} |"


def _matches(others: Others, name: str) -> bool:
    return others.pattern is None or re.fullmatch(others.pattern, name) is not None


def _add_others(schema: Schema, others: Others) -> None:
    kind = {"description": others.says.replace("`", ""), **others.kind.schema()}
    if others.names:
        names = {key: one for key, one in Identifier().schema().items() if key != "type"}
        schema |= {"propertyNames": names, "additionalProperties": kind}
    elif others.pattern is None:
        schema["additionalProperties"] = kind
    else:
        schema["patternProperties"] = {f"^{others.pattern}$": kind}
    if others.most is None:
        return
    span = {"minProperties": others.fewest, "maxProperties": others.most}
    if not schema["properties"]:
        schema |= span
        return
    # a schema counts all keys: where the one optional key is given, one more is allowed
    (optional,) = schema["properties"]
    schema["if"] = {"required": [optional]}
    schema["then"] = {"minProperties": others.fewest + 1, "maxProperties": others.most + 1}
    schema["else"] = span


@dataclass(frozen=True)
class Variants(Kind):
    """A section whose key `by` says, by a word, which table the section follows."""

    by: str
    says: str
    tables: Mapping[str, Table]
    words = "mapping"

    def read(self, node: Node, what: str, known: Known = NOTHING) -> tuple[Any, Values]:
        """Return the word, and what its table holds."""
        section = as_section(node, what)
        word = _one_of(section.required(self.by, what), f"{what} {self.by}", self.tables)
        rest = {name: entry for name, entry in section.entries.items() if name != self.by}
        table = self.tables[word]
        section.check_keys(f"{what} with {self.by} {word}", (self.by, *table.names))
        return word, table.read(Section(rest, section.position), what, known)

    def schema(self) -> Schema:
        """Return one alternative per word."""
        return {"anyOf": [self._variant(word, table) for word, table in self.tables.items()]}

    def _variant(self, word: str, table: Table) -> Schema:
        schema = table.schema()
        rule = {"description": self.says, "const": word}
        schema["properties"] = {self.by: rule, **schema["properties"]}
        schema["required"] = [self.by, *schema["required"]]
        return schema
