"""Registries: one name, one entry; a new entry is added by one file.

A numbered entry is one for many names: registered as `p2_N` with `numbers=4096` it is there as
`p2_1` to `p2_4096`, and listed under its `usual` numbers alone.
"""

from __future__ import annotations

import ast
import pkgutil
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from typing import Any, Generic, TypeVar, cast

from lpca.base import PACKAGE

T = TypeVar("T")
E = TypeVar("E")
V = TypeVar("V", covariant=True)
W = TypeVar("W")
_LONGEST_WORD = 60
NUMBER = "N"
"""What a numbered name has in place of its number, at its end; and what is said of it."""
About = Mapping[str, Any]


@dataclass(frozen=True)
class Numbered:
    """Names that end in a whole number from 1 on.

    Attributes:
        form: the name, with N for the number.
        most: the largest number.
        usual: the numbers under which it is listed.

    Example:
        >>> sizes = Numbered("p2_N", 4096, (16, 64))
        >>> sizes.number("p2_256"), sizes.number("p2_016"), sizes.listed
        (256, None, ('p2_16', 'p2_64'))
    """

    form: str
    most: int
    usual: tuple[int, ...] = ()

    @classmethod
    def of(cls, name: str, about: About) -> Numbered | None:
        """What a name is by what is said of it; None where it is one name; ValueError if torn."""
        if "numbers" not in about:
            return None
        if not name.endswith(f"_{NUMBER}"):
            raise ValueError(f"{name!r} is numbered; its name must end in _{NUMBER}")
        return cls(name, about["numbers"], tuple(about.get("usual", ())))

    @property
    def stem(self) -> str:
        """What stands before the number."""
        return self.form.removesuffix(NUMBER)

    @property
    def listed(self) -> tuple[str, ...]:
        """The names of the usual numbers."""
        return tuple(f"{self.stem}{number}" for number in self.usual)

    @property
    def pattern(self) -> str:
        """A regular expression that matches these names whole, and no others."""
        digits = str(self.most)
        found = [f"[1-9][0-9]{{0,{len(digits) - 2}}}"] if len(digits) > 1 else []
        for place, digit in enumerate(digits):
            low, high = int(place == 0), int(digit) - (place < len(digits) - 1)
            if low <= high:
                rest = len(digits) - place - 1
                found.append(f"{digits[:place]}[{low}-{high}]" + f"[0-9]{{{rest}}}" * bool(rest))
        return f"{self.stem}(?:{'|'.join(found)})"

    def number(self, name: str) -> int | None:
        """The number of one of these names; None for any other name."""
        return int(name[len(self.stem) :]) if re.fullmatch(self.pattern, name) else None


def _numbered(name: str, forms: Iterable[Numbered]) -> tuple[str, int] | None:
    """The form that a name is of, and its number."""
    for one in forms:
        number = one.number(name)
        if number is not None:
            return one.form, number
    return None


class UnknownNameError(KeyError):
    """A registry has no entry of that name; its text says which names are near and allowed."""

    def __str__(self) -> str:
        return str(self.args[0])


class Registry(Mapping[str, T], Generic[T]):
    """Entries by name, in the order in which they were registered.

    The code of an entry counts in an identity where the entry is resolved (`code_identity`), so
    a neighbour that is added or changed leaves the others' identities as they were.

    Args:
        kind: what an entry is, in messages: "condition", "objective".
        package: a package whose modules register the entries. They are imported when the first
            entry is looked up, not before: asking for a registry loads no torch. Entries then
            stand in the order of the modules' names, whichever was imported first.
        order: a key by which entries stand instead, smallest first.

    Example:
        >>> shapes: Registry[Callable[[float], float]] = Registry("shape")
        >>> @shapes.register("square")
        ... def square(side: float) -> float:
        ...     return side * side
        >>> shapes["square"](3.0)
        9.0
        >>> list(shapes)
        ['square']
    """

    def __init__(
        self, kind: str, package: str | None = None, order: Callable[[T], Any] | None = None
    ) -> None:
        self.kind, self.package, self.order = kind, package, order
        self._entries: dict[str, T] = {}
        self._numbered: dict[str, Numbered] = {}
        self._is_complete = package is None

    def register(self, *names: str, **about: object) -> Callable[[E], E]:
        """Return a decorator that enters what it decorates under each name.

        Args:
            names: what it is asked for by; literal texts, so that `declared` finds them.
            about: what is to be known of it without importing it; literals, for `declared`.
                `numbers` says up to which one a name that ends in N is there for; what is looked
                up under such a name is called with the number first. `usual` lists some of them.

        Raises:
            ValueError: a name is taken already, none is given, or a numbered one ends otherwise.
        """
        if not names:
            raise ValueError(f"a {self.kind} is registered under at least one name")

        def enter(entry: E) -> E:
            for name in names:
                if name in self._entries:
                    raise ValueError(f"there is a {self.kind} {name!r} already")
            for name in names:
                # an entry keeps its own type, which is narrower than T
                self._entries[name] = cast("T", entry)
                if form := Numbered.of(name, about):
                    self._numbered[name] = form
            return entry

        return enter

    def __getitem__(self, name: str) -> T:
        """Return the entry of a name; UnknownNameError, a KeyError, where there is none."""
        found = self._complete()
        if name in found and name not in self._numbered:
            return found[name]
        numbered = _numbered(name, self._numbered.values())
        if numbered is None:
            raise UnknownNameError(f"unknown {self.kind} {name!r:.62}; {suggestion(name, self)}")
        form, number = numbered
        return cast("T", partial(cast("Callable[..., Any]", found[form]), number))

    def __iter__(self) -> Iterator[str]:
        return _listed(self._complete(), self._numbered)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def forms(self) -> Mapping[str, Numbered | None]:
        """The names as they are registered, and what is numbered among them."""
        return {name: self._numbered.get(name) for name in self._complete()}

    def _complete(self) -> dict[str, T]:
        if not self._is_complete and self.package is not None:
            # set first: a module of the package may look up an entry while it is imported
            self._is_complete = True
            try:
                modules = import_modules(self.package)
            except BaseException:
                self._is_complete = False
                raise
            place = {module: index for index, module in enumerate(modules)}

            def by_module(entry: T) -> int:
                return place.get(getattr(entry, "__module__", ""), len(place))

            order = self.order or by_module
            self._entries = dict(sorted(self._entries.items(), key=lambda item: order(item[1])))
        return self._entries


def _listed(entries: Iterable[str], numbered: Mapping[str, Numbered]) -> Iterator[str]:
    for name in entries:
        yield from numbered[name].listed if name in numbered else (name,)


class Declared(Mapping[str, V], Generic[V]):
    """By name what is said of entries: of numbered ones of each number, N being the number.

    It is listed as a `Registry` is: `in` knows more numbers than are met in a loop.

    Args:
        said: by name, as it is registered, what is said there.
        value: makes of that what stands here; None: the name is not here.
    """

    def __init__(self, said: Mapping[str, About], value: Callable[[About], V | None]) -> None:
        self._said, self._value = said, value
        numbered = {name: Numbered.of(name, about) for name, about in said.items()}
        self._numbered = {name: one for name, one in numbered.items() if one}

    def __getitem__(self, name: str) -> V:
        about = self._said.get(name)
        if about is None or name in self._numbered:
            form, number = _numbered(name, self._numbered.values()) or (name, 0)
            if not number:
                raise KeyError(name)
            said = self._said[form].items()
            about = {key: number if value == NUMBER else value for key, value in said}
        value = self._value(about)
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return (name for name in _listed(self._said, self._numbered) if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def forms(self) -> Mapping[str, Numbered | None]:
        """The names as they are registered, and what is numbered among them."""
        found = {name: self._numbered.get(name) for name in self._said}
        shown = {
            name: one.form.replace(NUMBER, "1") if one else name for name, one in found.items()
        }
        return {name: one for name, one in found.items() if shown[name] in self}

    def where(self, holds: Callable[[About], bool]) -> Declared[V]:
        """Only the names of which something holds that is said of them."""
        return Declared(self._said, lambda about: self._value(about) if holds(about) else None)

    def each(self, value: Callable[[About], W | None]) -> Declared[W]:
        """The same names with another value; without those that have none."""
        return Declared(
            self._said, lambda about: None if self._value(about) is None else value(about)
        )

    def among(self, names: Iterable[str]) -> list[str]:
        """Those of some names that are here, each once, in the order of what is registered."""
        order = {form: place for place, form in enumerate(self._said)}

        def place(name: str) -> tuple[int, int]:
            form, number = _numbered(name, self._numbered.values()) or (name, 0)
            return order[form], number

        return sorted({name for name in names if name in self}, key=place)


@cache
def declared(package: str) -> Declared[About]:
    """Return by name what a package's modules say `about` their entries, without importing them.

    So names are known where loading what they name, and torch with it, would take seconds. They
    stand in the order of the modules' names.

    Args:
        package: one of lpca's, as of a `Registry`: one registry's entries, in modules that stand
            in its folder.

    Raises:
        ValueError: what is said of an entry is no literal.

    Example:
        >>> declared("lpca.evaluation.conditions")["null"]
        {'holds': 'latents'}
    """
    found: dict[str, About] = {}
    folder = PACKAGE.parent.joinpath(*package.split("."))
    for file in sorted(folder.glob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            # the nearest decorator is called first
            for call in reversed(getattr(node, "decorator_list", [])):
                if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(".register"):
                    about = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
                    found |= {ast.literal_eval(name): about for name in call.args}
    return Declared(found, lambda about: about)


def import_modules(package: str) -> list[str]:
    """Import every module of a package, its subpackages' too; return their names, sorted."""
    root = import_module(package)
    found = sorted(one.name for one in pkgutil.walk_packages(root.__path__, f"{package}."))
    for module in found:
        import_module(module)
    return found


def suggestion(word: str, allowed: Iterable[str]) -> str:
    """`did you mean 'x'? allowed: x, y` for a word that is none of the allowed ones."""
    from difflib import get_close_matches

    names = list(allowed)
    word = word[:_LONGEST_WORD]
    by_lower = {name.lower(): name for name in names}
    close = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    hint = f"did you mean {by_lower[close[0]]!r}? " if close else ""
    return f"{hint}allowed: {', '.join(shown_names(allowed, names))}"


def numbered_in(names: Iterable[str]) -> list[Numbered]:
    """The numbered ones among the names of a `Registry` or a `Declared`; none of other names."""
    forms = names.forms.values() if isinstance(names, Registry | Declared) else ()
    return [one for one in forms if one]


def shown_names(names: Iterable[str], listed: Collection[str] | None = None) -> list[str]:
    """Names as messages tell them: of a numbered one its usual numbers, and that there are more."""
    shown = list(names) if listed is None else list(listed)
    for one in numbered_in(names):
        last = max((place for place, name in enumerate(shown) if one.number(name)), default=-1)
        more = f"{one.form} (N to {one.most})"
        shown.insert(last + 1 if last >= 0 else len(shown), more)
    return shown
