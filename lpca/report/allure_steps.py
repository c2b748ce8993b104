"""The steps of a measurement, with the times that it took, from the evidence's `seconds`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from allure_commons.model2 import Parameter, Status, TestStepResult

_STEPS = {
    "load the receiver": ("load",),
    "train": ("codec", "control"),
    "encode": ("encode",),
    "evaluate": ("evaluate",),
    "check": ("check",),
    "decide": ("decide",),
}
"""By name the entries of `seconds` it consists of."""


def steps_of(evidence: Mapping[str, Any]) -> list[TestStepResult]:
    """Return what was done for a gate, in order and ending when the evidence was written.

    A step that was not timed is left out, and so is one that the gate has no need of.
    """
    seconds = dict(evidence["seconds"])
    if evidence["codec"] is None:
        seconds.pop("encode", None)
    end = 1000.0 * datetime.fromisoformat(evidence["written"]).timestamp()
    clock = end - 1000.0 * sum(seconds.get(part, 0.0) for own in _STEPS.values() for part in own)
    steps = []
    for name, own in _STEPS.items():
        timed = [part for part in own if part in seconds]
        parts = []
        for part in timed:
            parts.append(_step(part, clock, seconds[part], _about(part, evidence)))
            clock += 1000.0 * seconds[part]
        if len(own) == 1 and parts:
            parts[0].name = name
            steps += parts
        elif parts:
            whole = _step(name, parts[0].start, sum(seconds[part] for part in timed), {})
            whole.steps = parts
            steps.append(whole)
    return steps


def _step(name: str, start: float, seconds: float, about: Mapping[str, object]) -> TestStepResult:
    return TestStepResult(
        name=name,
        status=Status.PASSED,
        start=round(start),
        stop=round(start + 1000.0 * seconds),
        parameters=[Parameter(key, str(value)) for key, value in about.items()],
    )


def _about(part: str, evidence: Mapping[str, Any]) -> dict[str, object]:
    """What a reader must know to take a step's time for what it is."""
    if part in ("codec", "control"):
        codec = evidence["codec" if part == "codec" else "static"] or {}
        history = codec.get("history") or []
        return {"origin": codec.get("origin", "unknown"), "training steps": len(history)}
    if part == "evaluate":
        blocks = [block for own in evidence["cache"].values() for block in own]
        cached = sum(block["cached"] for block in blocks)
        return {
            "conditions": len(evidence["conditions"]),
            "episodes": evidence["looks"]["used"],
            "blocks from the cache": f"{cached} of {len(blocks)}",
        }
    return {"verdict": evidence["verdict"]} if part == "decide" else {}
