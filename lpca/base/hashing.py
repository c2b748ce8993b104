"""Content hashes: of JSON-able data, of tensors, and of source code that determines a result."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def hash_data(data: object) -> str:
    """SHA-256 of `data` as canonical JSON (sorted keys, no spaces, NaN refused with ValueError)."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_tensors(named: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256 over names, dtypes, shapes and raw bytes of tensors, in order of their names."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(named, key=lambda item: item[0]):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        raw = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)
        digest.update(raw.numpy().data)
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_modules(names: Iterable[str]) -> str:
    """SHA-256 of modules' syntax trees, without docstrings, comments or layout.

    The dump skips empty and absent fields, so that it is the same on every Python that parses
    the source.
    """
    trees = {name: _dump(_without_docstrings(ast.parse(_source(name)))) for name in names}
    return hash_data(trees)


def named_rng(*names: object) -> random.Random:
    """A generator seeded by its names, the same on every platform and in every process."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


def named_seed(*names: object) -> int:
    """A 63-bit seed for torch or numpy, from names."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source for module {module}")
    return Path(spec.origin).read_text(encoding="utf-8")


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list) or not body:
            continue
        first = body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            del body[0]
    return tree


def _dump(node: Any) -> Any:
    if isinstance(node, ast.AST):
        fields = {key: _dump(value) for key, value in ast.iter_fields(node)}
        kept = {key: value for key, value in fields.items() if value not in (None, [])}
        return [type(node).__name__, kept]
    if isinstance(node, list):
        return [_dump(item) for item in node]
    return node if isinstance(node, (str, int, float, bool, type(None))) else repr(node)
