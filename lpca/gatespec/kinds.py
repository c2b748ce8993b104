"""The words in which `lpca.gatespec.schema_model` describes a spec file."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Generic, Literal, NamedTuple, TypeVar

T = TypeVar("T")
MAX_INTEGER = 10**12


class Integer(NamedTuple):
    """A whole number in [low, high], written plainly: no quotes, point or exponent."""

    low: int
    high: int = MAX_INTEGER


class Number(NamedTuple):
    """A finite number in [low, high]."""

    low: float
    high: float


class Choice(NamedTuple):
    """One of a few words."""

    words: tuple[str, ...]


class Form(NamedTuple):
    """A value with a grammar of its own, which the loader knows."""

    name: Literal["text", "identifier", "claim", "where", "method", "setting", "seeds", "value"]


class ListOf(NamedTuple):
    """A list of at least `fewest` items, all different where `distinct`."""

    of: Kind
    fewest: int = 0
    distinct: bool = False


class Others(NamedTuple):
    """The keys of a section that are not fixed: those that match `pattern`, or all (None).

    There are `fewest` to `most` of them; `shown` stands for such a key in the documentation.
    """

    shown: str
    pattern: str | None
    kind: Kind
    says: str
    fewest: int = 0
    most: int | None = None


class Table(NamedTuple):
    """A section: its keys, of which exactly one is given where `one_of`."""

    keys: tuple[Key[Any], ...] = ()
    others: tuple[Others, ...] = ()
    one_of: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The fixed keys."""
        return tuple(key.name for key in self.keys)


class Variants(NamedTuple):
    """A section whose key `by` says, by a word, which table the section follows."""

    by: str
    says: str
    tables: Mapping[str, Table]


class Either(NamedTuple):
    """Written in one of several ways."""

    kinds: tuple[Kind, ...]


Kind = Integer | Number | Choice | Form | ListOf | Table | Variants | Either


class Required(Enum):
    """Stands where a default would: the key must be given."""

    REQUIRED = "required"


REQUIRED = Required.REQUIRED


class Key(NamedTuple, Generic[T]):
    """One key of a section; `default` holds where it is not given.

    `says` is its meaning in one line of Markdown without links, `see` a link to more.
    """

    name: str
    kind: Kind
    says: str
    default: T
    see: str = ""
