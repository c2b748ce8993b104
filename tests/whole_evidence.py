"""Evidence made by hand, filled up with what every run writes and a test need not say."""

from __future__ import annotations

import copy
from typing import Any

from lpca.base.registry import declared
from lpca.evidence.files import parse_evidence
from lpca.evidence.model import Evidence

CRITERION = {
    "claim": "normal - p0 > 0",
    "claim_parts": {
        "kind": "difference",
        "first": "normal",
        "second": "p0",
        "relation": ">",
        "margin": 0.0,
    },
    **{"why": "", "file": "gate_specs.yaml", "line": 1, "column": 1, "message": ""},
    "margins": [0.0],
}
CODEC = {"origin": "trained", "architecture": "token_pooler", "seed": 0}
NONE = {"successes": 0, "interval": [0.0, 1.0]}
EPISODE = {"answers": "seen", "donor": 1}
OUTCOME = {"likelihood": False, "greedy": False}
RUN = {
    "schema": 2,
    "run": "run",
    "command": ["pytest"],
    "written": "2026-01-02T03:04:05+00:00",
    **{"k": 4, "title": "main", "answers": "seen", "score": "likelihood", "confidence": 0.95},
    **{"gate": "main", "verdict": "PASS", "reasons": [], "criteria": [], "required": []},
    "looks": {"used": 60, "declared": 60},
    **{"checks": [], "conditions": {}, "codec": None, "static": None, "similarity": None},
    "receiver": {"name": "stub", "device": "cpu", "dtype": "float32", "d_model": 128},
    "task": {"name": "trip", "seed": 5},
    "hashes": dict.fromkeys(("receiver", "spec", "episodes", "outcomes"), "aa"),
    **{"versions": {"lpca": "0"}, "machine": {"platform": "none"}, "seconds": {}, "episodes": []},
}


def every_check(**given: dict[str, Any]) -> list[dict[str, Any]]:
    """Each check of the catalogue: passed, or as it is given by its name."""
    told = {"title": "what must hold", "passed": True, "detail": ""}
    return [
        {"id": name, **told, **given.get(name, {})} for name in declared("lpca.validity.checks")
    ]


def complete(held: dict[str, Any]) -> dict[str, Any]:
    """The same as data, with all that its form demands; what is there stays as it is."""
    made = copy.deepcopy({**RUN, **held})
    made["receiver"] = {"name": "stub", "device": "cpu", "dtype": "float32", **made["receiver"]}
    made["hashes"] = {**RUN["hashes"], **made["hashes"]}
    for gate in (made, *made["required"]):
        gate["criteria"] = [{**CRITERION, **one} for one in gate["criteria"]]
    made["conditions"] = {
        name: {"n": 60, "near_ties": 0, "likelihood": NONE, "greedy": NONE, **numbers}
        for name, numbers in made["conditions"].items()
    }
    for numbers in made["conditions"].values():
        for score in ("likelihood", "greedy"):
            numbers[score] = {**NONE, **numbers[score]}
    for name in ("codec", "static"):
        if made[name] is not None:
            made[name] = {**CODEC, "history": [], **made[name]}
    for episode in made["episodes"]:
        episode |= {**EPISODE, **episode}
        for name, outcome in episode["outcomes"].items():
            episode["outcomes"][name] = {**OUTCOME, **outcome}
    return made


def typed(held: dict[str, Any]) -> Evidence:
    """The evidence that such data stands for."""
    return parse_evidence(complete(held))
