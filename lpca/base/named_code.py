"""Whether code that a user names is there: found out without importing, and so running, any."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

from lpca.base.arguments import parse_codec
from lpca.base.errors import RequestError
from lpca.base.registry import suggestion

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
UNTOLD = {"globals", "vars", "exec", "setattr", "__getattr__", "__dict__", "modules"}
"""Names by whose use a module may come to attributes that do not stand in it."""


def refuse_missing(text: str, folders: Sequence[Path], option: str = "--codec") -> Path | None:
    """Refuse code that cannot be found; what cannot be told without running it is let be.

    Args:
        text: `package.module:factory`.
        folders: from where modules are importable beside Python's own.
        option: where it was asked for, as messages begin.

    Returns:
        The module's file; None where it cannot be told.

    Raises:
        RequestError: there is no such module, or its source names no such thing; with the nearest.
    """
    module, attribute = parse_codec(text, option)
    text = f"{option} {text}"
    found = _found(text, module, folders)
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        return None
    try:
        tree = ast.parse(Path(found.origin).read_bytes(), found.origin)
    except SyntaxError as error:
        place = f"{Path(found.origin).name}:{error.lineno}"
        raise RequestError(f"{text}: {place}: SyntaxError: {error.msg}") from error
    except (OSError, ValueError):
        return None
    first = attribute.partition(".")[0]
    bound = set(_bound(tree))
    if first not in bound and not bound & {"*", *UNTOLD}:
        made = [one.name for one in tree.body if isinstance(one, DEFINITIONS)]
        raise RequestError(f"{text}: it has no {first!r}; {suggestion(first, made)}")
    return Path(found.origin)


def _found(text: str, module: str, folders: Sequence[Path]) -> ModuleSpec | None:
    """Where a module is; None where it cannot be told. RequestError where there is none."""
    first, *rest = module.split(".")
    found = PathFinder.find_spec(first, [*map(str, folders)])
    if found is None:
        try:
            found = find_spec(first)
        except (ImportError, ValueError):
            return None
    whole = first
    for part in rest:
        if found is None or found.submodule_search_locations is None:
            break
        whole = f"{whole}.{part}"
        found = PathFinder.find_spec(whole, [*found.submodule_search_locations])
    if found is not None and whole == module:
        return found
    if found is not None and whole in sys.modules:
        return None  # a module that makes others, as some packages do
    missing = whole if found is None else module
    names = sorted({name for folder in folders for name in _modules(folder)})
    hint = suggestion(missing, names).partition("allowed: ")[0]
    places = ", ".join(dict.fromkeys(map(str, folders)))
    raise RequestError(
        f"{text}: there is no module {missing}; {hint}allowed: a module in {places}, or "
        "one that is installed"
    )


def _modules(folder: Path) -> Iterator[str]:
    with suppress(OSError):
        for path in folder.iterdir():
            if path.suffix == ".py" or (path / "__init__.py").is_file():
                yield path.stem


def _bound(tree: ast.AST) -> Iterator[str]:
    """Every name that a module binds anywhere, or uses in a way that may bind others."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Import() | ast.ImportFrom():
                yield from (one.asname or one.name.partition(".")[0] for one in node.names)
            case ast.Global():
                yield from node.names
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name
            case ast.Name():
                if isinstance(node.ctx, ast.Store) or node.id in UNTOLD:
                    yield node.id
            case ast.Attribute():
                if node.attr in UNTOLD:
                    yield node.attr
