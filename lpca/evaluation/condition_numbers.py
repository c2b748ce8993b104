"""A condition's numbers, as evidence reports them: success with its interval, and its cost.

Cost is per message. `tokens` are the positions that stood in B's slot. `bits` are 8 for each byte
of the text there, without the space that joins it to the prompt; of latents what their codec says
it needs (an attribute `bits`, as of one with a codebook), else the nominal capacity of the numbers
injected, k x d_model x bits of their type: an upper bound, not what they carry. `seconds` is the
time in which B read the slot and what follows it, scored and answered, a batch's in equal parts:
neither what its prompt took before the slot, which all conditions share, nor encoding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from lpca.codec.base import bits_of
from lpca.evaluation.conditions import Setting
from lpca.evaluation.outcome import INJECTED, Outcome
from lpca.evidence.model import ConditionNumbers, Successes
from lpca.gatespec.model import MESSAGE_LATENTS, TEXTS, Score
from lpca.judge.successes import counted

if TYPE_CHECKING:
    from lpca.stats.clusters import Clusters

SCORES: tuple[Score, ...] = ("likelihood", "greedy")
COSTS = ("bits", "tokens", "seconds")
"""What every condition must report beside its success."""


def condition_numbers(
    condition: str,
    outcomes: Sequence[Outcome],
    confidence: float,
    setting: Setting,
    score: Score = "likelihood",
    clusters: Clusters | None = None,
) -> ConditionNumbers:
    """Return what evidence reports of a condition: counts, intervals and mean cost a message.

    Args:
        condition: its name.
        outcomes: of every episode, under this condition.
        confidence: that of the intervals of success rates.
        setting: what the slots were made from.
        score: which success the criteria read; the interval of graded ones is over marks.
        clusters: the groups that intervals are over; None where each episode stands for itself.

    Raises:
        CodecError: the codec's `bits` are no finite number from 0 on.
    """
    n = len(outcomes)
    return ConditionNumbers(
        **counted(condition, outcomes, confidence, score, clusters),
        near_ties=sum(outcome.near_tie for outcome in outcomes),
        bits=math.fsum(_bits(condition, outcome, setting) for outcome in outcomes) / n,
        tokens=sum(outcome.given.positions for outcome in outcomes) / n,
        seconds=math.fsum(outcome.seconds for outcome in outcomes) / n,
    )


def _bits(condition: str, outcome: Outcome, setting: Setting) -> float:
    if condition == "p0":
        return 0.0
    receiver, given = setting.receiver, outcome.given
    packets = given.in_packets
    # vectors that are no tokens' are no text, wherever they stand
    if condition in TEXTS and not any(INJECTED in packet for packet in packets):
        return 8.0 * sum(len(receiver.message_text(packet).encode()) for packet in packets)
    told = bits_of(setting.coded().codec) if condition in MESSAGE_LATENTS else None
    capacity = given.positions * receiver.d_model * torch.finfo(receiver.dtype).bits
    return float(capacity) if told is None else told * len(packets)


def missing_numbers(numbers: Mapping[str, ConditionNumbers], conditions: Sequence[str]) -> str:
    """Return the first number that a condition lacks or that is none; empty where all are there."""
    for condition in conditions:
        held = numbers.get(condition)
        for cost in COSTS:
            if not _is_amount(getattr(held, cost, None)):
                return f"{condition} reports no {cost}"
        for score in SCORES:
            if held is None or not _is_success(held.under(score), held.n):
                return f"{condition} reports no {score} success with its interval"
    return ""


def _is_amount(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value >= 0


def _is_success(held: Successes, n: int) -> bool:
    low, high = held.interval.low, held.interval.high
    return n > 0 and _is_amount(low) and low <= held.successes / n <= high <= 1
