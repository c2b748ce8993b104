"""The JSON Schema of a spec file, for editors: `lpca.gatespec.schema_model` in draft 2020-12.

A schema sees values as YAML has resolved them and each by itself. So it takes what the loader
refuses where that is a matter of writing (`400.0` for a whole number), of a relation (a condition
that the gate does not run, looks that do not rise, a required gate that is not there), or of the
grammar of a claim beyond its words. An empty value is `null`, which it takes only where the word
null may stand. It refuses one thing that the loader takes: a word that YAML resolves to another
type (`id: true`, `label: null`), unless quoted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from lpca.gatespec.claim_parser import EXAMPLES, MAX_LENGTH, WRAPPERS
from lpca.gatespec.kinds import (
    REQUIRED,
    Choice,
    Either,
    Form,
    Integer,
    Key,
    Kind,
    ListOf,
    Number,
    Others,
    Table,
    Variants,
)
from lpca.gatespec.methods import SOUND
from lpca.gatespec.model import CONDITIONS
from lpca.gatespec.schema_model import IDENTIFIER, MAX_WHERE, RESERVED_NAMES, SEED, SEED_RANGE, SPEC

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCALAR_TYPES = ["string", "number", "boolean"]
_NOT_BLANK = r"\S"
_NUMBER = r"[0-9.]+(?:[eE][+-]?[0-9]+)?(?![0-9.])"
_COMPARISONS = "<>=~≈≥≤"


def json_schema() -> Schema:
    """The schema as JSON-able values."""
    return {
        "$schema": DIALECT,
        "title": "LPCA gate spec",
        **_schema(SPEC),
        "$defs": {"seeds": _seeds()},
    }


def schema_text() -> str:
    """The schema as the text of its file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _schema(kind: Kind) -> Schema:
    match kind:
        case Integer(low, high):
            return {"type": "integer", "minimum": low, "maximum": high}
        case Number(low, high):
            return {"type": "number", "minimum": low, "maximum": high}
        case Choice(words):
            return {"enum": _words(words)}
        case Form(name):
            return _form(name)
        case ListOf(of, fewest, distinct):
            size = {"minItems": fewest} if fewest else {}
            different = {"uniqueItems": True} if distinct else {}
            return {"type": "array", "items": _schema(of), **size, **different}
        case Either(kinds):
            return {"anyOf": [_schema(one) for one in kinds]}
        case Variants():
            return _variants(kind)
        case Table():
            return _table(kind)


def _words(words: Iterable[str]) -> list[str | None]:
    """The words as YAML resolves them: the condition null is written without quotes."""
    return [value for word in words for value in ([word, None] if word == "null" else [word])]


def _form(name: str) -> Schema:
    match name:
        case "identifier":
            return {"type": "string", **_identifier()}
        case "claim":
            return _claim()
        case "where":
            return {"type": ["string", "null"], "maxLength": MAX_WHERE, "pattern": _NOT_BLANK}
        case "method":
            sound = {"enum": list(SOUND)}
            return {"type": "string", "anyOf": [sound, {"pattern": _NOT_BLANK}]}
        case "seeds":
            return {"$ref": "#/$defs/seeds"}
        case _:
            return {"type": _SCALAR_TYPES, "pattern": _NOT_BLANK}


def _identifier() -> Schema:
    return {"pattern": f"^{IDENTIFIER}$", "not": {"enum": sorted(RESERVED_NAMES)}}


def _claim() -> Schema:
    """A text of known words with a comparison in it: each token can end in one place only."""
    words = "|".join(sorted((*CONDITIONS, *WRAPPERS), key=len, reverse=True))
    symbols = rf"[{_COMPARISONS}+−*×/()-]"
    token = rf"{_NUMBER}|(?:{words})(?![A-Za-z0-9_])|{symbols}"
    return {
        "type": "string",
        "maxLength": MAX_LENGTH,
        "pattern": rf"^(?=[\s\S]*[{_COMPARISONS}])\s*(?:(?:{token})\s*)+$",
        "examples": list(EXAMPLES),
    }


def _seeds() -> Schema:
    return {
        "anyOf": [
            _schema(SEED),
            {"type": "string", "pattern": f"^{SEED_RANGE}$"},
            {"type": "array", "items": {"$ref": "#/$defs/seeds"}},
        ]
    }


def _variants(kind: Variants) -> Schema:
    def variant(word: str, table: Table) -> Schema:
        schema = _table(table)
        rule = {"description": kind.says, "const": word}
        schema["properties"] = {kind.by: rule, **schema["properties"]}
        schema["required"] = [kind.by, *schema["required"]]
        return schema

    return {"anyOf": [variant(word, table) for word, table in kind.tables.items()]}


def _table(table: Table) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": {key.name: _property(key) for key in table.keys},
        "additionalProperties": False,
    }
    if required := [key.name for key in table.keys if key.default is REQUIRED]:
        schema["required"] = required
    if table.one_of:
        schema |= {"minProperties": 1, "maxProperties": 1}
    for others in table.others:
        _add_others(schema, others)
    return schema


def _property(key: Key[Any]) -> Schema:
    given = {} if key.default is None or key.default is REQUIRED else {"default": key.default}
    return {"description": key.says.replace("`", ""), **_schema(key.kind), **given}


def _add_others(schema: Schema, others: Others) -> None:
    kind = {"description": others.says.replace("`", ""), **_schema(others.kind)}
    if others.pattern is None:
        schema["additionalProperties"] = kind
    elif others.pattern == IDENTIFIER:
        schema |= {"propertyNames": _identifier(), "additionalProperties": kind}
    else:
        schema["patternProperties"] = {f"^{others.pattern}$": kind}
    if others.most is not None:
        _count(schema, others.fewest, others.most)


def _count(schema: Schema, fewest: int, most: int) -> None:
    """How many keys there are beside the fixed ones, of which at most one is optional."""
    span = {"minProperties": fewest, "maxProperties": most}
    if not schema["properties"]:
        schema |= span
        return
    (optional,) = schema["properties"]
    schema["if"] = {"required": [optional]}
    schema["then"] = {"minProperties": fewest + 1, "maxProperties": most + 1}
    schema["else"] = span
