"""Evidence for pictures: outcomes made by hand, judged as a run's are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from whole_evidence import complete

from lpca.base.hashing import hash_data
from lpca.evidence.json_form import to_data
from lpca.gatespec.claims import parse_claim
from lpca.gatespec.model import Criterion, Evaluation, Gate, Position
from lpca.judge.decide import judge_gate, unread
from lpca.judge.outcomes import OutcomeTable
from lpca.stats.proportions import wilson
from lpca.stats.verdicts import Verdict

N = 200
RATES = {"p0": 50, "p1": 196, "normal": 120, "null": 52, "shuffle": 48, "static": 0}
STEPS = {"p0": 1, "p1": 3, "normal": 7, "null": 9, "shuffle": 11, "static": 13}
STEPS |= {"p2_16": 17, "p2_64": 19, "p2_256": 21, "p5": 23}
CLAIMS = {
    "in_band": "0.15 < p0 < 0.35",
    "text": "p1 > 0.9",
    "helps": "normal - p0 > 0.10",
    "matches": "normal - p1 > -0.05",
    "not_null": "null - shuffle > 0",
    "zeros": "abs(null - p0) < 0.30",
    "below": "shuffle - p0 < 0.20",
    "half": "normal / p1 > 0.5",
    "open_ended": "normal / static > 2",
    "gain": "normal - 0.2*p1 - 0.8*p0 > 0",
}
LEVELS = Evaluation(n=N, score="likelihood", confidence=0.95, equivalence_confidence=0.90)


def outcomes(rates: dict[str, int], n: int = N) -> OutcomeTable:
    """Exactly so many successes each, spread so that conditions are unrelated."""
    columns = {
        name: tuple((index * STEPS[name] * 37 + index // 7) % n for index in range(n))
        for name in rates
    }
    ranked = {name: sorted(range(n), key=columns[name].__getitem__) for name in rates}
    good = {name: set(ranked[name][:count]) for name, count in rates.items()}
    return OutcomeTable(
        tuple(range(n)), {name: tuple(i in good[name] for i in range(n)) for name in rates}
    )


def make_gate(claims: dict[str, str], conditions: Sequence[str], name: str = "main") -> Gate:
    """A gate of these claims."""
    here = Position("gate_specs.yaml", 7, 3)
    criteria = tuple(
        Criterion(one, parse_claim(text), text, "why", here) for one, text in claims.items()
    )
    return Gate(name, name, "seen", (), (), tuple(conditions), criteria, {}, here)


def evidence(
    claims: dict[str, str] = CLAIMS,
    rates: dict[str, int] = RATES,
    left_out: Sequence[str] = (),
    **changes: Any,
) -> dict[str, Any]:
    """What a run on outcomes of these rates writes, as far as pictures read it."""
    gate, table = make_gate(claims, tuple(rates)), outcomes(rates)
    result = judge_gate(gate, table, LEVELS, [one for one in claims if one not in left_out])
    history = [
        {"step": step, "loss": 3.0 / step, "gap": 0.1 * (step - 5) if step % 5 == 0 else None}
        for step in range(1, 21)
    ]
    made = {
        "run": "run",
        "k": 4,
        "title": "The channel carries the message",
        "answers": "seen",
        "score": "likelihood",
        "confidence": 0.95,
        **to_data(result),
        "looks": {"used": N, "declared": N},
        "required": [],
        "checks": [{"id": "receiver_frozen", "title": "frozen", "passed": True, "detail": "yes"}],
        "conditions": {name: condition(count) for name, count in rates.items()},
        "receiver": {"name": "stub", "device": "cpu", "dtype": "float32", "d_model": 128},
        "codec": {
            "origin": "cached",
            "architecture": "token_pooler",
            "seed": 0,
            "history": history,
        },
        "task": {"name": "trip", "seed": 5},
        "similarity": {
            "seeds": [3, 6],
            "right": [[1.0, 0.25], [0.25, 1.0]],
            "donor": [[0.25, -0.5], [1.0, 0.125]],
            "between": 0.25,
            "own_donor": 0.1875,
            "norm_ratio": 1.5,
        },
        "episodes": episodes(table, rates),
    }
    return signed(complete({**made, **changes}))


def episodes(table: OutcomeTable, rates: dict[str, int]) -> list[dict[str, Any]]:
    """Each episode as a record keeps it, without texts and scores."""
    return [
        {
            "seed": seed,
            "content_sha256": "aa",
            "outcomes": {
                name: {"likelihood": column[seed], "greedy": seed < rates[name] // 2}
                for name, column in table.outcomes.items()
            },
        }
        for seed in table.seeds
    ]


def signed(held: dict[str, Any]) -> dict[str, Any]:
    """Sets the hash that the outcomes of evidence must have."""
    kept = {
        name: [
            [one["seed"], one["outcomes"][name]["likelihood"], one["outcomes"][name]["greedy"]]
            for one in held["episodes"]
        ]
        for name in held["conditions"]
    }
    held["hashes"]["outcomes"] = hash_data(kept)
    return held


def invalid() -> dict[str, Any]:
    """The same where a validity check failed."""
    gate = make_gate(CLAIMS, tuple(RATES))
    reasons = ("prompt_is_p0s: 400 prompts differ from p0's",)
    result = unread(gate, Verdict.NOT_MEASURED, reasons)
    criteria = [{**to_data(one), "verdict": "INVALID"} for one in result.criteria]
    detail = "400 prompts differ from p0's"
    checks = [{"id": "prompt_is_p0s", "title": "as p0's", "passed": False, "detail": detail}]
    return evidence(verdict="INVALID", reasons=list(reasons), criteria=criteria, checks=checks)


def condition(count: int, n: int = N) -> dict[str, Any]:
    """A condition's numbers; greedily it succeeds less often."""
    found = {"likelihood": count, "greedy": count // 2}
    return {
        "n": n,
        "near_ties": 0,
        **{
            name: {"successes": one, "interval": [wilson(one, n).low, wilson(one, n).high]}
            for name, one in found.items()
        },
    }
