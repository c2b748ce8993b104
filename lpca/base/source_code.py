"""Source code as it stands, unimported: modules, what their names are bound to, and by what."""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, resolve_name
from pathlib import Path

OWN = __name__.partition(".")[0]
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
BINDING: Mapping[type[ast.AST], str] = {
    **dict.fromkeys((*DEFINITIONS, ast.MatchAs, ast.MatchStar, ast.ExceptHandler), "name"),
    ast.MatchMapping: "rest",
}
"""Nodes that bind a name, and the field that holds it, beside names that are stored or deleted."""
_INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True, order=True)
class Symbol:
    """A name at the top of a followed module; EFFECTS and WHOLE stand for no single name."""

    module: str
    name: str


EFFECTS, WHOLE = "", "*"
"""What a module does when it is imported, and everything in it."""


@dataclass(frozen=True)
class Outside:
    """A dotted name whose source is not followed: a library's."""

    dotted: str


Target = Symbol | Outside
"""What a name refers to; a followed module itself is the Symbol of all of it."""
Imports = dict[str, list[Symbol]]
"""By the name that is bound what an import says: all of a module, or a name in one."""


@dataclass(frozen=True, eq=False)
class Registered:
    """A statement that enters something in a registry, under names where they are literal.

    `about` is what is said of it there, in keywords; `statement` is all of it.
    """

    registry: tuple[str, ...]
    names: tuple[str, ...] | None
    about: str
    entry: ast.stmt | ast.expr
    statement: ast.stmt | None = None


@dataclass(eq=False)
class Module:
    """A module's statements by what they bind; those that only do something are its effects."""

    name: str
    is_package: bool
    tree: ast.Module
    bound: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imported: Imports = field(default_factory=dict)
    """What `*` imports stands under `*`."""
    bindings: list[tuple[str, Symbol]] = field(default_factory=list)
    """What is bound, by import or otherwise, in the order of the statements."""
    effects: list[ast.stmt] = field(default_factory=list)
    registered: list[Registered] = field(default_factory=list)

    def __post_init__(self) -> None:
        for statement in self.tree.body:
            self._enter(statement)

    @property
    def statements(self) -> list[ast.stmt]:
        """Every statement that is code: no import, no text."""
        imports = (ast.Import, ast.ImportFrom)
        return [one for one in self.tree.body if not isinstance(one, imports) and not is_text(one)]

    @cached_property
    def interface(self) -> object:
        """What other modules can see of its names, without what they are."""
        entered = [(one.registry, one.names) for one in self.registered]
        sizes = {name: len(places) for name, places in self.bound.items()}
        registries = [(name, self.maker(name)) for name in self.bound]
        kinds = [(name, kind) for name, (chain, kind) in registries if chain[-1:] == ("Registry",)]
        return sizes, kinds, self.bindings, len(self.effects) > 0, entered

    def maker(self, name: str) -> tuple[tuple[str, ...], str | None]:
        """What is called to make a name's only value, in dotted names, and the text it is given."""
        statements = self.bound.get(name, [])
        value = getattr(statements[0], "value", None) if len(statements) == 1 else None
        if not isinstance(value, ast.Call) or not value.args:
            return (), None
        return dotted(value.func), text_of(value.args[0])

    @cached_property
    def lazy(self) -> list[tuple[str | None, str | None]]:
        """Names and modules of tables like `{"run_gate": "lpca.api"}` of a lazy `__getattr__`."""
        if "__getattr__" not in self.bound:
            return []
        tables = [node for node in ast.walk(self.tree) if isinstance(node, ast.Dict)]
        items = [item for one in tables for item in zip(one.keys, one.values, strict=True)]
        return [(text_of(key), text_of(value)) for key, value in items]

    def imports_of(self, nodes: Iterable[ast.AST]) -> Imports:
        """What import statements among the nodes bind."""
        found: Imports = {}
        package = self.name if self.is_package else self.name.rpartition(".")[0]
        for node in nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    bound = alias.asname or alias.name.partition(".")[0]
                    what = Symbol(alias.name if alias.asname else bound, WHOLE)
                    found.setdefault(bound, []).append(what)
            elif isinstance(node, ast.ImportFrom):
                module = ""
                with suppress(ImportError):  # beyond its package it leads nowhere when it runs, too
                    module = resolve_name("." * node.level + (node.module or ""), package)
                for alias in node.names:
                    what = Symbol(module, alias.name)
                    found.setdefault(alias.asname or alias.name, []).append(what)
        return found

    def _enter(self, statement: ast.stmt) -> None:
        entered = _entered(statement)
        self.registered += entered
        if entered and not isinstance(statement, DEFINITIONS):
            return
        nodes = list(own_nodes([statement]))
        for name, what in self.imports_of(nodes).items():
            self.imported.setdefault(name, []).extend(what)
            self.bindings += [(name, one) for one in what]
        if isinstance(statement, ast.Import | ast.ImportFrom) or is_text(statement):
            return
        for name in dict.fromkeys(bound_names(nodes)):
            self.bound.setdefault(name, []).append(statement)
            self.bindings.append((name, Symbol(self.name, name)))
        only_types = isinstance(statement, ast.If) and is_type_checking(statement.test)
        if not only_types and not _only_binds(statement):
            self.effects.append(statement)
            # registered in a loop: under names that are computed
            calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
            found = [one for call in calls if (one := registration(call.func, statement))]
            self.registered += [replace(one, names=None) for one in found]


@lru_cache(maxsize=512)
def _parsed(name: str, is_package: bool, text: str) -> Module:
    """A module of that text: other sources read most modules as these do."""
    return Module(name, is_package, ast.parse(text))


class Sources:
    """Followed modules by name, each read and parsed once.

    Followed are this package, and modules whose source belongs neither to Python nor to what is
    installed beside it.

    Args:
        changed: texts by module, read instead of the files'.
    """

    def __init__(self, changed: Mapping[str, str] | None = None) -> None:
        self.changed = dict(changed or {})
        self._modules: dict[str, Module | None] = {}
        self._resolved: dict[tuple[str, str], tuple[Target, ...]] = {}
        self._registering: dict[str, list[str]] = {}
        self._registered: dict[str, dict[Target, list[tuple[Module, Registered]]]] = {}

    def module(self, name: str) -> Module | None:
        """Return a followed module; None where there is none of that name."""
        if name not in self._modules:
            place = _place(name)
            text = self.changed.get(name) or (place and _text(place[0]))
            is_package = bool(place and place[1])
            self._modules[name] = None if text is None else _parsed(name, is_package, text)
        return self._modules[name]

    def reread(self, name: str, text: str) -> Sources:
        """Return the same sources with another text of one module."""
        made = Sources({**self.changed, name: text})
        made._modules = {one: held for one, held in self._modules.items() if one != name}
        old, new = self.module(name), made.module(name)
        if old and new and old.interface == new.interface:
            made._resolved, made._registering = self._resolved, self._registering
        return made

    def forget_outside(self, package: str) -> None:
        """Read what stands outside a package again when it is next asked for."""

        def is_inside(module: str) -> bool:
            return module.partition(".")[0] == package

        self._modules = {one: held for one, held in self._modules.items() if is_inside(one)}
        self._resolved = {one: held for one, held in self._resolved.items() if is_inside(one[0])}
        self._registering = {one: own for one, own in self._registering.items() if is_inside(one)}
        self._registered = {one: own for one, own in self._registered.items() if is_inside(one)}

    def resolve(self, module: str, name: str) -> tuple[Target, ...]:
        """Return what a name at the top of a module refers to; nothing where it is not bound."""
        key = (module, name)
        if key not in self._resolved:
            self._resolved[key] = ()  # what is imported in a circle leads nowhere
            self._resolved[key] = tuple(dict.fromkeys(self._resolve(module, name)))
        return self._resolved[key]

    def follow(self, what: Symbol) -> tuple[Target, ...]:
        """Return what an import binds."""
        if self.module(what.module) is None:
            return (Outside(what.module if what.name == WHOLE else f"{what.module}.{what.name}"),)
        return (what,) if what.name == WHOLE else self.resolve(what.module, what.name)

    def along(
        self, targets: Sequence[Target], names: Sequence[str]
    ) -> tuple[Sequence[Target], Sequence[str]]:
        """Follow attributes as far as modules lead; return what is reached, and the names left."""
        for index, name in enumerate(names):
            target = targets[0] if len(targets) == 1 else None
            if isinstance(target, Outside):
                return [Outside(".".join([target.dotted, *names[index:]]))], ()
            if target is None or target.name != WHOLE:
                return targets, names[index:]
            found = self.resolve(target.module, name)
            if not found:
                return targets, names[index:]
            targets = found
        return targets, ()

    def registrations(self, registry: Symbol) -> list[tuple[Module, Registered]]:
        """Return what is entered in a registry, in any module beside the one that has it."""
        top = registry.module.partition(".")[0]
        if top not in self._registering:
            texts = ((name, self.changed.get(name) or _text(path)) for name, path in _files_of(top))
            self._registering[top] = [name for name, text in texts if ".register" in text]
        if top not in self._registered:
            found = self._registered[top] = {}
            for module in filter(None, map(self.module, self._registering[top])):
                for one in module.registered:
                    chain = self.resolve(module.name, one.registry[0])
                    for target in self.along(chain, one.registry[1:])[0]:
                        found.setdefault(target, []).append((module, one))
        return self._registered[top].get(registry, [])

    def registry_kind(self, what: Target) -> str | None:
        """Return the kind of the registry that a name is; None where it is none."""
        module = self.module(what.module) if isinstance(what, Symbol) else None
        if module is None or not isinstance(what, Symbol):
            return None
        chain, kind = module.maker(what.name)
        targets = self.along(self.resolve(module.name, chain[0]), chain[1:])[0] if chain else ()
        is_registry = [
            isinstance(one, Symbol)
            and (one.module.partition(".")[0], one.name) == (OWN, "Registry")
            for one in targets
        ]
        return kind if is_registry and all(is_registry) else None

    def _resolve(self, module: str, name: str) -> Iterator[Target]:
        found = self.module(module)
        if found is None:
            return
        own = Symbol(module, name)
        # which of several holds may depend on what is seen only when it runs: all count, in order
        for bound, what in found.bindings:
            if bound == name:
                yield from (own,) if what == own else self.follow(what)
            elif bound == "*":
                yield from self.resolve(what.module, name)
        if name in found.bound or name in found.imported:
            return
        if found.is_package and self.module(f"{module}.{name}"):
            yield Symbol(f"{module}.{name}", WHOLE)
        for key, lazy in found.lazy:
            if key == name and lazy:
                yield Symbol(module, "__getattr__")
                yield from self.follow(Symbol(lazy, name))


def own_nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Nodes of a scope in their order, without those of scopes inside; of these `:=` alone."""
    for root in body:
        yield root
        parts: Iterable[ast.AST] = ast.iter_child_nodes(root)
        if isinstance(root, DEFINITIONS):
            parts = [*root.decorator_list, *getattr(getattr(root, "args", None), "defaults", ())]
        elif isinstance(root, ast.Lambda):
            parts = root.args.defaults
        elif isinstance(root, COMPREHENSIONS):
            parts = [node.target for node in ast.walk(root) if isinstance(node, ast.NamedExpr)]
        yield from own_nodes(parts)


def bound_names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names that nodes of a scope bind; not by import, which is followed."""
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif type(node) in BINDING and (name := getattr(node, BINDING[type(node)])):
            yield name


def _only_binds(node: ast.AST) -> bool:
    """Whether a statement, or what it assigns to, binds names and does nothing else."""
    if isinstance(node, ast.Assign):
        return all(map(_only_binds, node.targets))
    if isinstance(node, ast.AnnAssign | ast.Starred):
        return _only_binds(node.target if isinstance(node, ast.AnnAssign) else node.value)
    if isinstance(node, ast.Tuple | ast.List):
        return all(map(_only_binds, node.elts))
    return isinstance(node, (*DEFINITIONS, ast.Name))


def is_text(statement: object) -> bool:
    """Whether a statement does nothing: a docstring, or `...`."""
    constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return constant or isinstance(statement, ast.Pass)


def is_type_checking(test: ast.expr) -> bool:
    """Whether a condition holds for type checkers alone."""
    return (getattr(test, "id", None) or getattr(test, "attr", None)) == "TYPE_CHECKING"


def dotted(node: ast.AST) -> tuple[str, ...]:
    """Return the names of `a.b.c`; nothing where it is no such chain."""
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return (*base, node.attr)
    return ()


def text_of(node: ast.AST | None) -> str | None:
    """Return a literal text; None where it is none."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def registration(node: ast.expr, entry: ast.stmt | ast.expr) -> Registered | None:
    """Return what `registry.register("name", key=value)` says of an entry; None for another."""
    call = node if isinstance(node, ast.Call) else None
    chain = dotted(call.func if call else node)
    if len(chain) < 2 or chain[-1] != "register":
        return None
    names = [text_of(argument) for argument in call.args] if call else [None]
    literal = tuple(name for name in names if name is not None)
    about = ", ".join(map(ast.unparse, call.keywords)) if call else ""
    is_literal = names and len(literal) == len(names)
    return Registered(chain[:-1], literal if is_literal else None, about, entry)


def _entered(statement: ast.stmt) -> list[Registered]:
    """What a decorated definition, or `registry.register("name")(entry)`, enters."""
    if isinstance(statement, DEFINITIONS):
        found = [registration(decorator, statement) for decorator in statement.decorator_list]
        return [one for one in found if one]
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or len(call.args) != 1:
        return []
    entered = registration(call.func, call.args[0])
    return [replace(entered, statement=statement)] if entered else []


def _place(name: str) -> tuple[Path, bool] | None:
    """A followed module's file, and whether it is a package."""
    top, *inner = name.split(".")
    if not name or top in sys.stdlib_module_names:
        return None
    spec = PathFinder.find_spec(top)
    if spec is None and top == "__main__":
        file = getattr(sys.modules[top], "__file__", None)
        return (Path(file), False) if file and Path(file).is_file() else None
    with suppress(ImportError, ValueError):
        spec = spec or find_spec(top)
    for part in inner:
        if spec is None or spec.submodule_search_locations is None:
            return None
        inside = list(spec.submodule_search_locations)
        spec = PathFinder.find_spec(f"{spec.name}.{part}", inside)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin)
    standard = Path(sysconfig.get_path("stdlib"))
    if top != OWN and (set(_INSTALLED) & set(path.parts) or standard in path.parents):
        return None
    return path, spec.submodule_search_locations is not None


def _files_of(top: str) -> list[tuple[str, Path]]:
    place = _place(top)
    if place is None or not place[1]:
        return [(top, place[0])] if place else []
    folder = place[0].parent
    found = []
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder.parent).with_suffix("").parts
        found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), file))
    return found


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
