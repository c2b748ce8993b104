"""Outcomes of episodes under conditions: the one shape that gates are decided from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from lpca.base.errors import UserError
from lpca.stats.tables import binary

SHOWN = 5
"""How many offending episodes a message names."""
LONGEST = 80
"""How many characters of a value a message shows."""


class OutcomeError(UserError, ValueError):
    """Outcomes from which nothing may be decided; its text names the episodes at fault."""


@dataclass(frozen=True)
class OutcomeTable:
    """Success of every episode under every condition.

    `outcomes[condition][i]` is the outcome of episode `seeds[i]`; `answers[i]`, where given, is
    its stratum (`seen` or `unseen`).

    Raises:
        OutcomeError: no episode, a duplicated one, a condition with more or fewer outcomes than
            there are episodes, or an outcome that is neither true nor false (1 or 0).
    """

    seeds: tuple[int | str, ...]
    outcomes: Mapping[str, tuple[bool, ...]]
    answers: tuple[str, ...] | None = field(default=None)

    def __post_init__(self) -> None:
        if not self.seeds or not self.outcomes:
            raise OutcomeError("there is no outcome: no episode or no condition is given")
        if len(set(self.seeds)) < self.n:
            repeated = [seed for seed, count in Counter(self.seeds).items() if count > 1]
            raise OutcomeError(f"episodes stand twice: {shown(repeated)}; one row each is allowed")
        if self.answers is not None and len(self.answers) != self.n:
            raise OutcomeError(f"{len(self.answers)} strata for {self.n} episodes")
        for condition, values in self.outcomes.items():
            self._check(condition, values)

    def _check(self, condition: str, values: tuple[bool, ...]) -> None:
        if len(values) != self.n:
            raise OutcomeError(
                f"{condition} has {len(values)} outcomes for {self.n} episodes; "
                "every episode needs one under every condition"
            )
        try:
            binary(values)
        except ValueError:
            wrong = [
                seed for seed, value in zip(self.seeds, values, strict=True) if value not in (0, 1)
            ]
            raise OutcomeError(
                f"{condition} is neither true nor false in episodes {shown(wrong)}; "
                "allowed: true, false, 1, 0"
            ) from None

    @cached_property
    def packed(self) -> Mapping[str, bytes]:
        """The outcomes as bytes 0 and 1, which are counted fast."""
        return {condition: binary(values) for condition, values in self.outcomes.items()}

    @property
    def n(self) -> int:
        """Number of episodes."""
        return len(self.seeds)

    def rate(self, condition: str) -> float:
        """Share of episodes that succeed under a condition."""
        return int.from_bytes(self.packed[condition], "big").bit_count() / self.n

    def head(self, n: int) -> OutcomeTable:
        """The first n episodes."""
        return self._at(range(min(n, self.n)))

    def stratum(self, answers: str) -> OutcomeTable:
        """The episodes of one stratum; all of them for `all`.

        Raises:
            OutcomeError: the strata are not given, or none of the episodes is in this one.
        """
        if answers == "all":
            return self
        if self.answers is None:
            raise OutcomeError(f"the episodes' strata are not given; {answers!r} is asked for")
        kept = [index for index, value in enumerate(self.answers) if value == answers]
        if not kept:
            raise OutcomeError(f"no episode has answers {answers!r}")
        return self._at(kept)

    def _at(self, kept: Sequence[int]) -> OutcomeTable:
        return OutcomeTable(
            tuple(self.seeds[index] for index in kept),
            {name: tuple(values[i] for i in kept) for name, values in self.outcomes.items()},
            None if self.answers is None else tuple(self.answers[index] for index in kept),
        )


def printable(text: str) -> str:
    """Somebody's text on one line, without what would steer a terminal or cannot be encoded."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def clipped(text: str) -> str:
    """Somebody's text as part of a message: its beginning, printable."""
    return printable(text if len(text) <= LONGEST else text[: LONGEST - 3] + "...")


def shown(values: Sequence[int | str]) -> str:
    """The first few of many values, for a message."""
    head = ", ".join(clipped(str(value)) for value in values[:SHOWN])
    return f"{head} and {len(values) - SHOWN} more" if len(values) > SHOWN else head
