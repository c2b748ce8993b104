"""Write what is generated from `lpca.gatespec.keys`: the tables of the spec reference and the
shipped JSON Schema.

    python tools/make_reference.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lpca.gatespec import keys
from lpca.gatespec.claim_parser import EXAMPLES, MAX_LENGTH, WRAPPERS
from lpca.gatespec.kinds import (
    IDENTIFIER,
    MAX_INTEGER,
    RESERVED_NAMES,
    Choice,
    Identifier,
    Integer,
    Kind,
    ListOf,
    Number,
    Setting,
    Word,
)
from lpca.gatespec.model import CONDITIONS
from lpca.gatespec.sections import REQUIRED, Either, Key, Others, Table, Variants
from lpca.gatespec.values import (
    MAX_WHERE,
    SEED,
    SEED_RANGE,
    SOUND,
    ClaimText,
    Method,
    Seeds,
    Where,
)

Schema = dict[str, Any]
ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "spec-reference.md"
SCHEMA = ROOT / "lpca" / "gatespec" / "gate_specs.schema.json"
_TABLE = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.S)
_NOT_BLANK = r"\S"
_NUMBER = r"[0-9.]+(?:[eE][+-]?[0-9]+)?(?![0-9.])"
_COMPARISONS = "<>=~≈≥≤"
_HEAD = ("", "| Key | Value | Default | Meaning |", "|---|---|---|---|")
_WORDS = {
    Word: "number or word",
    Setting: "number, `true`, `false` or text",
    Identifier: "name",
    ClaimText: "claim",
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
        given = f"`{key.default}`" if is_stated(key.default) else ""
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


def is_stated(default: Any) -> bool:
    """Whether documentation and schema name a default."""
    return default not in (None, REQUIRED, "", ())


def json_schema() -> Schema:
    """The tables as JSON Schema, draft 2020-12, for editors.

    A schema sees values as YAML has resolved them and each by itself. So it takes what the loader
    refuses where that is a matter of writing (`400.0` for a whole number), of a relation (a
    condition that the gate does not run, looks that do not rise, a required gate that is not
    there), or of the grammar of a claim beyond its words. An empty value is `null`, which it takes
    only where the word null may stand. It refuses one thing that the loader takes: a word that
    YAML resolves to another type (`id: true`, `label: null`), unless quoted.
    """
    written = {"type": "string", "pattern": f"^{SEED_RANGE}$"}
    lists = {"type": "array", "items": schema_of(Seeds())}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "LPCA gate spec",
        **schema_of(keys.SPEC),
        # lists may hold lists
        "$defs": {"seeds": {"anyOf": [schema_of(SEED), written, lists]}},
    }


def schema_text() -> str:
    """The schema as the text of its file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def schema_of(kind: Kind) -> Schema:
    """The JSON Schema of a value as YAML resolves it."""
    match kind:
        case Integer(low, high):
            return {"type": "integer", "minimum": low, "maximum": high}
        case Number(low, high, nearest):
            return {"type": "number", "minimum": low + nearest, "maximum": high - nearest}
        case Choice(choices):
            # as YAML resolves them: the condition null needs no quotes
            words = [[word, None] if word == "null" else [word] for word in choices]
            return {"enum": [word for both in words for word in both]}
        case Identifier():
            names = {"pattern": f"^{IDENTIFIER}$", "not": {"enum": sorted(RESERVED_NAMES)}}
            return {"type": "string", **names}
        case ListOf(of=of, fewest=fewest, distinct=distinct):
            size = {"minItems": fewest} if fewest else {}
            different = {"uniqueItems": True} if distinct else {}
            return {"type": "array", "items": schema_of(of), **size, **different}
        case Table():
            return table_schema(kind)
        case Either(plain, mapping):
            return {"anyOf": [schema_of(plain), schema_of(mapping)]}
        case Variants(tables=tables):
            return {"anyOf": [variant_schema(kind, word, one) for word, one in tables.items()]}
        case ClaimText():
            return claim_schema()
        case Method():
            return {"type": "string", "anyOf": [{"enum": list(SOUND)}, {"pattern": _NOT_BLANK}]}
        case Where():
            # its grammar is the loader's
            return {"type": ["string", "null"], "maxLength": MAX_WHERE, "pattern": _NOT_BLANK}
        case Seeds():
            return {"$ref": "#/$defs/seeds"}
    return {"type": ["string", "number", "boolean"], "pattern": _NOT_BLANK}


def claim_schema() -> Schema:
    """Known words with a comparison: each token can end in one place only."""
    words = "|".join(sorted((*CONDITIONS, *WRAPPERS), key=len, reverse=True))
    symbols = rf"[{_COMPARISONS}+−*×/()-]"
    token = rf"{_NUMBER}|(?:{words})(?![A-Za-z0-9_])|{symbols}"
    return {
        "type": "string",
        "maxLength": MAX_LENGTH,
        "pattern": rf"^(?=[\s\S]*[{_COMPARISONS}])\s*(?:(?:{token})\s*)+$",
        "examples": list(EXAMPLES),
    }


def table_schema(table: Table) -> Schema:
    """A section's keys, which of them are required, and what else may stand there."""
    schema: Schema = {
        "type": "object",
        "properties": {key.name: key_schema(key) for key in table.keys},
        "additionalProperties": False,
    }
    if required := [key.name for key in table.keys if key.default is REQUIRED]:
        schema["required"] = required
    if table.one_of:
        schema |= {"minProperties": 1, "maxProperties": 1}
    for others in table.others:
        add_others(schema, others)
    return schema


def key_schema(key: Key) -> Schema:
    """A key's meaning, its value and its default."""
    given = {"default": key.default} if is_stated(key.default) else {}
    return {"description": key.says.replace("`", ""), **schema_of(key.kind), **given}


def add_others(schema: Schema, others: Others) -> None:
    """Let a section's schema take keys that are not fixed."""
    kind = {"description": others.says.replace("`", ""), **schema_of(others.kind)}
    if others.names:
        names = {key: rule for key, rule in schema_of(Identifier()).items() if key != "type"}
        schema |= {"propertyNames": names, "additionalProperties": kind}
    elif others.pattern is None:
        schema["additionalProperties"] = kind
    else:
        schema["patternProperties"] = {f"^{others.pattern}$": kind}
    if others.most is None:
        return
    span = {"minProperties": others.fewest, "maxProperties": others.most}
    if not schema["properties"]:
        schema |= span
        return
    # a schema counts all keys: where the one optional key is given, one more is allowed
    (optional,) = schema["properties"]
    schema["if"] = {"required": [optional]}
    schema["then"] = {"minProperties": others.fewest + 1, "maxProperties": others.most + 1}
    schema["else"] = span


def variant_schema(kind: Variants, word: str, table: Table) -> Schema:
    """A section that follows one of several tables, by a word."""
    schema = table_schema(table)
    rule = {"description": kind.says, "const": word}
    schema["properties"] = {kind.by: rule, **schema["properties"]}
    schema["required"] = [kind.by, *schema["required"]]
    return schema


if __name__ == "__main__":
    REFERENCE.write_text(reference(REFERENCE.read_text(encoding="utf-8")), encoding="utf-8")
    SCHEMA.write_text(schema_text(), encoding="utf-8")
