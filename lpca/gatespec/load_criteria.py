"""The `criteria:` of a gate."""

from __future__ import annotations

from lpca.gatespec import fields
from lpca.gatespec.claims import ClaimError, parse_claim
from lpca.gatespec.document import Node, Scalar, Section, SpecError
from lpca.gatespec.load_design import read_sweep, read_where
from lpca.gatespec.methods import INDEPENDENT, NO_METHOD, SOUND, method_of, normal_form
from lpca.gatespec.model import Criterion
from lpca.gatespec.schema_model import CRITERION, CRITERION_EXPECT, RATE
from lpca.stats import Claim


def read_criteria(
    section: Section, what: str, conditions: tuple[str, ...]
) -> tuple[Criterion, ...]:
    """Read every criterion of a gate that runs these conditions, in the order of the file.

    Raises:
        SpecError: a criterion or its claim is not as it must be.
    """
    node = fields.required(section, "criteria", what)
    items = fields.as_items(node, f"the criteria of {what}")
    if not items:
        raise SpecError(node.position, f"{what} has no criterion; at least one is due")
    return tuple(_criterion(fields.as_section(item, "a criterion"), conditions) for item in items)


def _criterion(section: Section, conditions: tuple[str, ...]) -> Criterion:
    fields.check_keys(section, "a criterion", CRITERION.names)
    identifier = fields.as_identifier(
        fields.required(section, "id", "a criterion"), "a criterion's id"
    )
    what = f"criterion {identifier}"
    text = fields.as_scalar(fields.required(section, "claim", what), "the claim", "a claim")
    claim = _claim(text, conditions)
    why = fields.optional(section, "why")
    return Criterion(
        id=identifier,
        claim=claim,
        text=text.text,
        why=fields.as_text(why, "why") if why else "",
        position=text.position,
        method=_method(fields.optional(section, "method"), claim),
        expect_discordant=_discordant(fields.optional(section, "expect")),
        confidence=fields.as_confidence(fields.optional(section, "confidence")),
        where=read_where(fields.optional(section, "where"), conditions),
        best_of=read_sweep(fields.optional(section, "best_of")),
        places=fields.places(section),
    )


def _claim(scalar: Scalar, conditions: tuple[str, ...]) -> Claim:
    try:
        return parse_claim(scalar.text, conditions)
    except ClaimError as error:
        raise SpecError(scalar.at(error.offset), str(error)) from None


def _method(node: Node | None, claim: Claim) -> str | None:
    if node is None:
        return None
    own = method_of(claim)
    scalar = fields.as_scalar(node, "method", "the name of a method")
    name = normal_form(scalar.text)
    if name not in SOUND and name not in INDEPENDENT | NO_METHOD:
        fields.fail(scalar, "the method", f"{own}" if own else "none: this claim has no method")
    if name in SOUND and name not in (own, "wilson"):
        raise SpecError(
            scalar.position,
            f"{name} does not decide this claim; allowed: {own or 'a claim with a margin'}",
        )
    return name


def _discordant(node: Node | None) -> float | None:
    if node is None:
        return None
    section = fields.as_section(node, "a criterion's expect")
    fields.check_keys(section, "a criterion's expect", CRITERION_EXPECT.names)
    value = fields.required(section, "discordant", "a criterion's expect")
    return fields.as_number(value, "discordant", *RATE)
