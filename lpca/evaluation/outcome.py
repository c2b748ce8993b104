"""What was measured on one episode under one condition, and its form as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lpca.receivers.observed_input import Given

NEAR_TIE = 1e-4
"""Below this gap (nats) between the right option and its best rival an outcome is a near-tie."""


@dataclass(frozen=True)
class Record:
    """One outcome with what it rests on.

    `scores` are the options' summed log-probabilities, `said` what B generated greedily, until it
    named an option or could no longer; `credit` how far that solves a problem whose answer is
    free, 0 to 1, None where it is not; `seconds` its part of the time its batch took.
    """

    seed: int
    answer: int
    scores: tuple[float, ...]
    said_ids: tuple[int, ...]
    said: str
    named: int | None
    given: Given
    credit: float | None = None
    seconds: float = field(default=math.nan, compare=False)

    @property
    def gap(self) -> float:
        """The right option's score minus its best rival's; positive means success."""
        rivals = [s for i, s in enumerate(self.scores) if i != self.answer]
        return self.scores[self.answer] - max(rivals)

    @property
    def likelihood_success(self) -> bool:
        """Whether the right option alone has the highest score."""
        return self.gap > 0

    @property
    def greedy_success(self) -> bool:
        """Whether greedy generation named the right option; where free, whether it solves."""
        return self.named == self.answer if self.credit is None else self.credit == 1.0

    @property
    def near_tie(self) -> bool:
        """Whether rounding could turn this outcome."""
        return abs(self.gap) < NEAR_TIE

    def success(self, score: str) -> bool:
        """Return the outcome under the spec's `score`: likelihood or greedy."""
        return self.greedy_success if score == "greedy" else self.likelihood_success

    def to_json(self) -> dict[str, Any]:
        """Return plain data; `from_json` reads it back unchanged."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        """Rebuild a record; KeyError or TypeError when the data is not one."""
        given = data["given"]
        return cls(
            seed=data["seed"],
            answer=data["answer"],
            scores=tuple(data["scores"]),
            said_ids=tuple(data["said_ids"]),
            said=data["said"],
            named=data["named"],
            given=Given(
                ids=tuple(given["ids"]),
                start=given["start"],
                stop=given["stop"],
                norms=tuple(given["norms"]),
                sha256=given["sha256"],
            ),
            credit=data["credit"],
            seconds=data["seconds"],
        )


def named_option(text: str, options: Sequence[str]) -> tuple[int | None, bool]:
    """Return the option that generated text names, and whether more text could change that.

    An option is named when the text begins with it; of two options of which one begins the other
    the longer counts.
    """
    start = text.lstrip()
    named = [i for i, option in enumerate(options) if start.startswith(option)]
    open_still = any(option.startswith(start) and option != start for option in options)
    longest = max(named, key=lambda i: len(options[i])) if named else None
    return longest, not open_still
