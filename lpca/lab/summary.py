"""What one codec of a grid came to, read from its gate's evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from lpca.evidence import CodecFacts, ConditionNumbers, Evidence, KeptEpisode
from lpca.gatespec.model import CODEC_LATENTS, Score
from lpca.stats import Interval, PairedTable, Verdict, mean_difference, tango

PAIRS = (("normal", "p0"), ("normal", "null"), ("normal", "shuffle"))
"""Success is compared, first minus second."""
NLL_PAIRS = (("p0", "normal"), ("null", "normal"), ("shuffle", "normal"))
"""The right answer's negative log-likelihood is compared, first minus second."""
TENTH = 10
"""Training losses are compared between the first and the last 1/10 of the steps."""
FEWEST_LOSSES = 3


@dataclass(frozen=True)
class Rate:
    """Successes of one condition with their Wilson interval, as rates."""

    successes: int
    n: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        """Share of episodes that succeeded."""
        return self.successes / self.n


@dataclass(frozen=True)
class Effect:
    """A mean paired difference over the episodes, with its interval; None where it has no end."""

    mean: float
    low: float | None
    high: float | None

    @property
    def above(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low is not None and self.low > 0.0

    @property
    def below(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.high is not None and self.high < 0.0


@dataclass(frozen=True)
class Loss:
    """Mean training loss over the first and the last tenth of a stage's steps, in its own unit.

    `fell` is whether the last lies below the first by more than two standard errors of their
    difference (Welch), None with fewer than three losses in a tenth: then it is not known.
    """

    first: float
    last: float
    fell: bool | None


@dataclass(frozen=True)
class Seconds:
    """How long training and evaluating took.

    `training` is scaled up from the steps since a resumption where there was one, which
    `resumed_at` then names. `evaluation` is that of the codec's own conditions (CODEC_LATENTS),
    the encoding of messages included; None where a part of them came from the cache.
    """

    training: float | None
    resumed_at: int
    evaluation: float | None


@dataclass(frozen=True)
class Bits:
    """How much a prefix may hold.

    A codec with a finite set of codes has a `finite` rate; another one's is `nominal`: k *
    d_model * bits of a number, an upper bound that says nothing of what is carried.
    """

    bits: float
    kind: str


@dataclass(frozen=True)
class Reading:
    """One codec under the gate. Without a verdict that may be read the numbers are absent.

    `effects` are of success ("normal - p0"), `nll_gaps` of the right answer's negative
    log-likelihood ("null - normal") in nats, `nll` its mean by condition. `cosine` is the mean
    cosine between the prefixes of different messages of a batch, `norm_ratio` a latent's mean norm
    relative to the receiver's embedding table.
    """

    verdict: Verdict
    reasons: tuple[str, ...] = ()
    confidence: float | None = None
    not_passed: tuple[str, ...] = ()
    conditions: Mapping[str, Rate] = field(default_factory=dict)
    effects: Mapping[str, Effect] = field(default_factory=dict)
    nll: Mapping[str, float] = field(default_factory=dict)
    nll_gaps: Mapping[str, Effect] = field(default_factory=dict)
    cosine: float | None = None
    norm_ratio: float | None = None
    bits: Bits | None = None
    loss: Loss | None = None
    origin: str = ""
    seconds: Seconds | None = None

    @property
    def readable(self) -> bool:
        """Whether it has numbers."""
        return bool(self.conditions)


def not_measured(reason: str) -> Reading:
    """What could not be measured, and why."""
    return Reading(Verdict.NOT_MEASURED, (reason,))


def read(evidence: Evidence) -> Reading:
    """Return a gate's reading; of an INVALID or NOT MEASURED gate only why it is so."""
    verdict, reasons = evidence.verdict, evidence.reasons
    if verdict in (Verdict.INVALID, Verdict.NOT_MEASURED):
        return Reading(verdict, reasons)
    confidence, score, episodes = evidence.confidence, evidence.score, evidence.episodes
    codec, similar = evidence.codec, evidence.similarity
    assert codec is not None
    assert similar is not None
    nll = {name: _nll(episodes, name) for name in evidence.conditions}
    return Reading(
        verdict,
        reasons,
        confidence,
        tuple(one.id for one in evidence.criteria if one.verdict is not Verdict.PASS),
        {name: _rate(one, score) for name, one in evidence.conditions.items()},
        {
            f"{first} - {second}": _difference(episodes, first, second, score, confidence)
            for first, second in PAIRS
            if {first, second} <= nll.keys()
        },
        {name: sum(values) / len(values) for name, values in nll.items()},
        {
            f"{first} - {second}": _gap(nll[first], nll[second], confidence)
            for first, second in NLL_PAIRS
            if {first, second} <= nll.keys()
        },
        similar.between,
        similar.norm_ratio,
        _bits(evidence, codec),
        _loss([one.loss for one in codec.history], codec.recipe or {}),
        codec.origin,
        _seconds(evidence, codec),
    )


def _rate(condition: ConditionNumbers, score: Score) -> Rate:
    counted = condition.under(score)
    return Rate(counted.successes, condition.n, counted.interval.low, counted.interval.high)


def _nll(episodes: Sequence[KeptEpisode], condition: str) -> list[float]:
    """The right answer's negative log-likelihood by episode, in nats, summed over its tokens."""
    return [-one.outcomes[condition].scores[one.right] for one in episodes]


def _difference(
    episodes: Sequence[KeptEpisode], first: str, second: str, score: Score, confidence: float
) -> Effect:
    one, two = ([e.outcomes[name].success(score) for e in episodes] for name in (first, second))
    table = PairedTable.from_outcomes(one, two)
    return _effect(table.difference, tango(table, confidence))


def _gap(first: Sequence[float], second: Sequence[float], confidence: float) -> Effect:
    found = mean_difference([a - b for a, b in zip(first, second, strict=True)], confidence)
    return _effect(found.mean, found)


def _effect(mean: float, interval: Interval) -> Effect:
    low, high = (value if math.isfinite(value) else None for value in (interval.low, interval.high))
    return Effect(mean, low, high)


def _bits(evidence: Evidence, codec: CodecFacts) -> Bits | None:
    if codec.bits is not None:
        return Bits(codec.bits, "finite")
    per_vector = evidence.receiver.bits_per_vector
    if per_vector is None or evidence.k is None:
        return None
    return Bits(evidence.k * per_vector, "nominal")


def _loss(losses: Sequence[float], recipe: Mapping[str, Any]) -> Loss | None:
    """Of the first stage whose loss fell, else of the last: stages minimise different things."""
    stops = list(accumulate(one["steps"] for one in recipe.get("curriculum", ())))
    starts = [0, *stops[:-1]]
    stages = [losses[a:b] for a, b in zip(starts, stops, strict=True)] if stops else [losses]
    found = [_stage_loss(own) for own in stages if own]
    return next((one for one in found if one.fell), found[-1] if found else None)


def _stage_loss(losses: Sequence[float]) -> Loss:
    count = max(len(losses) // TENTH, min(FEWEST_LOSSES, len(losses) // 2), 1)
    first, last = losses[:count], losses[-count:]
    means = sum(first) / count, sum(last) / count
    if count < FEWEST_LOSSES:
        return Loss(*means, None)
    error = math.sqrt((_variance(first) + _variance(last)) / count)
    return Loss(*means, means[0] - means[1] > 2.0 * error)


def _variance(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _seconds(evidence: Evidence, codec: CodecFacts) -> Seconds:
    trained = codec.trained or {}
    steps, resumed = len(codec.history), trained.get("resumed_at_step", 0)
    training = trained.get("seconds")
    if training is not None and 0 < resumed < steps:
        training *= steps / (steps - resumed)
    kept = (evidence.cache or {}).items()
    own = [block for name, keys in kept if name in CODEC_LATENTS for block in keys]
    seconds = evidence.seconds
    fresh = not any(block.cached for block in own)
    evaluation = seconds["encode"] + seconds["evaluate"] if fresh else None
    return Seconds(training, resumed, evaluation)
