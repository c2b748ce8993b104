"""YAML with places: every key and value of a spec file knows its file, line and column."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from lpca.base.errors import UserError
from lpca.base.files import missing, touching
from lpca.base.registry import suggestion
from lpca.gatespec.model import Position

MAX_DEPTH = 20
"""Deeper lists of lists would exhaust the stack of whoever walks them."""
MAX_BYTES = 262_144
_SHOWN = 60
"""Characters of a value that a message repeats."""
SPEC = "a mapping with version, task, evaluation and gates"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class SpecError(UserError, ValueError):
    """A mistake in a spec file. Its text is `FILE:LINE:COLUMN: what is wrong; what is allowed`."""

    def __init__(self, position: Position, message: str) -> None:
        super().__init__(f"{position}: {message}")
        self.position = position
        self.message = message


@dataclass(frozen=True)
class Scalar:
    """One value as its author wrote it; `exact` when its characters stand in the file in a row."""

    text: str
    position: Position
    plain: bool
    exact: bool

    def at(self, offset: int) -> Position:
        """The place of the character at `offset`; the value's own place where that is unknown."""
        if not self.exact:
            return self.position
        column = self.position.column + offset + (0 if self.plain else 1)
        return Position(self.position.file, self.position.line, column)


@dataclass(frozen=True)
class Items:
    """A YAML list."""

    nodes: tuple[Node, ...]
    position: Position


@dataclass(frozen=True)
class Entry:
    """One `key: value` of a YAML mapping."""

    key: Scalar
    value: Node


@dataclass(frozen=True)
class Section:
    """A YAML mapping, in the order of the file."""

    entries: dict[str, Entry]
    position: Position

    @property
    def places(self) -> dict[str, Position]:
        """By key: where its value stands."""
        return {key: entry.value.position for key, entry in self.entries.items()}

    def get(self, key: str) -> Node | None:
        """The value of a key that may be absent."""
        entry = self.entries.get(key)
        return None if entry is None else entry.value

    def required(self, key: str, what: str) -> Node:
        """The value of a key; SpecError, at the section, where it is absent."""
        entry = self.entries.get(key)
        if entry is None:
            raise SpecError(self.position, f"{what} lacks the key {key!r}; it is required")
        return entry.value

    def check_keys(self, what: str, allowed: Collection[str]) -> None:
        """Raise SpecError at the first key that is not allowed."""
        for key, entry in self.entries.items():
            if key not in allowed:
                raise SpecError(
                    entry.key.position,
                    f"unknown key {describe(entry.key)} in {what}; {suggestion(key, allowed)}",
                )


Node = Scalar | Items | Section


def read_document(path: str | os.PathLike[str], expected: str = SPEC) -> Section:
    """Read one YAML mapping with the place of everything in it; `expected` says what it holds.

    Values keep the text their author wrote: `null`, `no` and `1e3` are read by whoever knows
    which type a field has, never by YAML's own rules.

    Raises:
        SpecError: the file is missing or no UTF-8 text, is not valid YAML, is empty, holds
            several documents, equal keys, anchors, aliases or tags, nests deeper than
            `MAX_DEPTH`, or its root is no mapping.
    """
    name = os.fspath(path)
    return parse_document(read_text(name, expected)[0], name, expected)


def parse_document(text: str, name: str, expected: str = SPEC) -> Section:
    """Read the text of a file of that name, as `read_document` does."""
    _refuse_control_characters(name, text)
    try:
        return _Composer(name, expected, yaml.parse(text, Loader=_LOADER)).document()
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(name, error) from None
    except yaml.YAMLError as error:
        message = " ".join(str(error).split())
        raise SpecError(Position(name, 1, 1), f"not valid YAML: {message}") from None


def read_text(name: str, expected: str = SPEC) -> tuple[str, str]:
    """Return a file's text, and the SHA-256 of its bytes; SpecError as for `read_document`."""
    start = Position(name, 1, 1)
    what = "a gate spec in YAML" if expected == SPEC else f"{expected}, in YAML,"
    try:
        touching("read", Path(name))
        with Path(name).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise SpecError(start, f"{missing(Path(name))}; {what} is expected") from None
    except IsADirectoryError:
        raise SpecError(start, f"this is a directory; {what} is expected") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SpecError(start, f"the file cannot be read ({reason}); give a text file") from None
    if len(data) > MAX_BYTES:
        raise SpecError(start, f"the file is too large; allowed: at most {MAX_BYTES} bytes")
    try:
        return data.decode("utf-8-sig"), hashlib.sha256(data).hexdigest()
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8", "replace")
        byte = error.object[error.start]
        raise SpecError(
            _place(name, before), f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8"
        ) from None


def _refuse_control_characters(name: str, text: str) -> None:
    found = _FORBIDDEN.search(text)
    if found:
        raise SpecError(
            _place(name, text[: found.start()]),
            f"character {found.group()!r} is not allowed in YAML; remove it",
        )


def _place(name: str, before: str) -> Position:
    line_start = before.rfind("\n") + 1
    return Position(name, before.count("\n") + 1, len(before) - line_start + 1)


def _syntax_error(name: str, error: yaml.MarkedYAMLError) -> SpecError:
    mark = error.problem_mark or error.context_mark
    position = Position(name, mark.line + 1, mark.column + 1) if mark else Position(name, 1, 1)
    problem = error.problem or "it cannot be read"
    if "\\t" in problem or "character that cannot start any token" in problem:
        problem += " (indent with spaces, never tabs; quote values that begin with a symbol)"
    return SpecError(position, f"not valid YAML: {problem}")


class _Composer:
    """Builds located nodes from YAML events, so that nothing is resolved or followed."""

    def __init__(self, name: str, expected: str, events: Iterator[Any]) -> None:
        self._name = name
        self._expected = expected
        self._events = events

    def document(self) -> Section:
        next(self._events)
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            raise SpecError(
                Position(self._name, 1, 1), f"the file is empty; {self._expected} is expected"
            )
        root = self._node(next(self._events), 1)
        next(self._events)
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise SpecError(
                self._position(event), "a second YAML document begins here; one is allowed"
            )
        if not isinstance(root, Section):
            raise SpecError(
                root.position, f"the file's root is {describe(root)}; {self._expected} is expected"
            )
        return root

    def _position(self, event: Any) -> Position:
        mark = event.start_mark
        return Position(self._name, mark.line + 1, mark.column + 1)

    def _node(self, event: Any, depth: int) -> Node:
        position = self._position(event)
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            name = f"{'*' if isinstance(event, yaml.AliasEvent) else '&'}{event.anchor}"
            raise SpecError(
                position,
                f"anchors and aliases ({name[:_SHOWN]}) are not allowed; write the value out",
            )
        if event.tag is not None:
            raise SpecError(
                position, f"the tag {event.tag[:_SHOWN]!r} is not allowed; write the value alone"
            )
        if depth > MAX_DEPTH:
            raise SpecError(position, f"nested more than {MAX_DEPTH} levels deep; a spec is flat")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._items(position, depth)
        if isinstance(event, yaml.MappingStartEvent):
            return self._section(position, depth)
        return self._scalar(event, position)

    def _scalar(self, event: Any, position: Position) -> Scalar:
        plain = not event.style
        start, end = event.start_mark, event.end_mark
        # folded over lines or with escapes, a character's column is not its offset in the text
        width = len(event.value) + (0 if plain else 2)
        exact = start.line == end.line and end.column - start.column == width
        return Scalar(event.value, position, plain, exact)

    def _items(self, position: Position, depth: int) -> Items:
        nodes: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            nodes.append(self._node(event, depth + 1))
        return Items(tuple(nodes), position)

    def _section(self, position: Position, depth: int) -> Section:
        entries: dict[str, Entry] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key, Scalar):
                raise SpecError(key.position, f"a key is {describe(key)}; a word is expected")
            if key.text in entries:
                first = entries[key.text].key.position.line
                raise SpecError(
                    key.position,
                    f"the key {describe(key)} stands twice (first on line {first}); "
                    "once is allowed",
                )
            entries[key.text] = Entry(key, self._node(next(self._events), depth + 1))
        return Section(entries, position)


def describe(node: Node) -> str:
    """What a node is, in words for a message."""
    if isinstance(node, Items):
        return "a list"
    if isinstance(node, Section):
        return "a mapping"
    if node.plain and not node.text:
        return "empty"
    shown = node.text if len(node.text) <= _SHOWN else node.text[: _SHOWN - 3] + "..."
    return repr(shown)


def refuse(node: Node, what: str, allowed: str) -> NoReturn:
    """Raise the error of a wrong value: `what is describe(node); allowed: ...`."""
    raise SpecError(node.position, f"{what} is {describe(node)}; allowed: {allowed}")


def as_section(node: Node, what: str) -> Section:
    """The node as a mapping."""
    if not isinstance(node, Section):
        refuse(node, what, "a mapping")
    return node


def as_items(node: Node, what: str) -> tuple[Node, ...]:
    """The nodes of a list."""
    if not isinstance(node, Items):
        refuse(node, what, "a list")
    return node.nodes


def as_scalar(node: Node, what: str, allowed: str) -> Scalar:
    """The node as one value that is not empty."""
    if not isinstance(node, Scalar) or not node.text.strip():
        refuse(node, what, allowed)
    return node
