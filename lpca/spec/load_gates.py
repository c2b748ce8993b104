"""The `gates:` section of a spec file."""

from __future__ import annotations

from typing import cast

from lpca.spec import fields
from lpca.spec.claims import ClaimError, parse_claim
from lpca.spec.document import Node, Scalar, Section, SpecError
from lpca.spec.model import CONDITIONS, Answers, Claim, Criterion, Gate

_GATE_KEYS = ("title", "answers", "requires", "beside", "conditions", "expect", "criteria")
_CRITERION_KEYS = ("id", "claim", "why", "expect")
_ANSWERS = ("seen", "unseen", "all")


def read_gates(node: Node) -> dict[str, Gate]:
    """Read every gate, in the order of the file.

    Raises:
        SpecError: a gate, a criterion or a claim is not as it must be.
    """
    entries = fields.as_entries(node, "gates")
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
    fields.check_keys(section, what, _GATE_KEYS)
    conditions = fields.as_names(
        fields.required(section, "conditions", what), "condition", CONDITIONS
    )
    if not conditions:
        raise SpecError(
            fields.place(section, "conditions"), f"{what} runs no condition; name at least one"
        )
    expect = _rates(fields.optional(section, "expect"), conditions)
    others = [other for other in names if other != name]
    answers = fields.optional(section, "answers")
    title = fields.optional(section, "title")
    return Gate(
        name=name,
        title=fields.as_text(title, "the title") if title else name,
        answers=cast(Answers, fields.as_choice(answers, "answers", _ANSWERS)) if answers else "all",
        requires=_gate_names(section, "requires", others),
        beside=_gate_names(section, "beside", others),
        conditions=conditions,
        criteria=_criteria(section, what, conditions),
        expect=expect,
        position=key.position,
    )


def _gate_names(section: Section, key: str, others: list[str]) -> tuple[str, ...]:
    node = fields.optional(section, key)
    return () if node is None else fields.as_names(node, f"gate in {key}", others)


def _rates(node: Node | None, conditions: tuple[str, ...]) -> dict[str, float]:
    if node is None:
        return {}
    section = fields.as_section(node, "expect")
    fields.check_keys(section, "expect", conditions)
    return {
        name: fields.as_number(entry.value, f"the expected rate of {name}", 0.0, 1.0)
        for name, entry in section.entries.items()
    }


def _criteria(section: Section, what: str, conditions: tuple[str, ...]) -> tuple[Criterion, ...]:
    node = fields.required(section, "criteria", what)
    items = fields.as_items(node, f"the criteria of {what}")
    if not items:
        raise SpecError(node.position, f"{what} has no criterion; at least one is due")
    return tuple(_criterion(fields.as_section(item, "a criterion"), conditions) for item in items)


def _criterion(section: Section, conditions: tuple[str, ...]) -> Criterion:
    fields.check_keys(section, "a criterion", _CRITERION_KEYS)
    identifier = fields.as_identifier(
        fields.required(section, "id", "a criterion"), "a criterion's id"
    )
    what = f"criterion {identifier}"
    text = fields.as_scalar(fields.required(section, "claim", what), "the claim", "a claim")
    why = fields.optional(section, "why")
    return Criterion(
        id=identifier,
        claim=_claim(text, conditions),
        text=text.text,
        why=fields.as_text(why, "why") if why else "",
        position=text.position,
        expect_discordant=_discordant(fields.optional(section, "expect")),
    )


def _claim(scalar: Scalar, conditions: tuple[str, ...]) -> Claim:
    try:
        return parse_claim(scalar.text, conditions)
    except ClaimError as error:
        raise SpecError(scalar.at(error.offset), str(error)) from None


def _discordant(node: Node | None) -> float | None:
    if node is None:
        return None
    section = fields.as_section(node, "a criterion's expect")
    fields.check_keys(section, "a criterion's expect", ("discordant",))
    value = fields.required(section, "discordant", "a criterion's expect")
    return fields.as_number(value, "discordant", 0.0, 1.0)
