"""What a gate's evidence says, in the form that pictures need."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lpca.evidence import CriterionResult, Evidence
from lpca.stats import Band, Claim, Interval, Rate, Ratio, beyond

Scale = Literal["rate", "difference", "ratio"]


@dataclass(frozen=True)
class Reading:
    """A criterion as it is drawn: `region` is where its claim holds, on its `scale`."""

    label: str
    result: CriterionResult
    scale: Scale
    region: Interval


@dataclass(frozen=True)
class Success:
    """One condition's successes; the interval is at the evidence's confidence."""

    condition: str
    n: int
    successes: int
    interval: Interval
    other: int
    """Successes under the score that does not count."""

    @property
    def rate(self) -> float:
        """Share of episodes that succeeded."""
        return self.successes / self.n


def readings(evidence: Evidence) -> list[Reading]:
    """The criteria of the required gates, then the gate's own."""
    own = [_reading(one.id, one) for one in evidence.criteria]
    return [*_required(evidence), *own]


def successes(evidence: Evidence) -> list[Success]:
    """Every condition in order, as the spec's score has it."""
    return [
        Success(
            name,
            numbers.n,
            numbers.under(evidence.score).successes,
            numbers.under(evidence.score).interval,
            numbers.under(evidence.other_score).successes,
        )
        for name, numbers in evidence.conditions.items()
    ]


def name_of(evidence: Evidence) -> str:
    """The gate and its k."""
    return evidence.gate if evidence.k is None else f"{evidence.gate}, k = {evidence.k}"


def receiver_of(evidence: Evidence) -> str:
    """The receiver's name; of a path its last part."""
    name = evidence.receiver.name
    is_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1] if is_path else name


def setting_of(evidence: Evidence) -> str:
    """Receiver, episodes and codec in a line."""
    receiver, codec, looks = evidence.receiver, evidence.codec, evidence.looks
    parts = [
        f"receiver {receiver_of(evidence)} ({receiver.dtype}, {receiver.device})",
        f"n = {looks.used}",
        f"answers {evidence.answers}",
        f"scored by {evidence.score}",
    ]
    if codec:
        # whoever trained a codec of their own need not say with which seed
        own = f"{codec.architecture} ({codec.origin})"
        parts.append(
            f"codec {own if codec.seed is None else f'{codec.origin} (seed {codec.seed})'}"
        )
    if looks.rule is not None:
        parts.append(f"ended at look {looks.look} of {len(looks.sizes)} ({looks.rule})")
    return " · ".join(parts)


def in_words(evidence: Evidence) -> list[str]:
    """The verdict in sentences: why it is not read, or how many criteria went which way."""
    if evidence.is_invalid:
        return [f"No criterion may be read; {_checks(evidence)}:", *evidence.reasons]
    ids: dict[str, list[str]] = {}
    for one in evidence.criteria:
        ids.setdefault(one.verdict, []).append(one.id)
    total, held = len(evidence.criteria), len(ids.get("PASS", ()))
    sentences = [f"{held} of {total} criteria hold; {_checks(evidence)}"]
    said = {"FAIL": "contradicted", "INCONCLUSIVE": "not decided by the data"}
    sentences += [f"{what}: {', '.join(ids[v])}" for v, what in said.items() if v in ids]
    if "NOT MEASURED" in ids:
        sentences.append(f"not measured: {'; '.join(evidence.reasons)}")
    return sentences


def _checks(evidence: Evidence) -> str:
    run, failed = evidence.applied_checks, evidence.failed_checks
    return f"{len(run) - len(failed)} of {len(run)} validity checks passed"


def _required(evidence: Evidence) -> Iterator[Reading]:
    for gate in evidence.required:
        for one in gate.criteria:
            yield _reading(f"{gate.name}: {one.id}", one)


def _reading(label: str, result: CriterionResult) -> Reading:
    return Reading(label, result, _scale(result.claim), _region(result.claim, result.margins))


def _scale(claim: Claim) -> Scale:
    match claim:
        case Rate() | Band():
            return "rate"
        case Ratio():
            return "ratio"
    return "difference"


def _region(claim: Claim, margins: tuple[float, ...]) -> Interval:
    """The margins are the evidence's; the claim says on which side of them it holds."""
    if len(margins) == 2:
        return Interval(*margins)
    (margin,) = margins
    return beyond(margin, "<" if claim.region.low == -math.inf else ">")
