"""What a rule is, what it finds, and where in a spec that stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from lpca.gatespec.model import Criterion, Evaluation, Gate, Position, Spec, TaskSpec
from lpca.stats.claims import (
    Band,
    BoundsComparison,
    Claim,
    Difference,
    Equivalence,
    Gain,
    Rate,
    Ratio,
)

CARRIERS = frozenset({"normal", "same_answer"})
"""Conditions whose prefix comes from a message with the episode's answer."""
Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Fault:
    """One place where a rule is broken.

    `wrong` says what is wrong, `number` the number that shows it, `instead` what to write.
    """

    position: Position
    wrong: str
    number: str
    instead: str


@dataclass(frozen=True)
class Rule:
    """A rule of the checker: its name in messages and documentation, and how it is tested."""

    name: str
    severity: Severity
    faults: Callable[[Spec], Iterator[Fault]]


def rule(name: str, severity: Severity) -> Callable[[Callable[[Spec], Iterator[Fault]]], Rule]:
    """Make a rule of the function that finds its faults."""
    return lambda faults: Rule(name, severity, faults)


def criteria(spec: Spec) -> Iterator[tuple[Gate, Criterion]]:
    """Every criterion of a spec with its gate."""
    for gate in spec.gates.values():
        for criterion in gate.criteria:
            yield gate, criterion


def deciding_criteria(spec: Spec) -> Iterator[tuple[Gate, Criterion]]:
    """Every criterion that its gate is decided by, with the gate."""
    return ((gate, one) for gate, one in criteria(spec) if one.decides)


def deciding(gate: Gate) -> list[Criterion]:
    """The criteria that a gate is decided by: all but those that only warn."""
    return [one for one in gate.criteria if one.decides]


def is_decidable(spec: Spec, gate: Gate) -> bool:
    """Whether a sound method decides each criterion of a gate and of those it requires."""
    return all(
        one.claim.method is not None
        for other in with_required(spec, gate)
        for one in deciding(other)
    )


def carried(claim: Claim) -> frozenset[str]:
    """The carriers that a claim can be satisfied by: that it says to do well, or to be as good."""
    match claim:
        case Difference() | BoundsComparison() | Ratio():
            named: tuple[str, ...] = (claim.upper,)
        case Rate(condition, relation):
            named = (condition,) if relation == ">" else ()
        case Gain(condition):
            named = (condition,)
        case Equivalence() | Band():
            named = claim.conditions
        case _:
            named = ()
    return CARRIERS & set(named)


def with_required(spec: Spec, gate: Gate) -> list[Gate]:
    """The gate and all that must pass on its episodes before it."""
    found, waiting = {gate.name: gate}, [gate]
    for one in waiting:
        waiting += [spec.gates[name] for name in one.requires if name not in found]
        found.update((name, spec.gates[name]) for name in one.requires if name not in found)
    return list(found.values())


def place(owner: Criterion | Gate, key: str) -> Position:
    """Where a key's value stands; the owner's own place in a spec not read from a file."""
    return owner.places.get(key, owner.position)


def place_in(spec: Spec, owner: TaskSpec | Evaluation, key: str) -> Position:
    """Where a key of the task or the evaluation stands; the file's beginning if unknown."""
    return owner.places.get(key, Position(spec.file, 1, 1))
