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
from typing import Any

import torch

from lpca.codec.base import bits_of
from lpca.evaluation.conditions import Setting
from lpca.evaluation.outcome import INJECTED, Outcome
from lpca.gatespec.model import MESSAGE_LATENTS, TEXTS
from lpca.stats import wilson

COSTS = ("bits", "tokens", "seconds")
"""What every condition must report beside its success."""


def condition_numbers(
    condition: str, outcomes: Sequence[Outcome], confidence: float, setting: Setting
) -> dict[str, Any]:
    """Return what evidence reports of a condition: counts, intervals and mean cost a message.

    Raises CodecError where the codec's `bits` are no finite number from 0 on.
    """
    n = len(outcomes)
    both = {
        "likelihood": sum(outcome.likelihood_success for outcome in outcomes),
        "greedy": sum(outcome.greedy_success for outcome in outcomes),
    }
    intervals = {name: wilson(count, n, confidence) for name, count in both.items()}
    return {
        "n": n,
        "near_ties": sum(outcome.near_tie for outcome in outcomes),
        **{
            name: {"successes": count, "interval": [intervals[name].low, intervals[name].high]}
            for name, count in both.items()
        },
        "bits": math.fsum(_bits(condition, outcome, setting) for outcome in outcomes) / n,
        "tokens": sum(outcome.given.stop - outcome.given.start for outcome in outcomes) / n,
        "seconds": math.fsum(outcome.seconds for outcome in outcomes) / n,
        **_mean_credit(outcomes),
    }


def _mean_credit(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Partial credit of free answers: shown beside success, never judged."""
    credits = [outcome.credit for outcome in outcomes if outcome.credit is not None]
    return {"credit": sum(credits) / len(credits)} if credits else {}


def _bits(condition: str, outcome: Outcome, setting: Setting) -> float:
    if condition == "p0":
        return 0.0
    receiver, given = setting.receiver, outcome.given
    slot = given.ids[given.start : given.stop]
    # vectors that are no tokens' are no text, wherever they stand
    if condition in TEXTS and INJECTED not in slot:
        return 8.0 * len(receiver.text(slot).removeprefix(" ").encode())
    told = bits_of(setting.coded().codec) if condition in MESSAGE_LATENTS else None
    capacity = len(slot) * receiver.d_model * torch.finfo(receiver.dtype).bits
    return float(capacity) if told is None else told


def missing_numbers(numbers: Mapping[str, Mapping[str, Any]], conditions: Sequence[str]) -> str:
    """Return the first number that a condition lacks or that is none; empty where all are there."""
    for condition in conditions:
        held = numbers.get(condition, {})
        for cost in COSTS:
            if not _is_amount(held.get(cost)):
                return f"{condition} reports no {cost}"
        for score in ("likelihood", "greedy"):
            if not _is_success(held.get(score), held.get("n")):
                return f"{condition} reports no {score} success with its interval"
    return ""


def _is_amount(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value >= 0


def _is_success(held: Any, n: Any) -> bool:
    if not isinstance(held, Mapping) or not isinstance(n, int) or n < 1:
        return False
    count, interval = held.get("successes"), held.get("interval")
    if not isinstance(count, int) or not isinstance(interval, Sequence) or len(interval) != 2:
        return False
    low, high = interval
    return _is_amount(low) and _is_amount(high) and low <= count / n <= high <= 1
