"""The normal form of one statement: what it computes, without what nothing depends on."""

from __future__ import annotations

import ast
import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from lpca.base.source_code import (
    FUNCTIONS,
    WHOLE,
    Imported,
    Module,
    Outside,
    Sources,
    Symbol,
    Target,
    bound_names,
    dotted,
    is_text,
    is_type_checking,
    leads_on,
    registration,
    statements_of,
    text_of,
)

_SKIPPED = frozenset({"ctx", "kind", "type_comment", "type_params"})
_IMPORTERS = ("importlib.import_module", "__import__")


@dataclass(frozen=True)
class ModuleName:
    """The name of a followed module in a string; what the module holds counts where it is used."""

    module: str


@dataclass(frozen=True)
class Member:
    """A method's name, where it is defined or used."""

    name: str


Token = str | Symbol | Member | ModuleName


@dataclass(eq=False)
class Unit:
    """A statement's normal form, and what only its annotations name."""

    tokens: list[Token] = field(default_factory=list)
    annotated: list[Symbol] = field(default_factory=list)
    literal: set[str] = field(default_factory=set)
    """Names that may not be numbered anywhere."""
    methods: set[str] = field(default_factory=set)
    bases: list[Symbol] = field(default_factory=list)
    has_outside_base: bool = False


@dataclass(eq=False)
class _Scope:
    """Where names are looked up: a function's own, or a class's body."""

    is_class: bool
    bound: frozenset[str]
    imported: Mapping[str, list[Imported]]
    globals: frozenset[str]
    number: int
    places: dict[str, int] = field(default_factory=dict)


class Writer:
    """Writes a statement's normal form."""

    def __init__(self, sources: Sources, module: Module) -> None:
        self.sources, self.module = sources, module
        self.unit = Unit()
        self._scopes: list[_Scope] = []
        self._count = 0

    def written(self, statement: ast.AST) -> Unit:
        """Return the normal form."""
        self._write(statement)
        return self.unit

    # -- tokens

    def _say(self, *tokens: Token) -> None:
        self.unit.tokens += tokens

    def _refer(self, targets: Iterable[Target]) -> None:
        for target in targets:
            if isinstance(target, Symbol):
                self._say(target)
            else:
                self._say("outside", target.dotted)
                self.unit.literal.update(target.dotted.split("."))

    def _write(self, value: object) -> None:
        if isinstance(value, list):
            self._say("[")
            for one in value:
                self._write(one)
            self._say("]")
        elif isinstance(value, ast.AST):
            own = getattr(self, f"_write_{type(value).__name__}", None)
            if own is not None:
                own(value)
            else:
                self._write_plain(value)
        else:
            self._say(repr(value))

    def _write_plain(self, node: ast.AST, without: Collection[str] = ()) -> None:
        self._say(type(node).__name__)
        for name, value in ast.iter_fields(node):
            # the fields of a node differ between versions of Python, those that are empty
            if name in _SKIPPED or name in without or value is None or value == []:
                continue
            self._say(name)
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                self._write_body(value)
            else:
                self._write(value)
        self._say("end")

    def _write_body(self, body: Sequence[ast.stmt]) -> None:
        self._say("[")
        for statement in body:
            if not is_text(statement):
                self._write(statement)
        self._say("]")

    # -- statements

    def _write_Import(self, node: ast.Import) -> None:  # noqa: N802
        pass

    _write_ImportFrom = _write_Global = _write_Nonlocal = _write_Import  # noqa: N815

    def _write_If(self, node: ast.If) -> None:  # noqa: N802
        if is_type_checking(node.test):
            self._write_body(node.orelse)
        else:
            self._write_plain(node)

    def _write_AnnAssign(self, node: ast.AnnAssign) -> None:  # noqa: N802
        if self._scopes and self._scopes[-1].is_class:
            # a field: what reads fields may read their types
            self._say("field")
            self._write(node.target)
            self._write(_parsed(node.annotation))
            if node.value is not None:
                self._write(node.value)
            self._say("end")
            return
        self._annotation(node.annotation)
        if node.value is not None:
            self._say("Assign", "targets", "[")
            self._write(node.target)
            self._say("]", "value")
            self._write(node.value)
            self._say("end")

    def _write_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:  # noqa: N802
        self._say(type(node).__name__)
        self._decorators(node.decorator_list)
        self._bind(node.name)
        if self._scopes and self._scopes[-1].is_class:
            self.unit.methods.add(node.name)
        if node.returns is not None:
            self._annotation(node.returns)
        self._function(node.args, node.body)

    _write_AsyncFunctionDef = _write_FunctionDef  # noqa: N815

    def _write_Lambda(self, node: ast.Lambda) -> None:  # noqa: N802
        self._say("Lambda")
        self._function(node.args, [node.body])

    def _write_ClassDef(self, node: ast.ClassDef) -> None:  # noqa: N802
        self._say("ClassDef")
        self._decorators(node.decorator_list)
        self._bind(node.name)
        for base in node.bases:
            self._base(base)
        self._write(node.bases)
        self._write(node.keywords)
        if self._scopes:
            self.unit.has_outside_base = True  # a class of a class: kept as it is
        self._enter(node.body, is_class=True)
        methods = {one.name for one in node.body if isinstance(one, FUNCTIONS)}
        self.unit.literal |= self._scopes[-1].bound - methods
        self._write_body(node.body)
        self._scopes.pop()
        self._say("end")

    def _write_ExceptHandler(self, node: ast.ExceptHandler) -> None:  # noqa: N802
        self._named(node, "name")

    def _write_MatchAs(self, node: ast.MatchAs) -> None:  # noqa: N802
        self._named(node, "name")

    _write_MatchStar = _write_MatchAs  # noqa: N815

    def _write_MatchMapping(self, node: ast.MatchMapping) -> None:  # noqa: N802
        self._named(node, "rest")

    def _write_MatchClass(self, node: ast.MatchClass) -> None:  # noqa: N802
        self.unit.literal.update(node.kwd_attrs)
        self._write_plain(node)

    # -- expressions

    def _write_Constant(self, node: ast.Constant) -> None:  # noqa: N802
        if isinstance(node.value, str):
            if node.value.isidentifier():
                self.unit.literal.add(node.value)
            if "." in node.value and self.sources.module(node.value):
                self._say(ModuleName(node.value))
                return
        self._say(type(node.value).__name__, repr(node.value))

    def _write_Name(self, node: ast.Name) -> None:  # noqa: N802
        self._bind(node.id)
        scope = self._scopes[-1] if self._scopes else None
        if scope and scope.is_class and node.id in scope.bound and isinstance(node.ctx, ast.Load):
            # `step: Step = step`: read before the body binds it, it is the name outside
            self._scopes.pop()
            self._refer(self._lookup(node.id) or ())
            self._scopes.append(scope)

    def _write_Attribute(self, node: ast.Attribute) -> None:  # noqa: N802
        chain = dotted(node)
        targets = self._lookup(chain[0]) if chain else None
        if targets and len(targets) == 1 and leads_on(targets[0]):
            target, rest = targets[0], list(chain[1:])
            while rest and leads_on(target):
                if isinstance(target, Outside):
                    target, rest = Outside(".".join([target.dotted, *rest])), []
                    break
                found = self.sources.resolve(target.module, rest[0])
                if len(found) != 1:
                    break
                target, rest = found[0], rest[1:]
            self._refer([target])
            for name in rest:
                self._say("Attribute", Member(name))
            return
        self._say("Attribute")
        self._write(node.value)
        self._say(Member(node.attr))
        if not isinstance(node.ctx, ast.Load):
            self.unit.literal.add(node.attr)

    def _write_Call(self, node: ast.Call) -> None:  # noqa: N802
        chain = dotted(node.func)
        targets = self._lookup(chain[0]) if chain else None
        outside = targets[0] if targets and isinstance(targets[0], Outside) else None
        name = ".".join([outside.dotted, *chain[1:]]) if outside else ".".join(chain)
        if name == "typing.cast" and node.args:
            self._annotation(node.args[0])
            self._say("cast")
            self._write(node.args[1:])
            return
        if name in _IMPORTERS and node.args and (module := text_of(node.args[0])):
            self._refer([self.sources.whole(module)])
        self._write_plain(node)

    def _write_ListComp(self, node: ast.ListComp) -> None:  # noqa: N802
        self._say(type(node).__name__)
        # the first sequence is looked up outside
        self._write(node.generators[0].iter)
        targets = [generator.target for generator in node.generators]
        self._open(False, frozenset(bound_names(targets)), {}, frozenset())
        for index, one in enumerate(node.generators):
            self._write_plain(one, ("iter",) if index == 0 else ())
        self._write_plain(node, ("generators",))
        self._scopes.pop()

    _write_SetComp = _write_DictComp = _write_GeneratorExp = _write_ListComp  # noqa: N815

    # -- scopes

    def _function(self, arguments: ast.arguments, body: Sequence[ast.AST]) -> None:
        self._write(
            [
                *arguments.defaults,
                *[kw_default for kw_default in arguments.kw_defaults if kw_default],
            ]
        )
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        rest = [one for one in (arguments.vararg, arguments.kwarg) if one]
        for argument in (*every, *rest):
            if argument.annotation is not None:
                self._annotation(argument.annotation)
        self._enter(body, False, [argument.arg for argument in (*every, *rest)])
        kinds = ("posonlyargs", "args", "kwonlyargs")
        for kind in kinds:
            self._say(kind, "[")
            for argument in getattr(arguments, kind):
                self._say(argument.arg)
                self._bind(argument.arg)
            self._say("]")
        self._say("".join("d" if kw_default else "-" for kw_default in arguments.kw_defaults))
        for other in (arguments.vararg, arguments.kwarg):
            self._say("rest")
            if other is not None:
                self._bind(other.arg)
        if body and isinstance(body[0], ast.stmt):
            self._write_body([one for one in body if isinstance(one, ast.stmt)])
        else:
            self._write(list(body))
        self._scopes.pop()
        self._say("end")

    def _enter(
        self, body: Sequence[ast.AST], is_class: bool, arguments: Sequence[str] = ()
    ) -> None:
        imported: dict[str, list[Imported]] = {}
        shared = set[str]()
        for node in statements_of(body):
            if isinstance(node, ast.Global | ast.Nonlocal):
                shared.update(node.names)
            else:
                for name, what in self.module.imports_of(node):
                    imported.setdefault(name, []).append(what)
        names = frozenset([*arguments, *bound_names(body)]) - shared
        has_global = [n for n in statements_of(body) if isinstance(n, ast.Global)]
        self._open(is_class, names, imported, frozenset(x for n in has_global for x in n.names))

    def _open(
        self,
        is_class: bool,
        bound: frozenset[str],
        imported: Mapping[str, list[Imported]],
        globals_: frozenset[str],
    ) -> None:
        self._count += 1
        self._scopes.append(_Scope(is_class, bound, imported, globals_, self._count))

    def _bind(self, name: str) -> None:
        """Write a name, wherever it is bound."""
        scope = self._scope_of(name)
        if scope is None:
            self._refer(self._lookup(name) or ())
            if not self._lookup(name):
                self._say("name", name)
        elif scope.is_class:
            self._say("own", Member(name))
        else:
            place = scope.places.setdefault(name, len(scope.places))
            self._say(f"v{scope.number}.{place}")
            if name in scope.imported:
                self._refer(self._imported(scope, name))

    def _scope_of(self, name: str) -> _Scope | None:
        """The scope in which a name is a variable; None where it is the module's, or imported."""
        for depth, scope in enumerate(reversed(self._scopes)):
            if scope.is_class and depth:
                continue
            if name in scope.globals:
                return None
            if name in scope.bound:
                return scope
            if name in scope.imported:
                return None
        return None

    def _lookup(self, name: str) -> tuple[Target, ...] | None:
        """What a name refers to beyond variables; None for a variable."""
        for depth, scope in enumerate(reversed(self._scopes)):
            if scope.is_class and depth:
                continue
            if name in scope.globals:
                break
            if name in scope.bound:
                return None
            if name in scope.imported:
                return self._imported(scope, name)
        return self.sources.resolve(self.module.name, name)

    def _imported(self, scope: _Scope, name: str) -> tuple[Target, ...]:
        return tuple(one for what in scope.imported[name] for one in self.sources.follow(what))

    # -- parts

    def _named(self, node: ast.AST, attribute: str) -> None:
        self._write_plain(node, (attribute,))
        if name := getattr(node, attribute):
            self._bind(name)

    def _decorators(self, decorators: Sequence[ast.expr]) -> None:
        """A registration is left out: which names it has is the registry's affair."""
        at_top = not self._scopes
        self._write(
            [decorator for decorator in decorators if not (at_top and registration(decorator))]
        )

    def _base(self, base: ast.expr) -> None:
        chain = dotted(base.value if isinstance(base, ast.Subscript) else base)
        targets = self._lookup(chain[0]) if chain else None
        found = [one for one in targets or () if isinstance(one, Symbol) and one.name != WHOLE]
        self.unit.bases += found
        if len(chain) != 1 or not found:
            self.unit.has_outside_base = True

    def _annotation(self, annotation: ast.expr) -> None:
        """Follow what an annotation names, without writing it."""
        self._follow(_parsed(annotation))

    def _follow(self, node: ast.AST) -> None:
        chain = dotted(node)
        if not chain:
            for part in ast.iter_child_nodes(node):
                self._follow(part)
            return
        targets = self._lookup(chain[0]) or ()
        for name in chain[1:]:
            if len(targets) == 1 and isinstance(targets[0], Symbol) and leads_on(targets[0]):
                targets = self.sources.resolve(targets[0].module, name)
        self.unit.annotated += [target for target in targets if isinstance(target, Symbol)]


class _Unquoted(ast.NodeTransformer):
    """Annotations written as strings, as what they say."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        text = text_of(node)
        if text is None:
            return node
        try:
            quoted: ast.AST = self.visit(ast.parse(text.strip(), mode="eval").body)
        except (SyntaxError, RecursionError):
            return node
        return quoted

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        # the strings of a Literal are values
        return node if dotted(node.value)[-1:] == ("Literal",) else self.generic_visit(node)


@cache
def _parsed(annotation: ast.expr) -> ast.expr:
    if not any(isinstance(node, ast.Constant) for node in ast.walk(annotation)):
        return annotation
    parsed: ast.expr = _Unquoted().visit(copy.deepcopy(annotation))
    return parsed
