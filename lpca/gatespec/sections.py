"""Mappings: each key is declared once, and read, described and documented from that."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from lpca.base.registry import numbered_in
from lpca.gatespec.document import Entry, Node, Section, SpecError, as_section
from lpca.gatespec.kinds import NOTHING, Identifier, Kind, Known, Schema, one_of
from lpca.gatespec.model import Position


class Required(Enum):
    """Stands where a default would: the key must be given."""

    REQUIRED = "required"


REQUIRED = Required.REQUIRED


@dataclass(frozen=True)
class Key:
    """One key of a section; `default` holds where it is not given.

    `says` is its meaning in one line of Markdown without links, `see` a link to more, `what` how
    messages call its value, where the section does not say that for all of its keys.
    """

    name: str
    kind: Kind
    says: str
    default: Any = None
    see: str = ""
    what: str = ""

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

    `what` is how messages call the values of its keys. Of the keys that name a condition only those
    are allowed that are known under `among`; a numbered one is read as the first key is. Where
    `titled`, the first key's value is part of how messages call the section from there on.
    """

    keys: tuple[Key, ...] = ()
    others: tuple[Others, ...] = ()
    what: str = "{key}"
    one_of: bool = False
    among: str = ""
    choices: Collection[str] = ()
    titled: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The fixed keys."""
        return tuple(key.name for key in self.keys)

    def read(self, node: Node, what: str, known: Known = NOTHING) -> Values:
        """Return every value, defaults filled in; what is read is known to the keys after it."""
        section = as_section(node, what)
        if not self.others:
            named = [name for name in known.get(self.among, self.choices) if name in self.choices]
            rest = [name for name in self.names if name not in self.choices]
            section.check_keys(what, [*named, *rest])
        if self.one_of and len(section.entries) != 1:
            both = " and ".join(self.names)
            raise SpecError(section.position, f"{what} has both or neither of {both}; allowed: one")
        fixed: dict[str, Any] = {}
        scope = {**known, "section": what}
        numbered = [name for name in section.entries if name in self.choices]
        unlisted = [replace(self.keys[0], name=name) for name in numbered if name not in self.names]
        for key in (*self.keys, *unlisted):
            value = self._value(key, section, {**scope, "key": key.name})
            fixed[key.name] = scope[key.name] = value
            if self.titled and key is self.keys[0]:
                scope["section"] = self.titled.format(value)
        return Values(section, fixed, self._others(section, what, scope))

    def _value(self, key: Key, section: Section, scope: Known) -> Any:
        entry = section.entries.get(key.name)
        if entry is not None:
            return key.kind.read(entry.value, (key.what or self.what).format_map(scope), scope)
        if key.default is REQUIRED:
            section.required(key.name, scope["section"])
        return key.default

    def _others(self, section: Section, what: str, scope: Known) -> dict[str, Any]:
        fixed = {*self.names, *(name for name in section.entries if name in self.choices)}
        rest = [entry for name, entry in section.entries.items() if name not in fixed]
        # all names first: a gate may name one that stands below it
        for others in self.others:
            self._check(others, section, what, rest)
        found: dict[str, Any] = {}
        names = [entry.key.text for entry in rest]
        for name, entry in zip(names, rest, strict=True):
            others = next(others for others in self.others if _matches(others, name))
            siblings = tuple(other for other in names if other != name)
            inner = {**scope, "key": name, "siblings": siblings}
            found[name] = others.kind.read(entry.value, self.what.format_map(inner), inner)
        return found

    def _check(self, others: Others, section: Section, what: str, rest: list[Entry]) -> None:
        if others.most is not None:
            if not section.entries and not self.keys:
                empty = f"{what} is an empty mapping; at least one entry is due"
                raise SpecError(section.position, empty)
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
        if numbered := numbered_in(self.choices):
            value = self.keys[0].kind.schema()
            schema["patternProperties"] = {f"^{one.pattern}$": value for one in numbered}
        for others in self.others:
            _add_others(schema, others)
        return schema


def _matches(others: Others, name: str) -> bool:
    return others.pattern is None or re.fullmatch(others.pattern, name) is not None


def _add_others(schema: Schema, others: Others) -> None:
    kind = {"description": others.says.replace("`", ""), **others.kind.schema()}
    if others.names:
        names = {key: rule for key, rule in Identifier().schema().items() if key != "type"}
        schema |= {"propertyNames": names, "additionalProperties": kind}
    elif others.pattern is None:
        schema["additionalProperties"] = kind
    else:
        schema.setdefault("patternProperties", {})[f"^{others.pattern}$"] = kind
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


@dataclass(frozen=True)
class Variants(Kind):
    """A section whose key `by` says, by a word, which table the section follows."""

    by: str
    says: str
    tables: Mapping[str, Table]

    def read(self, node: Node, what: str, known: Known = NOTHING) -> tuple[Any, Values]:
        """Return the word, and what its table holds."""
        section = as_section(node, what)
        word = one_of(section.required(self.by, what), f"{what} {self.by}", self.tables)
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
