"""What a gate's evidence says, in the form that pictures need."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lpca.gatespec.claims import parse_claim
from lpca.judge.results import CriterionResult
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


def readings(evidence: Mapping[str, Any]) -> list[Reading]:
    """The criteria of the required gates, then the gate's own."""
    own = [_reading(one["id"], one) for one in evidence["criteria"]]
    return [*_required(evidence), *own]


def successes(evidence: Mapping[str, Any]) -> list[Success]:
    """Every condition in order, as the spec's score has it."""
    score = evidence["score"]
    other = "likelihood" if score == "greedy" else "greedy"
    return [
        Success(
            name,
            numbers["n"],
            numbers[score]["successes"],
            Interval(*numbers[score]["interval"]),
            numbers[other]["successes"],
        )
        for name, numbers in evidence["conditions"].items()
    ]


def name_of(evidence: Mapping[str, Any]) -> str:
    """The gate and its k."""
    k = evidence["k"]
    return str(evidence["gate"]) if k is None else f"{evidence['gate']}, k = {k}"


def receiver_of(evidence: Mapping[str, Any]) -> str:
    """The receiver's name; of a path its last part."""
    name = str(evidence["receiver"]["name"])
    is_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1] if is_path else name


def setting_of(evidence: Mapping[str, Any]) -> str:
    """Receiver, episodes and codec in a line."""
    receiver, codec, looks = evidence["receiver"], evidence["codec"], evidence["looks"]
    parts = [
        f"receiver {receiver_of(evidence)} ({receiver['dtype']}, {receiver['device']})",
        f"n = {looks['used']}",
        f"answers {evidence['answers']}",
        f"scored by {evidence['score']}",
    ]
    if codec:
        seed, origin = codec["seed"], codec["origin"]
        # whoever trained a codec of their own need not say with which seed
        own = f"{codec['architecture']} ({origin})"
        parts.append(f"codec {own if seed is None else f'{origin} (seed {seed})'}")
    if "rule" in looks:
        parts.append(f"ended at look {looks['look']} of {len(looks['sizes'])} ({looks['rule']})")
    return " · ".join(parts)


def in_words(evidence: Mapping[str, Any]) -> list[str]:
    """The verdict in sentences: why it is not read, or how many criteria went which way."""
    if evidence["verdict"] == "INVALID":
        return [f"No criterion may be read; {_checks(evidence)}:", *map(str, evidence["reasons"])]
    ids: dict[str, list[str]] = {}
    for one in evidence["criteria"]:
        ids.setdefault(one["verdict"], []).append(one["id"])
    total, held = len(evidence["criteria"]), len(ids.get("PASS", ()))
    sentences = [f"{held} of {total} criteria hold; {_checks(evidence)}"]
    said = {"FAIL": "contradicted", "INCONCLUSIVE": "not decided by the data"}
    sentences += [f"{what}: {', '.join(ids[v])}" for v, what in said.items() if v in ids]
    if "NOT MEASURED" in ids:
        sentences.append(f"not measured: {'; '.join(evidence['reasons'])}")
    return sentences


def _checks(evidence: Mapping[str, Any]) -> str:
    run = [check for check in evidence["checks"] if check["passed"] is not None]
    passed = sum(check["passed"] for check in run)
    return f"{passed} of {len(run)} validity checks passed"


def _required(evidence: Mapping[str, Any]) -> Iterator[Reading]:
    for gate in evidence["required"]:
        for one in gate["criteria"]:
            yield _reading(f"{gate['gate']}: {one['id']}", one)


def _reading(label: str, data: Mapping[str, Any]) -> Reading:
    result = CriterionResult.from_dict(data)
    claim = parse_claim(result.text)
    return Reading(label, result, _scale(claim), _region(claim, result.margins))


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
