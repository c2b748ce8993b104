"""The typed spec: what `gate_specs.yaml` says, with the place where it says it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Relation = Literal[">", "<"]
Answers = Literal["seen", "unseen", "all"]
Score = Literal["likelihood", "greedy"]

CONDITIONS: tuple[str, ...] = ("p0", "p1", "embed", "normal", "null", "random", "shuffle")
"""Every condition a spec may name. `lpca.conditions` decides what each one gives B."""


@dataclass(frozen=True)
class Position:
    """A place in a spec file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Difference:
    """`first - second > margin` or `first - second < margin`; paired, one-sided."""

    first: str
    second: str
    relation: Relation
    margin: float


@dataclass(frozen=True)
class Equivalence:
    """`abs(first - second) < margin`; paired, two one-sided tests."""

    first: str
    second: str
    margin: float


@dataclass(frozen=True)
class Band:
    """`low < condition < high`: a success rate inside a band; two one-sided claims."""

    condition: str
    low: float
    high: float


@dataclass(frozen=True)
class Rate:
    """`condition > bound` or `condition < bound`: one success rate; one-sided."""

    condition: str
    relation: Relation
    bound: float


@dataclass(frozen=True)
class Gain:
    """`condition - f * text - (1 - f) * base > 0`: at least the fraction f of the gain of text."""

    condition: str
    text: str
    base: str
    fraction: float


@dataclass(frozen=True)
class Ratio:
    """`first / second > ratio` or `<`; paired."""

    first: str
    second: str
    relation: Relation
    ratio: float


@dataclass(frozen=True)
class BoundsComparison:
    """`low(first) > high(second)`: two separate intervals compared. Read so it can be refused."""

    first: str
    second: str
    relation: Relation
    margin: float = 0.0


@dataclass(frozen=True)
class Approximate:
    """`first ~= second`: equality without a margin. Read so it can be refused."""

    first: str
    second: str


Claim = Difference | Equivalence | Band | Rate | Gain | Ratio | BoundsComparison | Approximate


@dataclass(frozen=True)
class Criterion:
    """One claim about conditions; `position` is that of its `claim:` value."""

    id: str
    claim: Claim
    text: str
    why: str
    position: Position
    method: str | None = None
    expect_discordant: float | None = None


@dataclass(frozen=True)
class Gate:
    """Criteria that must all hold, and the conditions their episodes are run under."""

    name: str
    title: str
    answers: Answers
    requires: tuple[str, ...]
    beside: tuple[str, ...]
    conditions: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    expect: dict[str, float]
    position: Position


@dataclass(frozen=True)
class TaskSpec:
    """Which task, and the settings handed to it."""

    name: str
    seed: int
    settings: dict[str, int | float | str | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """How many episodes, which success counts, and at which confidence."""

    n: int
    score: Score
    confidence: float
    equivalence_confidence: float


@dataclass(frozen=True)
class Spec:
    """A whole spec file."""

    file: str
    task: TaskSpec
    evaluation: Evaluation
    gates: dict[str, Gate]
