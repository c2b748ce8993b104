"""Typed reading of located YAML: each function takes a node and what its field may hold."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import NoReturn

from lpca.base.registry import suggestion
from lpca.gatespec.document import Entry, Items, Node, Scalar, Section, SpecError, describe
from lpca.gatespec.kinds import MAX_INTEGER
from lpca.gatespec.model import Position
from lpca.gatespec.schema_model import EPISODES, IDENTIFIER, LEVEL, NEAREST, RESERVED_NAMES

_INTEGER = re.compile(r"[+-]?[0-9]{1,13}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_IDENTIFIER = re.compile(IDENTIFIER)
_BOOLEANS = {"true": True, "false": False}


def check_keys(section: Section, what: str, allowed: Collection[str]) -> None:
    """Refuse a key that is not allowed.

    Raises:
        SpecError: at the unknown key.
    """
    for entry in section.entries.values():
        if entry.key.text not in allowed:
            raise SpecError(
                entry.key.position,
                f"unknown key {describe(entry.key)} in {what}; "
                f"{suggestion(entry.key.text, allowed)}",
            )


def required(section: Section, key: str, what: str) -> Node:
    """The value of a key that must be there.

    Raises:
        SpecError: at the section that lacks the key.
    """
    entry = section.entries.get(key)
    if entry is None:
        raise SpecError(section.position, f"{what} lacks the key {key!r}; it is required")
    return entry.value


def optional(section: Section, key: str) -> Node | None:
    """The value of a key that may be absent."""
    entry = section.entries.get(key)
    return None if entry is None else entry.value


def fail(node: Node, what: str, allowed: str) -> NoReturn:
    """Raise the error of a wrong value: `what is describe(node); allowed: ...`."""
    raise SpecError(node.position, f"{what} is {describe(node)}; allowed: {allowed}")


def as_section(node: Node, what: str) -> Section:
    """The node as a mapping."""
    if not isinstance(node, Section):
        fail(node, what, "a mapping")
    return node


def as_entries(node: Node, what: str) -> tuple[Entry, ...]:
    """The entries of a mapping that holds at least one."""
    section = as_section(node, what)
    if not section.entries:
        raise SpecError(section.position, f"{what} is an empty mapping; at least one entry is due")
    return tuple(section.entries.values())


def as_items(node: Node, what: str) -> tuple[Node, ...]:
    """The nodes of a list."""
    if not isinstance(node, Items):
        fail(node, what, "a list")
    return node.nodes


def as_scalar(node: Node, what: str, allowed: str) -> Scalar:
    """The node as one value that is not empty."""
    if not isinstance(node, Scalar) or not node.text.strip():
        fail(node, what, allowed)
    return node


def as_text(node: Node, what: str) -> str:
    """The node as a text."""
    return as_scalar(node, what, "a text").text


def as_identifier(node: Node, what: str) -> str:
    """A name that can be a pytest id and marker: `[a-z][a-z0-9_]*`, none of pytest's own."""
    allowed = "lower-case letters, digits and _, beginning with a letter"
    text = as_scalar(node, what, allowed).text
    if not _IDENTIFIER.fullmatch(text):
        fail(node, what, allowed)
    if text in RESERVED_NAMES:
        fail(node, what, "any name that pytest does not use itself")
    return text


def as_integer(node: Node, what: str, low: int, high: int = MAX_INTEGER) -> int:
    """A whole number in [low, high], written without quotes."""
    if high >= MAX_INTEGER:
        allowed = f"a whole number from {low} on"
    else:
        allowed = f"a whole number from {low} to {high}"
    scalar = as_scalar(node, what, allowed)
    if not scalar.plain or not _INTEGER.fullmatch(scalar.text):
        fail(node, what, allowed)
    value = int(scalar.text)
    if not low <= value <= high:
        fail(node, what, allowed)
    return value


def as_episodes(node: Node, what: str) -> int:
    """A number of episodes."""
    return as_integer(node, what, *EPISODES)


def as_number(node: Node, what: str, low: float, high: float, *, open_ends: bool = False) -> float:
    """A finite number in [low, high], or in (low, high) with `open_ends`."""
    span = f"above {low:g} and below {high:g}" if open_ends else f"from {low:g} to {high:g}"
    allowed = f"a number {span}"
    scalar = as_scalar(node, what, allowed)
    if not scalar.plain or not _NUMBER.fullmatch(scalar.text):
        fail(node, what, allowed)
    value = float(scalar.text)
    inside = low < value < high if open_ends else low <= value <= high
    if not inside:
        fail(node, what, allowed)
    return value


def as_confidence(node: Node | None) -> float | None:
    """A confidence strictly between 0 and 1, where given."""
    if node is None:
        return None
    value = as_number(node, "confidence", 0.0, 1.0, open_ends=True)
    if not LEVEL.low <= value <= LEVEL.high:
        fail(node, "confidence", f"a number above 0 and below 1, by {NEAREST:g} at least")
    return value


def as_choice(node: Node, what: str, choices: Collection[str]) -> str:
    """One of a few words."""
    scalar = as_scalar(node, what, "one of " + ", ".join(choices))
    if scalar.text not in choices:
        raise SpecError(
            scalar.position,
            f"unknown {what} {describe(scalar)}; {suggestion(scalar.text, choices)}",
        )
    return scalar.text


def as_names(node: Node, what: str, choices: Collection[str]) -> tuple[str, ...]:
    """A list of different words out of a few."""
    names: list[str] = []
    for item in as_items(node, f"the list of {what}s"):
        name = as_choice(item, what, choices)
        if name in names:
            raise SpecError(item.position, f"{what} {name!r} stands twice; once is allowed")
        names.append(name)
    return tuple(names)


def as_setting(node: Node, what: str) -> int | float | str | bool:
    """A task setting: a whole number, a finite number, `true`, `false` or a text."""
    scalar = as_scalar(node, what, "a number, true, false or a text")
    text = scalar.text
    if not scalar.plain:
        return text
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if not _NUMBER.fullmatch(text):
        if text.lstrip("+-.").lower() in ("inf", "nan"):
            fail(node, what, "a finite number, true, false or a text")
        return text
    value = float(text)
    if not math.isfinite(value):
        fail(node, what, "a finite number, true, false or a text")
    return value


def places(section: Section) -> dict[str, Position]:
    """By key: where its value stands."""
    return {key: entry.value.position for key, entry in section.entries.items()}
