"""What can be broken in a file: changes of one expression or statement, and how one is named.

A break is known by what it changes, not by where it stands: file, qualified name, the statement,
the expression before and after, and which of several equal ones.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

PROSE = {"help", "description", "metavar", "epilog", "title", "msg", "prog"}
"""Arguments that are only words for people: a changed one is no fault."""
SYMMETRIC = {"max", "min", "isinstance", "zip"}
"""Calls whose other order of arguments is the same, or no program at all."""


@dataclass(frozen=True)
class Place:
    """Where a break stands and what it changes.

    `statement` is the source of the innermost statement, of a compound one its head; `occurrence`
    counts the equal places of the file from 0.
    """

    file: str
    function: str
    statement: str
    before: str
    after: str
    occurrence: int = 0

    @property
    def key(self) -> tuple[str, ...]:
        """What several places may share."""
        return (self.file, self.function, self.statement, self.before, self.after)


@dataclass(frozen=True)
class Break:
    """A change of one expression: its kind, what exactly, and where in the old and new tree."""

    number: int
    room: str
    kind: str
    change: str
    first: Place
    now: Place | None = None
    note: str = ""


@dataclass(frozen=True)
class Candidate:
    """A change that could be made: `start` and `end` are bytes of the file, `lines` its lines."""

    kind: str
    change: str
    place: Place
    start: int
    end: int
    lines: range
    statement_lines: range
    function_lines: range


# What can be broken: per type of node, changes as (kind, what, the new text).

Change = tuple[str, str, str]
COMPARISONS: dict[type, tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">")),
    ast.LtE: ("<=", ("<", ">=")),
    ast.Gt: (">", (">=", "<")),
    ast.GtE: (">=", (">", "<=")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
}
ARITHMETIC: dict[type, tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.BitOr: ("|", "&"),
    ast.BitAnd: ("&", "|"),
}
RETURNED = (
    (r"bool$", "negated", "not ({})"),
    (r"int$", "one more", "({}) + 1"),
    (r"float$", "one more", "({}) + 1"),
    (r"str$", "empty", '""'),
    (r"(list|tuple|Sequence)\[", "without the first", "({})[1:]"),
    (r"(dict|Mapping)\[", "empty", "{{}}"),
    (r"(set|frozenset|Set)\[", "empty", "set()"),
    (r"None$", None, ""),
    (r"", "None", "None"),
)
"""By the annotation of the function: what is returned instead."""


class Source:
    """A file's tree, with the text of a node and what could be broken in it."""

    def __init__(self, file: str, text: str) -> None:
        self.file, self.data, self.tree = file, text.encode(), ast.parse(text)
        self.starts = [0]
        for line in self.data.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def begin(self, node: Any) -> int:
        """The byte at which a node begins."""
        return int(self.starts[node.lineno - 1] + node.col_offset)

    def end(self, node: Any) -> int:
        """The byte after a node."""
        return int(self.starts[node.end_lineno - 1] + node.end_col_offset)

    def text(self, start: int, end: int) -> str:
        """The text between two bytes."""
        return self.data[start:end].decode()

    def of(self, node: Any) -> str:
        """The text of a node."""
        return self.text(self.begin(node), self.end(node))

    def head(self, statement: ast.stmt) -> str:
        """The text of a statement up to its body."""
        end = self.end(statement)
        if inside := getattr(statement, "body", None) or getattr(statement, "cases", None):
            end = self.begin(inside[0].pattern if hasattr(inside[0], "pattern") else inside[0])
        return self.text(self.begin(statement), end).strip()

    @cached_property
    def candidates(self) -> list[Candidate]:
        """Every change, in the order of the file."""
        seen: Counter[tuple[str, ...]] = Counter()
        found = []
        for one in sorted(self._walk(self.tree, ()), key=lambda c: (c.start, c.end)):
            place = replace(one.place, occurrence=seen[one.place.key])
            seen[place.key] += 1
            found.append(replace(one, place=place))
        return found

    def _walk(self, node: ast.AST, above: tuple[ast.AST, ...]) -> Iterator[Candidate]:
        for child in _children(node):
            inside = (*above, node)
            for kind, change, after in _changes(self, child, inside):
                yield self._candidate(child, inside, (kind, change, after))
            yield from self._walk(child, inside)

    def _candidate(self, node: Any, above: tuple[ast.AST, ...], change: Change) -> Candidate:
        path = [*above, node]
        statement = next(one for one in reversed(path) if isinstance(one, ast.stmt))
        scopes = [n for n in path if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        scope: Any = scopes[-1] if scopes else None
        place = Place(
            self.file,
            ".".join(one.name for one in scopes),
            self.head(statement),
            self.of(node),
            change[2],
        )
        body = getattr(statement, "body", None) or getattr(statement, "cases", None)
        last = statement.lineno if body else statement.end_lineno
        return Candidate(
            change[0],
            change[1],
            place,
            self.begin(node),
            self.end(node),
            range(node.lineno, node.end_lineno + 1),
            range(statement.lineno, (last or statement.lineno) + 1),
            range(scope.body[0].lineno, scope.end_lineno + 1) if scope else range(0),
        )

    def broken(self, one: Candidate) -> str | None:
        """The file with a change, or None where it would be no other program."""
        text = (self.data[: one.start] + one.place.after.encode() + self.data[one.end :]).decode()
        try:
            tree = ast.parse(text)
        except SyntaxError:
            return None
        return None if ast.dump(tree) == ast.dump(self.tree) else text


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a node whose change is a fault: no types, no words for people."""
    match node:
        case ast.Import() | ast.ImportFrom() | ast.JoinedStr() | ast.Raise():
            return
        case ast.FunctionDef(body=[*_, ast.Expr(value=ast.Constant(value=value))]) if value is ...:
            return  # of a protocol
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            return
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Compare(left=ast.Name(id="__name__"))):
            return
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "pattern", "msg"}:
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, ast.keyword) and one.arg in PROSE:
                continue
            if isinstance(one, ast.AST):
                yield one


def _changes(source: Source, node: ast.AST, above: tuple[ast.AST, ...]) -> Iterator[Change]:
    """The changes of one node."""
    if _is_default(node, above):
        yield from (("default", what, after) for what, after in _other_constant(source, node))
        return
    if getattr(above[-1], "test", None) is node or (
        isinstance(above[-1], ast.comprehension) and node in above[-1].ifs
    ):
        yield from _forced(above[-1])
    match node:
        case ast.Compare():
            yield from _compared(source, node)
        case ast.BinOp():
            yield from _computed(source, node, above)
        case ast.AugAssign() if type(node.op) in ARITHMETIC:
            old, new = ARITHMETIC[type(node.op)]
            value = source.text(source.end(node.target), source.end(node))
            after = source.of(node.target) + value.replace(f"{old}=", f"{new}=", 1)
            yield "arithmetic", f"{old}= to {new}=", after
        case ast.UnaryOp(op=ast.USub()) if not isinstance(node.operand, ast.Constant):
            yield "arithmetic", "minus removed", source.of(node.operand)
        case ast.UnaryOp(op=ast.Not()):
            yield "boolean", "not removed", f"({source.of(node.operand)})"
        case ast.BoolOp():
            old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
            yield (
                "boolean",
                f"{old} to {new}",
                f" {new} ".join(f"({source.of(value)})" for value in node.values),
            )
        case ast.Constant() if _is_content(node, above):
            yield from (("constant", what, after) for what, after in _other_constant(source, node))
        case ast.Call():
            yield from _called(source, node)
        case ast.Return(value=ast.expr()):
            yield from _returned(source, node, above)
    if isinstance(node, ast.stmt) and _deletable(node, above):
        yield "deleted", type(node).__name__, "pass"


def _forced(parent: ast.AST) -> Iterator[Change]:
    for value in ("True", "False"):
        if not (isinstance(parent, ast.While) and value == "True"):  # else it never ends
            yield "condition", f"{type(parent).__name__} {value}", value


def _compared(source: Source, node: ast.Compare) -> Iterator[Change]:
    left: ast.expr = node.left
    for op, right in zip(node.ops, node.comparators, strict=True):
        old, others = COMPARISONS[type(op)]
        gap = source.text(source.end(left), source.begin(right))
        before = source.text(source.begin(node), source.end(left))
        rest = source.text(source.begin(right), source.end(node))
        for new in others:
            yield "comparison", f"{old} to {new}", before + gap.replace(old, new, 1) + rest
        left = right


def _computed(source: Source, node: ast.BinOp, above: tuple[ast.AST, ...]) -> Iterator[Change]:
    typed = isinstance(node.op, ast.BitOr) and not any(
        isinstance(one, ast.FunctionDef) for one in above
    )
    words = any(
        isinstance(one, ast.JoinedStr | ast.List) or is_text(one) for one in (node.left, node.right)
    )
    typed |= isinstance(above[-1], ast.Call) and getattr(above[-1].func, "id", "") == "isinstance"
    if type(node.op) not in ARITHMETIC or typed or words:
        return
    old, new = ARITHMETIC[type(node.op)]
    gap = source.text(source.end(node.left), source.begin(node.right)).replace(old, new, 1)
    yield "arithmetic", f"{old} to {new}", source.of(node.left) + gap + source.of(node.right)


def _called(source: Source, node: ast.Call) -> Iterator[Change]:
    given: list[Any] = [*node.args, *node.keywords]
    symmetric = getattr(node.func, "id", "") in SYMMETRIC
    if any(isinstance(one, ast.GeneratorExp) for one in given) or not given or symmetric:
        return
    start, end = source.begin(node), source.end(node)
    last = given[-1]
    if node.keywords:
        cut = source.end(given[-2]) if len(given) > 1 else source.begin(last)
        name = node.keywords[-1].arg or "**"
        after = source.text(start, cut) + source.text(source.end(last), end)
        yield "argument", f"{name} removed", after
    elif len(given) > 1:
        after = source.text(start, source.end(given[-2])) + source.text(source.end(last), end)
        yield "argument", "last removed", after
    if len(node.args) > 1 and source.of(node.args[0]) != source.of(node.args[1]):
        one, two = node.args[:2]
        gap = source.text(source.end(one), source.begin(two))
        swapped = source.of(two) + gap + source.of(one)
        yield (
            "argument",
            "first two swapped",
            (source.text(start, source.begin(one)) + swapped + source.text(source.end(two), end)),
        )


def _returned(source: Source, node: ast.Return, above: tuple[ast.AST, ...]) -> Iterator[Change]:
    functions = [one for one in above if isinstance(one, ast.FunctionDef)]
    annotation = ast.unparse(functions[-1].returns) if functions and functions[-1].returns else ""
    value = source.of(node.value)
    pattern = (p for p in RETURNED if re.match(p[0], annotation) or annotation.endswith(p[0]))
    _, what, shape = next(pattern)
    if "| None" in annotation:
        what, shape = "None", "None"
    if what is not None and shape.format(value) != value:
        yield "returned", what, f"return {shape.format(value)}"


def _other_constant(source: Source, node: Any) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Constant(value=bool(value)):
            yield "flipped", str(not value)
        case ast.Constant(value=int(value)):
            yield "one more", str(value + 1)
        case ast.Constant(value=float(value)):
            yield "doubled", repr(2 * value if value else 1.0)
        case ast.Constant(value=str(value)) if re.fullmatch(r"[a-z][a-z0-9_]*", value):
            yield "a letter more", repr(value + "x").replace("'", '"')


def _is_default(node: ast.AST, above: tuple[ast.AST, ...]) -> bool:
    match above[-1]:
        case ast.arguments() as arguments:
            return node in arguments.defaults or node in arguments.kw_defaults
        case ast.keyword(arg="default"):
            return True
        case ast.AnnAssign(value=value):
            return value is node and isinstance(above[-2], ast.ClassDef)
    return False


def is_text(node: ast.AST | None) -> bool:
    """Whether a node is a text."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_content(node: ast.Constant, above: tuple[ast.AST, ...]) -> bool:
    """Whether a constant decides something: any number, and a text that is a name of a thing."""
    parent = above[-1]
    if not isinstance(node.value, str):
        return node.value is not None and not isinstance(parent, ast.Expr)
    match parent:
        case ast.Compare() | ast.Dict() | ast.Return():
            return not isinstance(parent, ast.Dict) or node in parent.keys
        case ast.Subscript(value=value):
            return getattr(value, "id", "") not in {"Literal", "Callable"}
        case ast.Call(func=ast.Attribute(attr="get" | "pop" | "startswith" | "endswith")):
            return node is parent.args[0]
        case ast.Tuple() | ast.Set() | ast.List():
            return len(parent.elts) <= 8 and isinstance(above[-2], ast.Compare)
    return False


def _deletable(node: ast.stmt, above: tuple[ast.AST, ...]) -> bool:
    """Whether a statement may go: one with an effect, whose loss is no mere NameError."""
    match node:
        case ast.Expr(value=ast.Constant()):
            return False
        case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Assert():
            return True
        case ast.Continue() | ast.Break() | ast.Delete():
            return True
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            return True
        case ast.Return():
            return not isinstance(above[-1], ast.FunctionDef)
    return False


@cache
def source_of(tree: Path, file: str) -> Source:
    """A file of a tree, read once."""
    return Source(file, (tree / file).read_text())


def files_of(tree: Path) -> list[str]:
    """The Python files of lpca/, in order."""
    return sorted(path.relative_to(tree).as_posix() for path in (tree / "lpca").rglob("*.py"))


def find(tree: Path, place: Place) -> Candidate:
    """The change at a place. Raises LookupError when the tree has none such."""
    for one in source_of(tree, place.file).candidates:
        if one.place == place:
            return one
    raise LookupError(f"{place.file}: {place.function}: no {place.before!r} to break")


@cache
def inside_functions(tree: Path, file: str) -> frozenset[int]:
    """The lines of a file that do not run when it is imported."""
    lines: set[int] = set()
    for node in ast.walk(source_of(tree, file).tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines.update(range(node.body[0].lineno, (node.end_lineno or 0) + 1))
    return frozenset(lines)
