"""The normal form of one statement: what it computes, without what nothing depends on."""

from __future__ import annotations

import ast
import copy
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from lpca.base.source_code import (
    BINDING,
    FUNCTIONS,
    WHOLE,
    Imports,
    Module,
    Outside,
    Sources,
    Symbol,
    Target,
    bound_names,
    dotted,
    is_text,
    is_type_checking,
    own_nodes,
    registration,
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

    number: int
    is_class: bool
    bound: frozenset[str]
    imported: Imports = field(default_factory=dict)
    globals: frozenset[str] = frozenset()
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
                if not is_text(one):
                    self._write(one)
            self._say("]")
        elif isinstance(value, ast.AST):
            getattr(self, f"_write_{type(value).__name__}", self._write_plain)(value)
        else:
            self._say(repr(value))

    def _write_plain(self, node: ast.AST, without: Collection[str] = ()) -> None:
        self._say(type(node).__name__)
        bound = BINDING.get(type(node))
        for name, value in ast.iter_fields(node):
            # the fields of a node differ between versions of Python, those that are empty
            if name not in _SKIPPED and name not in without and value not in (None, []):
                self._say(name)
                if name == bound:
                    self._bind(value)
                else:
                    self._write(value)
        self._say("end")

    # -- statements

    def _write_Import(self, node: ast.Import) -> None:  # noqa: N802
        pass

    _write_ImportFrom = _write_Global = _write_Nonlocal = _write_Import  # noqa: N815

    def _write_If(self, node: ast.If) -> None:  # noqa: N802
        if is_type_checking(node.test):
            self._write(node.orelse)
        else:
            self._write_plain(node)

    def _write_AnnAssign(self, node: ast.AnnAssign) -> None:  # noqa: N802
        self._annotation(node.annotation)
        if self._scopes and self._scopes[-1].is_class:
            # a field: what reads fields may read their types, which are the same in quotes
            self._write_plain(node, ("annotation",))
            self._write(_unquoted(node.annotation))
        elif node.value is not None:
            self._write_plain(ast.Assign([node.target], node.value))

    def _write_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:  # noqa: N802
        self._say(type(node).__name__)
        self._decorators(node.decorator_list)
        if any(registration(one, one) and not self._is_entry(one) for one in node.decorator_list):
            # a dispatcher may read for which types it is
            self._write(
                [
                    _unquoted(one.annotation)
                    for one in [*node.args.posonlyargs, *node.args.args]
                    if one.annotation
                ]
            )
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

    def _write_arg(self, node: ast.arg) -> None:
        # literal too: a mapping may be unpacked into them
        self._say(node.arg)
        self._bind(node.arg)

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
        self._write(node.body)
        self._scopes.pop()

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
        found, rest = self._chain(node)
        if found:
            for _ in rest:
                self._say("Attribute")
            self._refer(found)
            for name in rest:
                self._say(Member(name))
        else:
            self._say("Attribute")
            self._write(node.value)
            self._say(Member(node.attr))
        if not isinstance(node.ctx, ast.Load):
            self.unit.literal.add(node.attr)

    def _write_Call(self, node: ast.Call) -> None:  # noqa: N802
        found, rest = self._chain(node.func)
        first = found[0].dotted if found and isinstance(found[0], Outside) else None
        name = first if first and not rest else ".".join(dotted(node.func))
        types = node.args[:1] if first == "typing.cast" and len(found) == 1 else []
        if types and not isinstance(types[0], ast.Starred):
            self._annotation(types[0])
            node = ast.Call(node.func, node.args[1:], node.keywords)
        if name in _IMPORTERS and node.args and (module := text_of(node.args[0])):
            self._refer(self.sources.follow(Symbol(module, WHOLE)))
        self._write_plain(node)

    def _write_ListComp(self, node: ast.ListComp) -> None:  # noqa: N802
        self._say(type(node).__name__)
        # the first sequence is looked up outside
        self._write(node.generators[0].iter)
        targets = own_nodes(generator.target for generator in node.generators)
        self._open(False, bound_names(targets))
        for index, one in enumerate(node.generators):
            self._write_plain(one, () if index else ("iter",))
        self._write_plain(node, ("generators",))
        self._scopes.pop()

    _write_SetComp = _write_DictComp = _write_GeneratorExp = _write_ListComp  # noqa: N815

    # -- scopes

    def _function(self, arguments: ast.arguments, body: Sequence[ast.AST]) -> None:
        self._write([*arguments.defaults, *arguments.kw_defaults])
        every = [node for node in ast.walk(arguments) if isinstance(node, ast.arg)]
        for argument in every:
            if argument.annotation is not None:
                self._annotation(argument.annotation)
        self._enter(body, is_class=False, arguments=[argument.arg for argument in every])
        self._write_plain(arguments, ("defaults", "kw_defaults", "vararg", "kwarg"))
        for rest in (arguments.vararg, arguments.kwarg):
            # nobody outside can say its name
            self._say("rest" if rest else "none")
            if rest:
                self._bind(rest.arg)
        self._write(list(body))
        self._scopes.pop()

    def _enter(
        self, body: Sequence[ast.AST], is_class: bool, arguments: Iterable[str] = ()
    ) -> None:
        nodes = list(own_nodes(body))
        globals_, nonlocals = (
            {name for node in nodes if isinstance(node, kind) for name in node.names}
            for kind in (ast.Global, ast.Nonlocal)
        )
        names = {*arguments, *bound_names(nodes)} - globals_ - nonlocals
        self._open(is_class, names, self.module.imports_of(nodes), frozenset(globals_))

    def _open(
        self,
        is_class: bool,
        bound: Iterable[str],
        imported: Imports | None = None,
        globals_: frozenset[str] = frozenset(),
    ) -> None:
        self._count += 1
        scope = _Scope(self._count, is_class, frozenset(bound), imported or {}, globals_)
        self._scopes.append(scope)

    def _bind(self, name: str) -> None:
        """Write a name, wherever it is bound."""
        scope = self._scope_of(name)
        if scope is None or name not in scope.bound:
            targets = self._lookup(name)
            self._refer(targets or ())
            if not targets:
                self._say("name", name)
        elif scope.is_class:
            self._say("own", Member(name))
        else:
            place = scope.places.setdefault(name, len(scope.places))
            self._say(f"v{scope.number}.{place}")
            if name in scope.imported:
                self._refer(self._imported(scope, name))

    def _scope_of(self, name: str) -> _Scope | None:
        """The scope in which a name is bound or imported; None where it is the module's."""
        for depth, scope in enumerate(reversed(self._scopes)):
            # a class's own names are not seen in its methods
            if scope.is_class and depth:
                continue
            if name in scope.globals:
                return None
            if name in scope.bound or name in scope.imported:
                return scope
        return None

    def _lookup(self, name: str) -> Sequence[Target] | None:
        """What a name refers to beyond variables; None for a variable."""
        scope = self._scope_of(name)
        if scope is None:
            return self.sources.resolve(self.module.name, name)
        return None if name in scope.bound else self._imported(scope, name)

    def _imported(self, scope: _Scope, name: str) -> list[Target]:
        return [one for what in scope.imported[name] for one in self.sources.follow(what)]

    def _chain(self, node: ast.AST) -> tuple[Sequence[Target], Sequence[str]]:
        """What a dotted name leads to through modules, and the attributes left; else nothing."""
        names = dotted(node)
        targets = self._lookup(names[0]) if names else None
        return self.sources.along(targets, names[1:]) if targets else ((), ())

    # -- parts

    def _decorators(self, decorators: Sequence[ast.expr]) -> None:
        """A registration is left out: which names it has is the registry's affair."""
        self._write([one for one in decorators if not self._is_entry(one)])

    def _is_entry(self, decorator: ast.expr) -> bool:
        entered = registration(decorator, decorator)
        if entered is None or self._scopes:
            return False
        found, rest = self.sources.along(
            self._lookup(entered.registry[0]) or (), entered.registry[1:]
        )
        kinds = [self.sources.registry_kind(one) for one in found]
        return not rest and bool(kinds) and None not in kinds

    def _base(self, base: ast.expr) -> None:
        found, rest = self._chain(base.value if isinstance(base, ast.Subscript) else base)
        bases = [one for one in found if isinstance(one, Symbol) and one.name != WHOLE]
        self.unit.bases += bases
        if rest or not bases:
            self.unit.has_outside_base = True

    def _annotation(self, node: ast.AST) -> None:
        """Follow what an annotation names, in quotes or not, without writing it."""
        self._names_in(_unquoted(node))

    def _names_in(self, node: ast.AST) -> None:
        if dotted(node):
            self.unit.annotated += [one for one in self._chain(node)[0] if isinstance(one, Symbol)]
        else:
            for part in ast.iter_child_nodes(node):
                self._names_in(part)


class _Unquoted(ast.NodeTransformer):
    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        with suppress(SyntaxError, ValueError, RecursionError):
            text = text_of(node)
            if text is not None:
                return _unquoted(ast.parse(text.strip(), mode="eval").body)
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        # the strings of a Literal are values
        return node if dotted(node.value)[-1:] == ("Literal",) else self.generic_visit(node)


def _unquoted(annotation: ast.AST) -> ast.AST:
    """Return an annotation in quotes, or with parts in quotes, as what it says."""
    if not any(text_of(node) is not None for node in ast.walk(annotation)):
        return annotation
    unquoted: ast.AST = _Unquoted().visit(copy.deepcopy(annotation))
    return unquoted
