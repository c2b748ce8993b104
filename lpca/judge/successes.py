"""What a success is, and how many there are: of outcomes as measured and as evidence keeps them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from lpca.evidence.model import Successes
from lpca.gatespec.model import Score
from lpca.stats.assessment import assess
from lpca.stats.claims import Rate
from lpca.stats.tables import Interval

if TYPE_CHECKING:
    from lpca.stats.clusters import Clusters


class Succeeds(Protocol):
    """One episode's outcome under one condition."""

    @property
    def readings(self) -> Sequence[Succeeds]:
        """One for each answer that was sampled; itself where there is one."""

    @property
    def credit(self) -> float | None:
        """How far it solves a problem whose answer is free; None where an option is due."""

    def success(self, score: Score) -> float:
        """Whether it succeeded as a spec's `score` counts."""


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


def counted(
    condition: str,
    outcomes: Sequence[Succeeds],
    confidence: float,
    score: Score = "likelihood",
    clusters: Clusters | None = None,
) -> dict[str, Any]:
    """Return those numbers of a condition that follow from its outcomes' successes alone.

    Args:
        condition: its name.
        outcomes: of every episode, as measured or as evidence keeps them.
        confidence: that of the intervals.
        score: which success the criteria read.
        clusters: the groups that the intervals are over, of every answer; None where each stands
            for itself.

    Returns:
        By field of `ConditionNumbers`.
    """
    answers = [one for outcome in outcomes for one in outcome.readings]

    @lru_cache(maxsize=2)
    def interval(found: tuple[float, ...]) -> Interval:
        # mostly B says what it finds likeliest: the same successes by either score
        return rate_interval(condition, found, confidence, clusters)

    def successes(score: Score) -> Successes:
        found = tuple(one.success(score) for one in answers)
        return Successes(int(sum(found)), interval(found))

    credits = [one.credit for one in answers if one.credit is not None]
    return {
        "n": len(answers),
        "likelihood": successes("likelihood"),
        "greedy": successes("greedy"),
        "credit": sum(credits) / len(credits) if credits else None,
        "marks": Successes(
            math.fsum(credits), rate_interval(condition, credits, confidence, clusters)
        )
        if score == "graded"
        else None,
    }


def rate_interval(
    condition: str, outcomes: Sequence[float], confidence: float, clusters: Clusters | None
) -> Interval:
    """The interval of a condition's rate, or of the mean of its marks, as a claim on it has it."""
    # the bound decides nothing here: the interval does not depend on it
    claim = Rate(condition, ">", 0.5)
    return assess(claim, {condition: outcomes}, confidence, clusters=clusters).interval
