"""Write what is generated from `lpca.gatespec.schema_model`: the tables of the spec reference and
the shipped JSON Schema.

    python tools/make_reference.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lpca.gatespec import schema_model
from lpca.gatespec.json_schema import schema_text
from lpca.gatespec.kinds import (
    MAX_INTEGER,
    REQUIRED,
    Choice,
    Either,
    Form,
    Integer,
    Key,
    Kind,
    ListOf,
    Number,
    Table,
)
from lpca.gatespec.model import CONDITIONS

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "spec-reference.md"
SCHEMA = ROOT / "lpca" / "gatespec" / "gate_specs.schema.json"
_TABLE = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.S)
_FORMS = {
    "identifier": "name",
    "claim": "claim",
    "setting": "number, `true`, `false` or text",
    "seeds": "whole number, range `0..999`, or list of either",
    "value": "number or word",
}


def reference(text: str) -> str:
    """The reference with every generated table as it should be."""
    return _TABLE.sub(
        lambda found: found[1] + _table(getattr(schema_model, found[2])) + found[3], text
    )


def _table(table: Table) -> str:
    rows = ["", "| Key | Value | Default | Meaning |", "|---|---|---|---|", *_rows(table)]
    return "\n".join([*rows, "", ""])


def _rows(table: Table) -> Iterator[str]:
    for key in table.keys:
        more = f"; see {key.see}" if key.see else ""
        yield f"| `{key.name}` | {_value(key.kind)} | {_default(key)} | {key.says}{more} |"
    for others in table.others:
        yield f"| {others.shown} | {_value(others.kind)} | | {others.says} |"


def _default(key: Key[Any]) -> str:
    if key.default is REQUIRED:
        return "required"
    return "" if key.default is None else f"`{key.default}`"


def _value(kind: Kind) -> str:
    if kind == schema_model.LEVEL:
        return "number above 0 and below 1"
    match kind:
        case Integer(low, high):
            return _span(low, high)
        case Number(low, high):
            return f"number, {low:g} to {high:g}"
        case Choice(words):
            return " or ".join(", ".join(f"`{word}`" for word in words).rsplit(", ", 1))
        case Form(name):
            return _FORMS.get(name, "text")
        case ListOf(Choice(words)) if words == CONDITIONS:
            return "list of [conditions](concepts.md#conditions)"
        case ListOf(of):
            return "list of mappings" if isinstance(of, Table) else f"list of: {_value(of)}"
        case Either(kinds):
            return ", or ".join(_value(one) for one in kinds)
        case _:
            return "mapping"


def _span(low: int, high: int) -> str:
    if low == high:
        return f"`{low}`"
    return f"whole number from {low}" if high == MAX_INTEGER else f"whole number, {low} to {high}"


if __name__ == "__main__":
    REFERENCE.write_text(reference(REFERENCE.read_text(encoding="utf-8")), encoding="utf-8")
    SCHEMA.write_text(schema_text(), encoding="utf-8")
