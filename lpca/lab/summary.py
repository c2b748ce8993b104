"""What one codec of a grid came to, read from its gate's evidence, and what that is called.

The signature says in plain words what a codec did, by the intervals of its gate's episodes. All
intervals are paired and at the spec's confidence. In this order:

- `transmits`: the gate passes.
- `partly transmits`: the gate does not pass, but `normal - shuffle` lies above 0: this message
  helps more than another, and some further claim does not hold.
- `magic prompt`: `normal - shuffle` does not lie above 0, yet training moved something: success
  under `normal` differs from `p0`, or the right answer became more likely than under `p0`, or the
  training loss fell. B reacts to having a prefix, or the objective was met without B.
- `nothing learned`: none of this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from statistics import variance
from typing import Any

from lpca.evidence.model import CodecFacts, Evidence
from lpca.gatespec.model import CODEC_LATENTS
from lpca.stats.proportions import tango
from lpca.stats.scores import mean_difference
from lpca.stats.tables import Interval, PairedTable
from lpca.stats.verdicts import Verdict

TRANSMITS, PARTLY = "transmits", "partly transmits"
MAGIC_PROMPT, NOTHING = "magic prompt", "nothing learned"
NEEDED = ("p0", "normal", "shuffle")
"""Conditions without which no signature can be read."""
PAIRS = (("normal", "p0"), ("normal", "null"), ("normal", "shuffle"))
"""Success is compared, first minus second."""
NLL_PAIRS = (("p0", "normal"), ("null", "normal"), ("shuffle", "normal"))
"""The right answer's negative log-likelihood is compared, first minus second."""
TENTH = 10
"""Training losses are compared between the first and the last 1/10 of the steps."""
FEWEST_LOSSES = 3


@dataclass(frozen=True)
class Rate:
    """Successes of one condition, or the sum of its marks, with the interval, as rates.

    `bits` and `tokens` are means a message of what stood in B's slot, as evidence has them.
    """

    successes: float
    n: int
    low: float
    high: float
    bits: float | None = None
    tokens: float | None = None

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

    A codec with a finite set of codes has a `finite` rate; another one's is `nominal`: its packets'
    capacity, an upper bound that says nothing of what is carried.
    """

    bits: float
    kind: str


@dataclass(frozen=True)
class CodecSummary:
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

    @property
    def signature(self) -> str:
        """What the codec did; empty where there is no verdict to be read."""
        if not self.readable:
            return ""
        if self.verdict is Verdict.PASS:
            return TRANSMITS
        if self.effects["normal - shuffle"].above:
            return PARTLY
        return MAGIC_PROMPT if self.moved else NOTHING

    @property
    def moved(self) -> list[str]:
        """What training moved, whatever the message: reasons with their numbers."""
        found = []
        success, likelihood = self.effects["normal - p0"], self.nll_gaps["p0 - normal"]
        if success.above or success.below:
            found.append(f"normal − p0 {_with_interval(success, 100.0)} points")
        if likelihood.above:
            found.append(
                f"the right answer {_with_interval(likelihood)} nats likelier than under p0"
            )
        if self.loss and self.loss.fell:
            found.append(f"training loss {self.loss.first:.3g} → {self.loss.last:.3g}")
        return found

    @property
    def why(self) -> str:
        """The numbers that the signature rests on; for what is not read, the reason."""
        if not self.readable:
            return "; ".join(self.reasons)
        gap = _with_interval(self.effects["normal - shuffle"], 100.0)
        parts = [f"normal − shuffle {gap} points"]
        if self.verdict is not Verdict.PASS:
            parts += [*self.moved, f"not met: {', '.join(self.not_passed)}"]
        return "; ".join(parts)

    @property
    def numbers(self) -> dict[str, float | None]:
        """What is averaged over training seeds, by name; None where it is not known."""
        return {
            **{name: rate.rate for name, rate in self.conditions.items()},
            **{name: effect.mean for name, effect in self.effects.items()},
            **{f"nll {name}": gap.mean for name, gap in self.nll_gaps.items()},
            "cosine": self.cosine,
            "norm ratio": self.norm_ratio,
            "bits": self.bits.bits if self.bits else None,
            "training seconds": self.seconds.training if self.seconds else None,
            "evaluation seconds": self.seconds.evaluation if self.seconds else None,
        }


def not_measured(reason: str) -> CodecSummary:
    """What could not be measured, and why."""
    return CodecSummary(Verdict.NOT_MEASURED, (reason,))


def summary_of(evidence: Evidence) -> CodecSummary:
    """Return what a codec came to; of an INVALID or NOT MEASURED gate only why it is so."""
    if evidence.verdict in (Verdict.INVALID, Verdict.NOT_MEASURED):
        return CodecSummary(evidence.verdict, evidence.reasons)
    score, confidence, codec = evidence.score, evidence.confidence, evidence.codec
    similar, rates = evidence.similarity, {}
    success: dict[str, list[float]] = {}
    # of an episode that is read several times the share of its successes is its mark
    difference = _gap if score == "graded" or evidence.repeats else _difference
    nll: dict[str, list[float]] = {}
    # a grid's gate has a codec, whose prefixes are compared
    assert codec is not None
    assert similar is not None
    for name, numbers in evidence.conditions.items():
        counted = numbers.under(score)
        interval = counted.interval
        cost = numbers.bits, numbers.tokens
        rates[name] = Rate(counted.successes, numbers.n, interval.low, interval.high, *cost)
        answers = [episode.outcomes[name].readings for episode in evidence.episodes]
        success[name] = [sum(one.success(score) for one in own) / len(own) for own in answers]
        # in nats, summed over the right answer's tokens
        nll[name] = [-episode.outcomes[name].scores[episode.right] for episode in evidence.episodes]
    return CodecSummary(
        evidence.verdict,
        evidence.reasons,
        confidence,
        tuple(
            result.id for result in evidence.result.deciding if result.verdict is not Verdict.PASS
        ),
        rates,
        {
            f"{first} - {second}": difference(success[first], success[second], confidence)
            for first, second in PAIRS
            if {first, second} <= success.keys()
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
        _loss([step.loss for step in codec.history], codec.recipe or {}),
        codec.origin,
        _seconds(evidence, codec),
    )


def _difference(first: Sequence[float], second: Sequence[float], confidence: float) -> Effect:
    table = PairedTable.from_outcomes(first, second)
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
    if evidence.packets is not None and (bits := evidence.conditions["normal"].bits) is not None:
        return Bits(bits, "nominal")
    per_vector = evidence.receiver.bits_per_vector
    if per_vector is None or evidence.k is None:
        return None
    return Bits(evidence.k * per_vector, "nominal")


def _loss(losses: Sequence[float], recipe: Mapping[str, Any]) -> Loss | None:
    """Of the first stage whose loss fell, else of the last: stages minimise different things."""
    stops = list(accumulate(stage["steps"] for stage in recipe.get("curriculum", ())))
    starts = [0, *stops[:-1]]
    stages = [losses[a:b] for a, b in zip(starts, stops, strict=True)] if stops else [losses]
    found = [_stage_loss(own) for own in stages if own]
    return next((loss for loss in found if loss.fell), found[-1] if found else None)


def _stage_loss(losses: Sequence[float]) -> Loss:
    count = max(len(losses) // TENTH, min(FEWEST_LOSSES, len(losses) // 2), 1)
    first, last = losses[:count], losses[-count:]
    means = sum(first) / count, sum(last) / count
    if count < FEWEST_LOSSES:
        return Loss(*means, None)
    error = math.sqrt((variance(first) + variance(last)) / count)
    return Loss(*means, means[0] - means[1] > 2.0 * error)


def _seconds(evidence: Evidence, codec: CodecFacts) -> Seconds:
    trained = codec.trained or {}
    steps, resumed = len(codec.history), trained.get("resumed_at_step", 0)
    training = trained.get("seconds")
    if training is not None and 0 < resumed < steps:
        training *= steps / (steps - resumed)
    kept = (evidence.cache or {}).items()
    own = [block for name, blocks in kept if name in CODEC_LATENTS for block in blocks]
    was_computed = not any(block.cached for block in own)
    seconds = evidence.seconds["encode"] + evidence.seconds["evaluate"] if was_computed else None
    return Seconds(training, resumed, seconds)


def _with_interval(effect: Effect, unit: float = 1.0) -> str:
    """A difference with its interval, in a unit."""
    low, high = (
        f"{sign}∞" if bound is None else _signed(bound * unit)
        for bound, sign in ((effect.low, "−"), (effect.high, "+"))
    )
    return f"{_signed(effect.mean * unit)} [{low}, {high}]"


def _signed(value: float) -> str:
    digits = 1 if abs(value) >= 10.0 else 2
    return f"{value:+.{digits}f}".replace("-", "−")
