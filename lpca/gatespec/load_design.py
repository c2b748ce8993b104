"""The keys of a gate or criterion that say which episodes and settings its claims are read on."""

from __future__ import annotations

import re
from typing import cast

from lpca.base.registry import suggestion
from lpca.gatespec import fields
from lpca.gatespec.document import Node, Scalar, Section, SpecError
from lpca.gatespec.model import Filter, Sequential, SequentialRule, Sweep
from lpca.gatespec.schema_model import (
    CONFIRM,
    EPISODES,
    FAMILY,
    LOOKS,
    MAX_WHERE,
    NULL_FORMS,
    SEED,
    SEQUENTIAL,
    K,
)

_FAILS = frozenset({"fails", "failed", "fail", "wrong", "false", "0"})
_SUCCEEDS = frozenset({"succeeds", "succeeded", "succeed", "right", "true", "1"})
_FILTER = re.compile(r"(?:(not)\s+)?([a-z_][a-z0-9_]*)(?:\s*(?:==?|\bis\b)?\s*([a-z0-9]+))?")
_CONTROLS = {"null": NULL_FORMS}


def read_where(node: Node | None, conditions: tuple[str, ...]) -> Filter | None:
    """`null fails`, `p1 succeeds`, `not null`; several joined by `and`."""
    if node is None:
        return None
    allowed = "'CONDITION fails' or 'CONDITION succeeds', joined by 'and'"
    scalar = fields.as_scalar(node, "where", allowed)
    if len(scalar.text) > MAX_WHERE:
        fields.fail(node, "where", f"{allowed}, in at most {MAX_WHERE} characters")
    outcomes = tuple(
        _outcome(part, scalar, conditions, allowed) for part in re.split(r"\band\b", scalar.text)
    )
    return Filter(outcomes, scalar.text)


def _outcome(
    part: str, scalar: Scalar, conditions: tuple[str, ...], allowed: str
) -> tuple[str, bool]:
    found = _FILTER.fullmatch(part.strip())
    if found is None:
        fields.fail(scalar, "where", allowed)
    negated, condition, word = found.groups()
    if condition not in conditions:
        raise SpecError(
            scalar.position,
            f"unknown condition {condition!r} in where; {suggestion(condition, conditions)}",
        )
    if word is None:
        return condition, not negated
    if word not in _FAILS | _SUCCEEDS:
        fields.fail(scalar, "where", allowed)
    return condition, (word in _SUCCEEDS) != bool(negated)


def read_sweep(node: Node | None) -> Sweep | None:
    """`{PARAMETER: [values], confirm: {seed: N}}`."""
    if node is None:
        return None
    section = fields.as_section(node, "best_of")
    swept = [entry for key, entry in section.entries.items() if key != "confirm"]
    if len(swept) != 1:
        raise SpecError(
            section.position, f"best_of sweeps {len(swept)} parameters; exactly one is allowed"
        )
    parameter = swept[0].key.text
    values = tuple(
        fields.as_scalar(value, f"a value of {parameter}", "a number or a word").text
        for value in fields.as_items(swept[0].value, f"best_of {parameter}")
    )
    if len(values) < 2:
        fields.fail(swept[0].value, f"best_of {parameter}", "a list of at least two values")
    return Sweep(parameter, values, _confirm_seed(fields.optional(section, "confirm")))


def _confirm_seed(node: Node | None) -> int | None:
    if node is None:
        return None
    section = fields.as_section(node, "confirm")
    fields.check_keys(section, "confirm", CONFIRM.names)
    return fields.as_integer(fields.required(section, "seed", "confirm"), "confirm's seed", *SEED)


def read_looks(node: Node | None) -> tuple[int, ...]:
    """Rising numbers of episodes after which the data are read."""
    if node is None:
        return ()
    looks: list[int] = []
    for item in fields.as_items(node, "looks"):
        low = looks[-1] + 1 if looks else 1
        looks.append(fields.as_integer(item, "a look", low, EPISODES.high))
    return tuple(looks)


def read_sequential(node: Node | None) -> Sequential | None:
    """`{rule: e-process, block: 50}` or `{rule: obrien-fleming, looks: 4}`."""
    if node is None:
        return None
    section = fields.as_section(node, "sequential")
    rule = fields.required(section, "rule", "sequential")
    name = cast(SequentialRule, fields.as_choice(rule, "sequential rule", SEQUENTIAL.tables))
    (size,) = SEQUENTIAL.tables[name].names
    fields.check_keys(section, f"sequential with rule {name}", (SEQUENTIAL.by, size))
    value = fields.required(section, size, "sequential")
    if size == "block":
        return Sequential(name, block=fields.as_episodes(value, "block"))
    return Sequential(name, looks=fields.as_integer(value, "the number of looks", *LOOKS))


def read_family(node: Node | None) -> tuple[tuple[int, ...], bool]:
    """Every k that is tried, and whether one suffices: `[4, 8]`, `{all: [...]}`, `{any: [...]}`."""
    if node is None:
        return (), False
    any_k = False
    if isinstance(node, Section):
        fields.check_keys(node, "k", FAMILY.names)
        if len(node.entries) != 1:
            raise SpecError(node.position, "k has both or neither of any and all; allowed: one")
        any_k = "any" in node.entries
        node = next(iter(node.entries.values())).value
    family: list[int] = []
    for item in fields.as_items(node, "k"):
        k = fields.as_integer(item, "a k", *K)
        if k in family:
            raise SpecError(item.position, f"k {k} stands twice; once is allowed")
        family.append(k)
    if not family:
        fields.fail(node, "k", "a list of at least one k")
    return tuple(family), any_k


def read_controls(node: Node | None, conditions: tuple[str, ...]) -> dict[str, str]:
    """How control conditions are made, such as `{null: zeros}`."""
    if node is None:
        return {}
    section = fields.as_section(node, "controls")
    fields.check_keys(section, "controls", [name for name in conditions if name in _CONTROLS])
    return {
        name: _CONTROLS[name][fields.as_choice(entry.value, f"form of {name}", _CONTROLS[name])]
        for name, entry in section.entries.items()
    }
