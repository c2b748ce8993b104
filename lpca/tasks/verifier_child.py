"""What answers in the process of somebody's own verifier: it marks one answer after the other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from lpca.base.arguments import parse_codec
from lpca.base.errors import RequestError

Function = Callable[[str, Mapping[str, Any]], object]


def serve(start: Mapping[str, Any]) -> Callable[..., tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return what marks answers; `start` as `OwnVerifier` tells it."""
    found: list[Function] = []

    def answer(header: Mapping[str, Any], _: object) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        if not found:
            found.append(_imported(start))
        mark = found[0](header["said"], header["row"])
        # a bool is a number to Python, as 1 is; numpy's own are none to JSON
        if not isinstance(mark, int | float) or not 0.0 <= mark <= 1.0:
            raise RequestError(
                f"it gives {ascii(mark)[:60]} for {header['said'][:60]!r}; allowed: a number from "
                f"0 to 1{_place(found[0])}"
            )
        return {"mark": float(mark)}, {}

    return answer


def _imported(start: Mapping[str, Any]) -> Function:
    module, attribute = parse_codec(start["verifier"], "verifier")
    sys.path[:0] = [folder for folder in start["folders"] if folder not in sys.path]
    found: Any = import_module(module)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise RequestError(f"it has no {part!r}")
        found = getattr(found, part)
    if not callable(found):
        raise RequestError(f"it is of type {type(found).__name__}; allowed: a function (said, row)")
    function: Function = found
    return function


def _place(function: Function) -> str:
    code = getattr(function, "__code__", None)
    return f" ({Path(code.co_filename).name}:{code.co_firstlineno})" if code else ""
