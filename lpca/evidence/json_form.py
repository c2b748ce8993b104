"""Frozen dataclasses as JSON and back: their annotations say what a file may hold.

A field stands under its own name unless it has another `Key`. Reading names the first value that
is not as declared: its place, what it is and what is allowed.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Callable, Hashable, Mapping, Sequence
from enum import Enum
from functools import cache, partial
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from lpca.base.errors import RunError
from lpca.stats.claims import Claim
from lpca.stats.tables import Interval

T = TypeVar("T")
Reader = Callable[[Any, str], Any]
CLAIMS: Mapping[str, type] = {kind.__name__.lower(): kind for kind in get_args(Claim)}
"""By the `kind` under which each stands in a file."""
_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
_LONGEST = 60


@dataclasses.dataclass(frozen=True)
class Key:
    """Annotates a field that stands under another name than its own."""

    name: str


_SPREAD, _OMITTED = "spread", "omitted"
Spread = Annotated[T, _SPREAD]
"""A field whose own fields stand in the object around it."""
Omitted = Annotated[T, _OMITTED]
"""A field that is left out of the file while it is None or empty."""


class EvidenceError(RunError):
    """Evidence that is not as lpca writes it; the text names place, value and what is allowed."""


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a field stands in the file, and how it is read there."""

    field: str
    key: str
    spread: bool
    omitted: bool
    optional: bool
    kind: Any


def to_data(value: object) -> Any:
    """A dataclass, or anything that holds some, as JSON-able data.

    A field that is infinite or undefined becomes null: JSON has no such numbers. A number of a
    list stays as it is, and writing refuses it.
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Interval):
        return [_finite(value.low), _finite(value.high)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _object(value)
    if isinstance(value, Mapping):
        return {str(name): to_data(held) for name, held in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [to_data(held) for held in value]
    return value


def from_data(kind: type[T], data: object, place: str = "") -> T:
    """Read what `to_data` made of a `kind`; `place` is how messages name the data.

    Raises:
        EvidenceError: something is missing or is not what the dataclass declares.
    """
    return cast("T", _reader(cast("Hashable", kind))(data, place))


def _object(value: Any) -> dict[str, Any]:
    kind = type(value)
    data: dict[str, Any] = {"kind": kind.__name__.lower()} if isinstance(value, Claim) else {}
    for place in _places(cast("Hashable", kind)):
        held = getattr(value, place.field)
        if place.omitted and (held is None or held == ()):
            continue
        if place.spread:
            data |= _object(held)
        else:
            data[place.key] = _finite(held) if isinstance(held, float) else to_data(held)
    return data


@cache
def _places(kind: Hashable) -> tuple[_Place, ...]:
    hints, found = get_type_hints(kind, include_extras=True), []
    for field in dataclasses.fields(cast("Any", kind)):
        hint = hints[field.name]
        marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        found.append(
            _Place(
                field.name,
                next((mark.name for mark in marks if isinstance(mark, Key)), field.name),
                _SPREAD in marks,
                _OMITTED in marks,
                field.default is not dataclasses.MISSING,
                get_args(hint)[0] if marks else hint,
            )
        )
    return tuple(found)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@cache
def _reader(kind: Hashable) -> Reader:
    """What reads one annotation; made once, for there are thousands of outcomes."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind == Claim:
        return _claim
    if origin in (Union, types.UnionType):
        (only,) = (one for one in inner if one is not type(None))
        return partial(_optional, _reader(only))
    if origin is Literal:
        return partial(_one_of, {name: name for name in inner})
    if origin in (tuple, Sequence):
        return partial(_many, _reader(inner[0]))
    if origin is Mapping:
        return partial(_mapping, _reader(inner[1]))
    if kind is Interval:
        return _interval
    if isinstance(kind, type) and issubclass(kind, Enum):
        return partial(_one_of, {one.value: one for one in kind})
    if dataclasses.is_dataclass(kind):
        return partial(_record, kind, [(place, _reader(place.kind)) for place in _places(kind)])
    return partial(_scalar, kind) if kind in _WORDS else lambda value, place: value


def _scalar(kind: type, value: Any, place: str) -> Any:
    # a bool is an int to Python, and none to a reader
    taken = (int, float) if kind is float else kind
    if not isinstance(value, taken) or (isinstance(value, bool) and kind is not bool):
        raise _wrong(value, place, _WORDS[kind])
    return value


def _optional(inner: Reader, value: Any, place: str) -> Any:
    return None if value is None else inner(value, place)


def _one_of(allowed: Mapping[str, Any], value: Any, place: str) -> Any:
    if not isinstance(value, str) or value not in allowed:
        raise _wrong(value, place, ", ".join(allowed))
    return allowed[value]


def _many(inner: Reader, value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(value, place, "a list")
    return tuple(inner(held, f"{place}[{index}]") for index, held in enumerate(value))


def _mapping(inner: Reader, value: Any, place: str) -> dict[str, Any]:
    entries = _entries(value, place)
    return {name: inner(held, _within(place, name)) for name, held in entries.items()}


def _interval(value: Any, place: str) -> Interval:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise _wrong(value, place, "[low, high]")
    bound = _reader(float | None)
    low, high = (bound(end, f"{place}[{index}]") for index, end in enumerate(value))
    # a bound that JSON could not hold is infinite again
    return Interval(-math.inf if low is None else low, math.inf if high is None else high)


def _claim(value: Any, place: str) -> Any:
    entries = _entries(value, place)
    if entries.get("kind") not in CLAIMS:
        raise _wrong(entries.get("kind"), _within(place, "kind"), ", ".join(CLAIMS))
    return _reader(CLAIMS[entries["kind"]])(value, place)


def _record(
    kind: Callable[..., Any], readers: Sequence[tuple[_Place, Reader]], value: Any, place: str
) -> Any:
    entries, found = _entries(value, place), {}
    for one, inner in readers:
        if one.spread:
            found[one.field] = inner(value, place)
        elif one.key in entries:
            found[one.field] = inner(entries[one.key], _within(place, one.key))
        elif not one.optional:
            raise EvidenceError(f"{_within(place, one.key)} is missing")
    try:
        return kind(**found)
    except ValueError as error:
        raise EvidenceError(f"{place or 'evidence'}: {error}") from None


def _entries(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(value, place, "an object")
    return value


def _within(place: str, name: str) -> str:
    """A name within a place; a file's own names may hold anything, so it is made printable."""
    name = ascii(name)[1:-1][:_LONGEST]
    return f"{place}.{name}" if place else name


def _wrong(value: Any, place: str, allowed: str) -> EvidenceError:
    shown = ascii(value)
    shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."
    return EvidenceError(f"{place or 'evidence'} is {shown}; allowed: {allowed}")
