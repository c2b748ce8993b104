"""The steps of a measurement, with the times that it took, from the evidence's `seconds`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from allure_commons.model2 import Parameter, Status, TestStepResult

from lpca.evidence import Evidence

_STEPS = {
    "load the receiver": ("load",),
    "train": ("codec", "control"),
    "encode": ("encode",),
    "evaluate": ("evaluate",),
    "check": ("check",),
    "decide": ("decide",),
}
"""By name the entries of `seconds` that it takes."""


def steps_of(evidence: Evidence) -> list[TestStepResult]:
    """Return what was done for a gate, in order and ending when the evidence was written.

    A step that was not timed is left out, and so is one that the gate has no need of.
    """
    seconds = dict(evidence.seconds)
    if evidence.codec is None:
        seconds.pop("encode", None)
    timed = {name: [part for part in parts if part in seconds] for name, parts in _STEPS.items()}
    spent = sum(seconds[part] for parts in timed.values() for part in parts)
    clock = datetime.fromisoformat(evidence.written).timestamp() - spent
    steps = []
    for name, parts in timed.items():
        inner = []
        for part in parts:
            inner.append(_step(part, clock, seconds[part], _about(part, evidence)))
            clock += seconds[part]
        if inner:
            steps.append(_whole(name, inner))
    return steps


def _step(name: str, start: float, spent: float, about: Mapping[str, object]) -> TestStepResult:
    shown = {"seconds": spent, **about}  # Allure rounds to milliseconds
    return TestStepResult(
        name=name,
        status=Status.PASSED,
        start=round(1000 * start),
        stop=round(1000 * (start + spent)),
        parameters=[Parameter(key, str(value)) for key, value in shown.items()],
    )


def _whole(name: str, inner: list[TestStepResult]) -> TestStepResult:
    if len(inner) == 1 and name != "train":
        inner[0].name = name
        return inner[0]
    start, stop = inner[0].start, inner[-1].stop
    return TestStepResult(name=name, status=Status.PASSED, start=start, stop=stop, steps=inner)


def _about(part: str, evidence: Evidence) -> dict[str, object]:
    """What a reader must know to take a step's time for what it is."""
    if part in ("codec", "control"):
        codec = evidence.codec if part == "codec" else evidence.static
        if codec is None:
            return {"origin": "unknown"}
        # a codec that lpca did not train has no history
        steps = {"training steps": len(codec.history)} if codec.history else {}
        return {"origin": codec.origin, **steps}
    if part == "evaluate":
        cached = sum(block.cached for block in evidence.blocks)
        return {
            "conditions": len(evidence.conditions),
            "episodes": evidence.looks.used,
            "blocks from the cache": f"{cached} of {len(evidence.blocks)}",
        }
    return {"verdict": evidence.verdict} if part == "decide" else {}
