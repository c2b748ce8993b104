"""Write what is generated from `lpca.gatespec.keys`: the tables of the spec reference and the
shipped JSON Schema.

    python tools/make_reference.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lpca.gatespec import keys
from lpca.gatespec.kinds import (
    MAX_INTEGER,
    Choice,
    Identifier,
    Integer,
    Kind,
    ListOf,
    Number,
    Setting,
    Word,
)
from lpca.gatespec.sections import REQUIRED, Either, Table, Variants
from lpca.gatespec.values import ClaimText, Joint, Seeds, TaskSeed

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "spec-reference.md"
SCHEMA = ROOT / "lpca" / "gatespec" / "gate_specs.schema.json"
_TABLE = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.S)
_HEAD = ("", "| Key | Value | Default | Meaning |", "|---|---|---|---|")
_WORDS = {
    Word: "number or word",
    Setting: "number, `true`, `false` or text",
    Identifier: "name",
    ClaimText: "claim",
    TaskSeed: "whole number from 0, or `drawn`",
    Joint: "blanks in quotes",
    Seeds: "whole number, range `0..999`, or list of either",
    Table: "mapping",
    Variants: "mapping",
}


def reference(text: str) -> str:
    """The reference with every generated table as it should be."""

    def table(found: re.Match[str]) -> str:
        made = rows(getattr(keys, found[2]))
        return found[1] + "\n".join([*_HEAD, *made, "", ""]) + found[3]

    return _TABLE.sub(table, text)


def rows(table: Table) -> Iterator[str]:
    """The lines of a section's table."""
    for key in table.keys:
        more = f"; see {key.see}" if key.see else ""
        given = "" if key.stated_default is None else f"`{key.default}`"
        default = "required" if key.default is REQUIRED else given
        yield f"| `{key.name}` | {in_words(key.kind)} | {default} | {key.says}{more} |"
    for others in table.others:
        yield f"| {others.shown} | {in_words(others.kind)} | | {others.says} |"


def in_words(kind: Kind) -> str:
    """What a value is, in Markdown."""
    match kind:
        case Integer(low, high) if low == high:
            return f"`{low}`"
        case Integer(low, high):
            end = f" from {low}" if high == MAX_INTEGER else f", {low} to {high}"
            return f"whole number{end}"
        case Number(low, high, nearest):
            return (
                f"number above {low:g} and below {high:g}"
                if nearest
                else (f"number, {low:g} to {high:g}")
            )
        case Choice(choices):
            return " or ".join(", ".join(f"`{word}`" for word in choices).rsplit(", ", 1))
        case ListOf(of=Table() | Variants()):
            return "list of mappings"
        case ListOf(of=of, shown=shown):
            return shown or f"list of: {in_words(of)}"
        case Either(plain, mapping):
            return f"{in_words(plain)}, or {in_words(mapping)}"
    return _WORDS.get(type(kind), "text")


if __name__ == "__main__":
    REFERENCE.write_text(reference(REFERENCE.read_text(encoding="utf-8")), encoding="utf-8")
    SCHEMA.write_text(keys.schema_text(), encoding="utf-8")
