"""What code computes, as a hash: of definitions and all that they use, found by reading them.

From its roots the closure follows every name to the definition behind it, through imports, in
annotations too, to where followed source ends (`source_code`); nothing is listed by hand. What is
hashed is a normal form in which these change nothing: where a definition stands and what it is
called, how it is imported, names of local variables and methods, docstrings, comments, layout,
and annotations, but for those of a class's fields.

Definitions, variables of a scope and methods are written as numbers, in the order in which the
same walk meets them; all else is written as it is. Literal stay parameters but for `*args` and
`**kw` (a mapping may be unpacked into them), fields and stored attributes (`asdict`,
`state_dict`), special methods, all methods of a user's classes (lpca reads them by name), methods
of classes that derive from a library's, names that stand in a string (`getattr`) or are also a
library's, and those that built-in types have.

Known limits. Reading does not show all that running does: equal hashes are strong evidence of
equal behaviour, no proof. A change of these can leave an identity as it was:

- modules imported by `import_module` but under a literal, absolute name given in the call itself:
  a name from a table, a constant or a keyword, a relative or a composed one is not followed;
- what the `__init__` of a package does to the modules in it, and modules that are imported only
  for their effect, where no name of theirs is used (of a whole module those that it imports by
  name count, not those that these import);
- entries that definitions make of themselves elsewhere: by a decorator that fills a table of one's
  own, in `__init_subclass__`, by `register` from another top-level module than the table's;
- at a registration what is behind the name of a keyword's value, and the order of registrations;
- a call `library.register(entry)` at module level, of which nothing else is used;
- statements at module level that assign and have an effect, as `_ = effect()`, where what they
  assign is not used; and where a statement stands among others that bind other names;
- where in a function an import stands, and which of several of one name it uses; which name
  a `:=` in a lambda inside a comprehension binds;
- names used as data: `__name__`, `__module__`, `locals()`, `dir()`, `globals()["f"]`, code in a
  string, an attribute that `getattr` reads under a composed name; names of modules in strings;
- `__doc__` and `__annotations__` that are read, but for the annotations of fields;
- what stands under a condition called `TYPE_CHECKING` that is not typing's;
- what is read from files that are no Python, and all of libraries and of Python itself.

The other way round, some changes that compute nothing else change an identity: a class that an
annotation newly names (it cannot be seen whether it is read), a change of what a later binding of
the same name hides, and another order of a module's statements where all of the module counts.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import inspect
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType

from lpca.base import PACKAGE
from lpca.base.normal_form import Member, ModuleName, Token, Unit, Writer
from lpca.base.source_code import (
    DEFINITIONS,
    EFFECTS,
    WHOLE,
    Module,
    Sources,
    Symbol,
)

_KNOWN = frozenset(
    name for var in vars(builtins).values() if isinstance(var, type) for name in dir(var)
)
"""Attributes of built-in types."""


class Closures:
    """Closures over the same sources, which share the normal forms of their statements."""

    def __init__(self, sources: Sources | None = None) -> None:
        self.sources = sources or Sources()
        self._units: dict[ast.AST, Unit] = {}
        self._hashes: dict[Asked, str] = {}

    def reread(self, module: str, text: str) -> Closures:
        """Return the same with another text of one module."""
        made = Closures(self.sources.reread(module, text))
        if made.sources._resolved is self.sources._resolved:
            made._units = self._units
        return made

    def hash(
        self, roots: Iterable[object], resolved: Mapping[str, Collection[str]] | None = None
    ) -> str:
        """Return the SHA-256 of the roots' closure; as `code_hash`."""
        asked = _asked(roots, resolved)
        if asked not in self._hashes:
            self._hashes[asked] = _Walk(self, asked).hash()
        return self._hashes[asked]

    def closure(
        self, roots: Iterable[object], resolved: Mapping[str, Collection[str]] | None = None
    ) -> frozenset[Symbol]:
        """Return everything that counts in a hash; as `code_hash`."""
        return frozenset(_Walk(self, _asked(roots, resolved)).numbers)

    def unit(self, module: Module, statement: ast.stmt | ast.expr) -> Unit:
        """Return the normal form of a statement at the top of a module, or of an entry."""
        if statement not in self._units:
            self._units[statement] = Writer(self.sources, module).written(statement)
        return self._units[statement]

    def forget_outside(self, package: str) -> None:
        """Read what stands outside a package again when it is next asked for."""
        self.sources.forget_outside(package)
        self._hashes.clear()


Asked = tuple[tuple[Symbol, ...], tuple[tuple[str, tuple[str, ...]], ...]]
"""Roots, and by a registry's kind the names of the entries that are used."""
_PRESENT = Closures()
_READ: ContextVar[Closures] = ContextVar("read", default=_PRESENT)


def code_hash(*roots: object, resolved: Mapping[str, Collection[str]] | None = None) -> str:
    """Return the SHA-256 of what functions, classes or modules compute, and all that they use.

    Args:
        roots: functions, classes, modules; of another object its class.
        resolved: by a registry's kind the names of the entries that are used. A registry that is
            not mentioned counts with all its entries.

    Raises:
        LookupError: a root has no source that is followed.

    Example:
        >>> code_hash(code_hash) == code_hash(code_hash)
        True
    """
    return _READ.get().hash(roots, resolved)


def code_hash_anew(*roots: object) -> str:
    """As `code_hash`, of the files outside this package as they are now: a user changes hers."""
    _PRESENT.forget_outside(PACKAGE.name)
    return _PRESENT.hash(roots)


@contextmanager
def reading(closures: Closures) -> Iterator[None]:
    """Let `code_hash` read other sources than this process began with, as long as it lasts."""
    before = _READ.set(closures)
    try:
        yield
    finally:
        _READ.reset(before)


def _asked(roots: Iterable[object], resolved: Mapping[str, Collection[str]] | None) -> Asked:
    entries = sorted((resolved or {}).items())
    return tuple(map(symbol_of, roots)), tuple((kind, tuple(names)) for kind, names in entries)


def symbol_of(what: object) -> Symbol:
    """Return where a function, a class, a module, or an object's class stands."""
    if isinstance(what, Symbol):
        return what
    if isinstance(what, ModuleType):
        return Symbol(what.__name__, WHOLE)
    if not isinstance(what, type) and not inspect.isroutine(what):
        what = type(what)
    what = inspect.unwrap(what) if callable(what) else what
    name = str(getattr(what, "__qualname__", ""))
    return Symbol(str(what.__module__), name.partition(".")[0])


class _Walk:
    """A closure: symbols are numbered as they are met. LookupError for a root without source."""

    def __init__(self, closures: Closures, asked: Asked) -> None:
        self.closures, self.sources = closures, closures.sources
        self._roots, self.resolved = asked[0], dict(asked[1])
        self.numbers: dict[Symbol, int] = {}
        self._waiting: deque[Symbol] = deque()
        self._annotated: deque[Symbol] = deque()
        self._tokens: list[Token] = []
        self._units: dict[Symbol, list[Unit]] = {}
        for root in self._roots:
            whole = root.name == WHOLE and self.sources.module(root.module)
            if not whole and root not in self.sources.resolve(root.module, root.name):
                raise LookupError(f"no source of {root.module}.{root.name} is followed")
            self._number(root)
        while self._waiting or self._annotated:
            # what annotations alone name comes last: a further annotation renumbers nothing else
            if self._waiting:
                self._enter(self._waiting.popleft())
            else:
                self._number(self._annotated.popleft())

    def hash(self) -> str:
        """Hash the normal form of what was met."""
        members = self._members()
        numbers: dict[str, str] = {}
        modules: dict[str, str] = {}
        digest = hashlib.sha256()
        for token in self._tokens:
            if isinstance(token, Symbol):
                text = f"@{self.numbers[token]}"
            elif isinstance(token, ModuleName):
                text = modules.setdefault(token.module, f"#{len(modules)}")
            elif not isinstance(token, Member):
                text = token
            elif token.name in members:
                text = numbers.setdefault(token.name, f"~{len(numbers)}")
            else:
                text = f".{token.name}"
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        return digest.hexdigest()

    def _number(self, symbol: Symbol) -> None:
        if symbol not in self.numbers:
            self.numbers[symbol] = len(self.numbers)
            self._waiting.append(symbol)

    def _enter(self, symbol: Symbol) -> None:
        self._tokens += ["define", symbol]
        module = self.sources.module(symbol.module)
        if module is None:
            return
        if symbol.name == WHOLE:
            # what modules do when they are imported counts where a whole module imports them
            for what in (what for names in module.imported.values() for what in names):
                self._effects_of(self.sources.module(what.module))
            for statement in module.statements:
                self._add(symbol, module, statement)
            return
        named = module.bound.get(symbol.name, [])
        for statement in module.effects if symbol.name == EFFECTS else named:
            self._add(symbol, module, statement)
        kind = self.sources.registry_kind(symbol)
        if kind is not None:
            self._enter_registry(symbol, kind)
        else:
            # what is entered elsewhere in a table or a dispatcher that is no registry
            for place, one in self.sources.registrations(symbol):
                entry = one.entry if isinstance(one.entry, DEFINITIONS) else one.statement
                self._add_entry(symbol, place, entry or one.entry)
        self._effects_of(module)

    def _effects_of(self, module: Module | None) -> None:
        if module and module.effects:
            self._number(Symbol(module.name, EFFECTS))

    def _enter_registry(self, symbol: Symbol, kind: str) -> None:
        found = self.sources.registrations(symbol)
        known = {name for _, one in found for name in one.names or ()}
        wanted = self.resolved.get(kind)
        if wanted is not None:
            # a numbered entry is asked for by one of its names
            forms = {name: re.sub(r"(?<=_)[0-9]+$", "N", name) for name in wanted}
            wanted = tuple(name if name in known else forms[name] for name in wanted)
        is_seen = any(one.names is None for _, one in found) or known.issuperset(wanted or ())
        if wanted is not None and not is_seen:
            wanted = None  # entered in a way that is not seen here: all of it counts
        named = [
            (name, place, one)
            for place, one in found
            for name in one.names or ("",)
            if wanted is None or not name or name in wanted
        ]
        for name, place, one in sorted(named, key=lambda item: item[0]):
            self._tokens += ["entry", repr(name), one.about]
            self._add_entry(symbol, place, one.entry)

    def _add_entry(self, symbol: Symbol, module: Module, entry: ast.stmt | ast.expr) -> None:
        if isinstance(entry, DEFINITIONS):
            target = Symbol(module.name, entry.name)
            self._tokens.append(target)
            self._number(target)
        else:
            self._add(symbol, module, entry)
            self._effects_of(module)

    def _add(self, symbol: Symbol, module: Module, statement: ast.stmt | ast.expr) -> None:
        unit = self.closures.unit(module, statement)
        self._units.setdefault(symbol, []).append(unit)
        for token in unit.tokens:
            if isinstance(token, Symbol):
                self._number(token)
        self._tokens += unit.tokens
        for token in dict.fromkeys(one for one in unit.tokens if isinstance(one, Symbol)):
            places = module.bound.get(token.name, []) if token.module == module.name else []
            if len(places) > 1:
                # what it reads depends on which of them stand before it
                self._tokens.append(str([_place(one) < _place(statement) for one in places]))
        self._annotated.extend(unit.annotated)

    def _members(self) -> set[str]:
        """The methods' names that are numbered: those that nothing outside can know."""
        outside: dict[Symbol, bool] = {}

        def reaches_out(symbol: Symbol) -> bool:
            if symbol not in outside:
                outside[symbol] = False
                units = self._units.get(symbol, [])
                outside[symbol] = symbol in self._roots or any(
                    unit.has_outside_base or any(map(reaches_out, unit.bases)) for unit in units
                )
            return outside[symbol]

        methods, literal = set[str](), set(_KNOWN)
        for symbol, units in self._units.items():
            # this package may read any name of an object that a user's module hands to it
            is_users = symbol.module.partition(".")[0] != PACKAGE.name
            for unit in units:
                methods |= unit.methods
                literal |= unit.literal
                if is_users or reaches_out(symbol):
                    literal |= unit.methods
        return {name for name in methods - literal if not name.startswith("__")}


def _place(node: ast.stmt | ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset
