"""Evidence made by hand, of a gate with one criterion and one validity check."""

from __future__ import annotations

from whole_evidence import typed

from lpca.gatespec.model import Criterion, Gate, Position
from lpca.pytest_plugin.cases import Case
from lpca.stats.claims import Difference

CRITERION = Criterion(
    id="above_null",
    claim=Difference("normal", "null", ">", 0.1),
    text="normal - null > 0.1",
    why="content counts",
    position=Position("gate_specs.yaml", 12, 9),
)
GATE = Gate(
    name="main",
    title="The channel carries the message",
    answers="seen",
    requires=(),
    shown_with=(),
    conditions=("normal", "null"),
    criteria=(CRITERION,),
    expect={},
    position=Position("gate_specs.yaml", 10, 3),
)
CASE = Case("main", "criterion", "above_null", 4)
CHECK = Case("main", "check", "null_is_zero", 4)


def evidence(verdict="PASS", check=True, successes=50, **changes):
    """Evidence of `main`, whose one criterion comes to the verdict unless that is INVALID."""
    read = verdict not in ("INVALID", "NOT MEASURED")
    criterion = {
        "id": "above_null",
        "verdict": verdict,
        "message": f"{verdict}: normal and null." if read else "nothing to read",
        "margins": [0.1],
        "estimate": successes / 60 - 0.25 if read else None,
        "interval": [0.4, None] if read else None,
        "confidence": 0.95 if read else None,
        "table": {"a": 15, "b": successes - 15, "c": 0, "d": 60 - successes} if read else None,
        "successes": None,
        "n": 60 if read else None,
    }
    outcome = {"likelihood": True, "greedy": False, "said": " Oslo\n"}
    made = {
        "run": "r1",
        "command": ["pytest", "gates/"],
        "written": "2026-01-02T03:04:05+00:00",
        "k": 4,
        "score": "likelihood",
        "gate": "main",
        "title": GATE.title,
        "verdict": verdict,
        "reasons": ["null_is_zero: it is not"] if verdict == "INVALID" else [],
        "criteria": [criterion],
        "checks": [
            {"id": "null_is_zero", "title": "null is exactly zero", "passed": check, "detail": "0"}
        ],
        "looks": {"used": 60, "declared": 60},
        "conditions": {
            "normal": {"n": 60, "likelihood": {"successes": successes}},
            "null": {"n": 60, "likelihood": {"successes": 15}},
        },
        "receiver": {"name": "stub", "device": "cpu", "dtype": "float32"},
        "codec": {
            "origin": "trained",
            "architecture": "token_pooler",
            "seed": 0,
            "history": [{"step": step, "loss": 2.0, "gap": None} for step in range(120)],
        },
        "similarity": None,
        "static": {"origin": "cached", "history": []},
        "task": {"name": "trip", "seed": 5},
        "hashes": {"spec": "abc"},
        "cache": {"normal": [{"key": "a", "cached": True}, {"key": "b", "cached": False}]},
        "versions": {"lpca": "0.1.0", "torch": "2.13.0"},
        "machine": {"platform": "Linux", "processor": "x86_64"},
        "seconds": {
            "load": 1.5,
            "codec": 20.25,
            "control": 10.0,
            "encode": 0.5,
            "evaluate": 30.0,
            "check": 2.0,
            "decide": 0.125,
        },
        "prompts": [
            {
                "condition": "normal",
                "seed": 7,
                "text": "Go to⟦vector 1 of 1, norm 2.000⟧ now",
                "prompt_sha256": "p" * 64,
                "slot_sha256": "",
            }
        ],
        "episodes": [
            {
                "seed": 7,
                "answers": "seen",
                "wording": "w",
                "message": 'Go to "Oslo", please',
                "options": ["Rome", "Oslo"],
                "answer": 1,
                "donor": 8,
                "outcomes": {"normal": outcome, "null": outcome},
            }
        ],
    }
    return typed({**made, **changes})
