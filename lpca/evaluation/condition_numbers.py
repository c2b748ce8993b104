"""A condition's numbers, as evidence reports them: success with its interval, and its cost.

Cost is per message. `tokens` are the positions that stood in B's slot. `bits` are 8 for each byte
of the text there, without the space that joins it to the prompt; of what a channel makes of a
message the capacity of its packet as it crossed (`Channel.capacity`), of other packets what their
form holds in B's slot: an upper bound, not what they carry. `seconds` is the time in which B read
the slot and what follows it, scored and answered, a batch's in equal parts: neither what its prompt
took before the slot, which all conditions share, nor encoding.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from lpca.codec.channel import Asked, as_view
from lpca.evaluation.conditions import CONDITIONS, Setting
from lpca.evaluation.outcome import INJECTED, Outcome
from lpca.evidence.model import ConditionNumbers, PacketFacts, Successes
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
        bits=math.fsum(_bits(condition, outcomes, setting)) / n,
        tokens=sum(outcome.given.positions for outcome in outcomes) / n,
        seconds=math.fsum(outcome.seconds for outcome in outcomes) / n,
    )


def packet_views(condition: str, setting: Setting) -> list[list[Asked]]:
    """The views whose packets stand in each episode's slot, under one of `MESSAGE_LATENTS`."""
    alone = replace(setting, episodes=setting.episodes.by_slot)
    views = iter(CONDITIONS[condition]().needs(alone))
    return [[next(views) for _ in episode.by_slot] for episode in setting.episodes]


def packet_bits(condition: str, setting: Setting) -> list[list[float]]:
    """The capacity of each of those packets, by episode; they are all that n may differ among."""
    views = packet_views(condition, setting)
    bits = iter(setting.coded().capacity([one for own in views for one in own]))
    return [[next(bits) for _ in own] for own in views]


def packet_facts(setting: Setting) -> PacketFacts:
    """Return what evidence says of the packets of the episodes' own messages, as they crossed."""
    channel, receiver = setting.coded(), setting.receiver
    views = [view for own in packet_views("normal", setting) for view in map(as_view, own)]
    channel.packets(views)
    sizes = channel.sizes
    positions, bits = list(map(sizes.positions, views)), sizes.bits(views)
    tokens = [sum(len(receiver.message_ids(one)) for one in view.messages) for view in views]
    return PacketFacts(
        kind=sizes.port.kind,
        messages=len({*views}),
        distinct=sizes.distinct(views),
        positions=(min(positions), max(positions)),
        capacity=(min(bits), max(bits)),
        uncompressed=sum(map(operator.ge, positions, tokens)) / len(views),
        by_length=sizes.port.bits_of_length if len({*positions}) > 1 else None,
    )


def _bits(condition: str, outcomes: Sequence[Outcome], setting: Setting) -> list[float]:
    if condition in MESSAGE_LATENTS:
        return list(map(math.fsum, packet_bits(condition, setting)))
    return [slot_bits(condition, outcome, setting) for outcome in outcomes]


def slot_bits(condition: str, outcome: Outcome, setting: Setting) -> float:
    """Return how many bits what stood in B's slot can hold, in the form in which it stood there."""
    if condition == "p0":
        return 0.0
    receiver, given = setting.receiver, outcome.given
    packets = given.in_packets
    # vectors that are no tokens' are no text, wherever they stand
    is_injected = any(INJECTED in packet for packet in packets)
    if condition in TEXTS and not is_injected:
        return 8.0 * sum(len(receiver.message_text(packet).encode()) for packet in packets)
    if not is_injected and setting.coded().port.kind == "ids":
        return given.positions * math.log2(setting.coded().alphabet)
    width = setting.coded().width if setting.of_caches else receiver.d_model
    return float(given.positions * width * torch.finfo(receiver.dtype).bits)


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
