"""The `gates:` section of a spec file."""

from __future__ import annotations

from typing import cast, get_args

from lpca.gatespec import fields
from lpca.gatespec.document import Node, Scalar, Section, SpecError
from lpca.gatespec.load_criteria import read_criteria
from lpca.gatespec.load_design import (
    read_controls,
    read_family,
    read_looks,
    read_sequential,
    read_sweep,
    read_where,
)
from lpca.gatespec.model import CONDITIONS, Answers, Gate
from lpca.gatespec.schema_model import ANSWERS, CORRELATION, GATE, MAX_GATES, RATE


def read_gates(node: Node) -> dict[str, Gate]:
    """Read every gate, in the order of the file.

    Raises:
        SpecError: a gate, a criterion or a claim is not as it must be.
    """
    entries = fields.as_entries(node, "gates")
    if len(entries) > MAX_GATES:
        place = entries[MAX_GATES].key.position
        raise SpecError(place, f"{len(entries)} gates; allowed: at most {MAX_GATES}")
    names = [fields.as_identifier(entry.key, "a gate's name") for entry in entries]
    gates = {
        name: _gate(name, entry.key, fields.as_section(entry.value, f"gate {name}"), names)
        for name, entry in zip(names, entries, strict=True)
    }
    for gate in gates.values():
        _refuse_cycle(gate, gates)
    return gates


def _refuse_cycle(gate: Gate, gates: dict[str, Gate]) -> None:
    waiting, reached = list(gate.requires), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(gates[name].requires)
    if gate.name in reached:
        raise SpecError(
            gate.position,
            f"gate {gate.name!r} requires itself, directly or through another; "
            "a gate requires gates decided before it",
        )


def _gate(name: str, key: Scalar, section: Section, names: list[str]) -> Gate:
    what = f"gate {name}"
    fields.check_keys(section, what, GATE.names)
    conditions = _conditions(section, what)
    expect = fields.optional(section, "expect")
    rates, correlation = _expect(expect, conditions)
    others = [other for other in names if other != name]
    answers = fields.optional(section, "answers")
    title = fields.optional(section, "title")
    n = fields.optional(section, "n")
    family, any_k = read_family(fields.optional(section, "k"))
    sequential = read_sequential(fields.optional(section, "sequential"))
    if any_k and sequential:
        raise SpecError(
            section.entries["sequential"].value.position,
            f"{what} stops early and takes any of several k, whose p-values need a fixed n; "
            "allowed: sequential, or k: {any: ...}",
        )
    return Gate(
        name=name,
        title=fields.as_text(title, "the title") if title else name,
        answers=_answers(answers) if answers else ANSWERS.default,
        requires=_gate_names(section, "requires", others),
        beside=_gate_names(section, "beside", others),
        conditions=conditions,
        criteria=read_criteria(section, what, conditions),
        expect=rates,
        position=key.position,
        correlation=correlation,
        n=fields.as_episodes(n, "n") if n else None,
        looks=read_looks(fields.optional(section, "looks")),
        sequential=sequential,
        where=read_where(fields.optional(section, "where"), conditions),
        best_of=read_sweep(fields.optional(section, "best_of")),
        family=family,
        any_k=any_k,
        controls=read_controls(fields.optional(section, "controls"), conditions),
        reported=_reported(fields.optional(section, "reported"), conditions),
        places=fields.places(section),
    )


def _conditions(section: Section, what: str) -> tuple[str, ...]:
    node = fields.required(section, "conditions", what)
    conditions = fields.as_names(node, "condition", CONDITIONS)
    if not conditions:
        raise SpecError(node.position, f"{what} runs no condition; name at least one")
    return conditions


def _reported(node: Node | None, conditions: tuple[str, ...]) -> tuple[str, ...]:
    return () if node is None else fields.as_names(node, "reported condition", conditions)


def _answers(node: Node) -> Answers:
    return cast(Answers, fields.as_choice(node, "answers", get_args(Answers)))


def _gate_names(section: Section, key: str, others: list[str]) -> tuple[str, ...]:
    node = fields.optional(section, key)
    return () if node is None else fields.as_names(node, f"gate in {key}", others)


def _expect(node: Node | None, conditions: tuple[str, ...]) -> tuple[dict[str, float], float]:
    if node is None:
        return {}, CORRELATION.default
    section = fields.as_section(node, "expect")
    fields.check_keys(section, "expect", (*conditions, CORRELATION.name))
    rates = {
        name: fields.as_number(entry.value, f"the expected rate of {name}", *RATE)
        for name, entry in section.entries.items()
    }
    return rates, rates.pop(CORRELATION.name, CORRELATION.default)
