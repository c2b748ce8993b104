"""Registries: one name, one entry; a new entry is added by one file."""

from __future__ import annotations

import ast
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any, Generic, TypeVar, cast

from lpca.base import PACKAGE

T = TypeVar("T")
E = TypeVar("E")
_LONGEST_WORD = 60


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
        self._is_complete = package is None

    def register(self, *names: str, **about: object) -> Callable[[E], E]:
        """Return a decorator that enters what it decorates under each name.

        Args:
            names: what it is asked for by; literal texts, so that `declared` finds them.
            about: what is to be known of it without importing it; literals, for `declared`.

        Raises:
            ValueError: a name is taken already, or none is given.
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
            return entry

        return enter

    def __getitem__(self, name: str) -> T:
        """Return the entry of a name; UnknownNameError, a KeyError, where there is none."""
        found = self._complete()
        if name not in found:
            raise UnknownNameError(f"unknown {self.kind} {name!r:.62}; {suggestion(name, found)}")
        return found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._complete())

    def __len__(self) -> int:
        return len(self._complete())

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


@cache
def declared(package: str) -> Mapping[str, Mapping[str, Any]]:
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
    found: dict[str, Mapping[str, Any]] = {}
    folder = PACKAGE.parent.joinpath(*package.split("."))
    for file in sorted(folder.glob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            # the nearest decorator is called first
            for call in reversed(getattr(node, "decorator_list", [])):
                if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(".register"):
                    about = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
                    found |= {ast.literal_eval(name): about for name in call.args}
    return found


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
    return f"{hint}allowed: {', '.join(names)}"
