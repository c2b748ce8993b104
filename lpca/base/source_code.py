"""Source code as it stands, unimported: modules, what their names are bound to, and by what."""

from __future__ import annotations

import ast
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.machinery import PathFinder
from pathlib import Path

OWN = __name__.partition(".")[0]
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Fields of a statement that hold statements."""
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
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


@dataclass(frozen=True)
class Imported:
    """What an import statement binds: a module, or a name in one."""

    module: str
    name: str | None


@dataclass(frozen=True, eq=False)
class Registered:
    """A statement that enters something in a registry, under names where they are literal.

    `about` is what is said of it there, in keywords.
    """

    registry: tuple[str, ...]
    names: tuple[str, ...] | None
    about: str
    entry: ast.stmt | ast.expr


@dataclass(eq=False)
class Module:
    """A module's statements by what they bind; those that only do something are its effects."""

    name: str
    is_package: bool
    tree: ast.Module
    bound: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imported: dict[str, list[Imported]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
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
        return (
            {name: len(places) for name, places in self.bound.items()},
            self.imported,
            self.stars,
            len(self.effects) > 0,
            [(one.registry, one.names) for one in self.registered],
        )

    @cached_property
    def lazy(self) -> dict[str, list[str]]:
        """Modules by name, from a table like `{"run_gate": "lpca.api"}` of a lazy `__getattr__`."""
        if "__getattr__" not in self.bound:
            return {}
        found: dict[str, list[str]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    name, module = text_of(key), text_of(value)
                    if name is not None and module is not None:
                        found.setdefault(name, []).append(module)
        return found

    def absolute(self, node: ast.ImportFrom) -> str:
        """The name of the module that a `from` imports from."""
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        base = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*base, *([node.module] if node.module else [])])

    def imports_of(self, node: ast.stmt) -> Iterator[tuple[str, Imported]]:
        """What an import statement binds, by name; `*` binds nothing here."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                yield bound, Imported(alias.name if alias.asname else bound, None)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name != "*":
                    yield alias.asname or alias.name, Imported(self.absolute(node), alias.name)

    def _enter(self, statement: ast.stmt) -> None:
        if registered := _registered(statement):
            self.registered += registered
            if isinstance(statement, DEFINITIONS):
                self.bound.setdefault(statement.name, []).append(statement)
            return
        for node in _outside_definitions(statement):
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                self.stars.append(self.absolute(node))
            elif isinstance(node, ast.stmt):
                for name, what in self.imports_of(node):
                    self.imported.setdefault(name, []).append(what)
        if isinstance(statement, ast.Import | ast.ImportFrom) or is_text(statement):
            return
        for name in dict.fromkeys(bound_names([statement])):
            self.bound.setdefault(name, []).append(statement)
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement]
        binds = (*DEFINITIONS, ast.AnnAssign, ast.Name, ast.Tuple)
        only_types = isinstance(statement, ast.If) and is_type_checking(statement.test)
        if not only_types and not all(isinstance(target, binds) for target in targets):
            self.effects.append(statement)
            calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
            found = [one for call in calls if (one := registration(call.func))]
            self.registered += [
                Registered(registry, None, about, statement) for registry, _, about in found
            ]


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
        self._registering: dict[str, list[Module]] = {}
        self._registered: dict[str, dict[Symbol, list[tuple[Module, Registered]]]] = {}

    def module(self, name: str) -> Module | None:
        """Return a followed module; None where there is none of that name."""
        if name not in self._modules:
            self._modules[name] = self._read(name)
        return self._modules[name]

    def reread(self, name: str, text: str) -> Sources:
        """Return the same sources with another text of one module."""
        made = Sources({**self.changed, name: text})
        made._modules = {one: held for one, held in self._modules.items() if one != name}
        old, new = self.module(name), made.module(name)
        if old and new and old.interface == new.interface:
            made._resolved = self._resolved
            made._registering = {
                top: [new if one is old else one for one in modules]
                for top, modules in self._registering.items()
            }
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

    def follow(self, what: Imported) -> tuple[Target, ...]:
        """Return what an import binds."""
        if what.name is None:
            return (self.whole(what.module),)
        if self.module(what.module) is None:
            return (Outside(f"{what.module}.{what.name}"),)
        return self.resolve(what.module, what.name)

    def whole(self, module: str) -> Target:
        """Return a module as a value."""
        return Symbol(module, WHOLE) if self.module(module) else Outside(module)

    def registrations(self, registry: Symbol) -> list[tuple[Module, Registered]]:
        """Return what is entered in a registry, in any module beside the one that has it."""
        top = registry.module.partition(".")[0]
        if top not in self._registered:
            if top not in self._registering:
                self._registering[top] = list(self._with_registrations(top))
            found: dict[Symbol, list[tuple[Module, Registered]]] = {}
            self._registered[top] = found
            for module in self._registering[top]:
                for one in module.registered:
                    for target in chain_targets(self, module, one.registry):
                        if isinstance(target, Symbol):
                            found.setdefault(target, []).append((module, one))
        return self._registered[top].get(registry, [])

    def _with_registrations(self, top: str) -> Iterator[Module]:
        for name, path in _files_of(top):
            text = self.changed.get(name) or _text(path)
            if ".register" in text and (module := self.module(name)):
                yield module

    def _resolve(self, module: str, name: str) -> Iterator[Target]:
        found = self.module(module)
        if found is None:
            return
        if name in found.bound:
            yield Symbol(module, name)
        for what in found.imported.get(name, ()):
            yield from self.follow(what)
        if name in found.bound or name in found.imported:
            return
        for star in found.stars:
            targets = self.resolve(star, name)
            yield from targets
            if targets:
                return
        if found.is_package and self.module(f"{module}.{name}"):
            yield Symbol(f"{module}.{name}", WHOLE)
        for lazy in found.lazy.get(name, ()):
            yield Symbol(module, "__getattr__")
            yield from self.follow(Imported(lazy, name))

    def _read(self, name: str) -> Module | None:
        place = _place(name)
        if name in self.changed:
            return Module(name, bool(place and place[1]), ast.parse(self.changed[name]))
        return Module(name, place[1], ast.parse(_text(place[0]))) if place else None


def chain_targets(sources: Sources, module: Module, chain: Sequence[str]) -> tuple[Target, ...]:
    """Return what a dotted name in a module refers to, as far as modules lead."""
    targets = sources.resolve(module.name, chain[0])
    for name in chain[1:]:
        if len(targets) != 1 or not isinstance(targets[0], Symbol) or targets[0].name != WHOLE:
            break
        targets = sources.resolve(targets[0].module, name)
    return targets


def bound_names(body: Sequence[ast.AST]) -> Iterator[str]:
    """Names that statements bind in the scope they stand in; not by import, which is followed."""
    for root in body:
        for node in _outside_definitions(root):
            if isinstance(node, DEFINITIONS):
                yield node.name
            elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                yield node.id
            elif isinstance(node, ast.MatchAs | ast.MatchStar | ast.ExceptHandler) and node.name:
                yield node.name
            elif isinstance(node, ast.MatchMapping) and node.rest:
                yield node.rest


def is_text(statement: ast.stmt) -> bool:
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


def _outside_definitions(root: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a statement in its own scope, in their order; of comprehensions `:=` alone."""
    yield root
    parts: list[ast.AST] = list(ast.iter_child_nodes(root))
    if isinstance(root, DEFINITIONS):
        parts = [*root.decorator_list, *getattr(getattr(root, "args", None), "defaults", ())]
    elif isinstance(root, ast.Lambda):
        parts = [*root.args.defaults]
    elif isinstance(root, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        inner = [node for node in ast.walk(root) if isinstance(node, ast.NamedExpr)]
        parts = [node.target for node in inner]
    for part in parts:
        yield from _outside_definitions(part)


def _registered(statement: ast.stmt) -> list[Registered]:
    if isinstance(statement, DEFINITIONS):
        return [
            Registered(*found, statement)
            for decorator in statement.decorator_list
            if (found := registration(decorator))
        ]
    call = statement.value if isinstance(statement, ast.Expr) else None
    if isinstance(call, ast.Call) and len(call.args) == 1 and (found := registration(call.func)):
        return [Registered(*found, call.args[0])]
    return []


def statements_of(body: Iterable[ast.AST]) -> Iterator[ast.stmt]:
    """Statements of a scope at any depth, without those of scopes inside."""
    for node in body:
        if isinstance(node, ast.stmt):
            yield node
        if not isinstance(node, DEFINITIONS):
            for part in BLOCKS:
                inner = getattr(node, part, None)
                if isinstance(inner, list):
                    yield from statements_of(inner)


def leads_on(target: Target) -> bool:
    """Whether attributes of it are names of a module, or of what lies outside."""
    return isinstance(target, Outside) or target.name == WHOLE


def registration(node: ast.expr) -> tuple[tuple[str, ...], tuple[str, ...] | None, str] | None:
    """Return registry, literal names and keywords of `registry.register("name", key=value)`.

    None for another call.
    """
    call = node if isinstance(node, ast.Call) else None
    chain = dotted(call.func if call else node)
    if len(chain) < 2 or chain[-1] != "register":
        return None
    names = [text_of(argument) for argument in call.args] if call else [None]
    literal = tuple(name for name in names if name is not None)
    about = ", ".join(map(ast.unparse, call.keywords)) if call else ""
    return chain[:-1], literal if names and len(literal) == len(names) else None, about


def _place(name: str) -> tuple[Path, bool] | None:
    """A followed module's file, and whether it is a package."""
    top, *inner = name.split(".")
    if not name or (top in sys.stdlib_module_names and top != OWN):
        return None
    spec = PathFinder.find_spec(top)
    if spec is None and top == "__main__":
        file = getattr(sys.modules[top], "__file__", None)
        return (Path(file), False) if file and Path(file).is_file() else None
    try:
        spec = spec or importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    full = top
    for part in inner:
        if spec is None or spec.submodule_search_locations is None:
            return None
        full = f"{full}.{part}"
        spec = PathFinder.find_spec(full, list(spec.submodule_search_locations))
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin)
    standard = Path(sysconfig.get_path("stdlib"))
    if top != OWN and (set(_INSTALLED) & set(path.parts) or standard in path.parents):
        return None
    return path, spec.submodule_search_locations is not None


def _files_of(top: str) -> list[tuple[str, Path]]:
    place = _place(top)
    if place is None:
        return []
    path, is_package = place
    if not is_package:
        return [(top, path)]
    found = []
    for file in sorted(path.parent.rglob("*.py")):
        parts = file.relative_to(path.parent.parent).with_suffix("").parts
        found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), file))
    return found


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
