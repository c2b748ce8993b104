"""Evidence of a gate, made by hand: as a run writes it, as far as a grid's table reads it."""

from __future__ import annotations

from whole_evidence import complete

from lpca.stats.proportions import wilson

N = 60
RATES = {"p0": 15, "p1": 54, "normal": 54, "null": 15, "random": 15, "shuffle": 3}
STEPS = {"p0": 1, "p1": 3, "normal": 7, "null": 11, "random": 13, "shuffle": 17}
NLL = {"p0": 3.0, "p1": 0.5, "normal": 0.5, "null": 3.0, "random": 3.0, "shuffle": 5.0}


def evidence(rates=None, nll=None, losses=None, n=N, **changes):
    """`rates` are successes of n, `nll` the right answer's mean by condition, in nats."""
    rates, nll = {**RATES, **(rates or {})}, {**NLL, **(nll or {})}
    columns = {
        name: [i * STEPS[name] % n < count for i in range(n)] for name, count in rates.items()
    }
    losses = [3.0 - 0.05 * step for step in range(40)] if losses is None else losses
    made = {
        "run": "run",
        "k": 4,
        "verdict": "PASS",
        "reasons": [],
        "criteria": [{"id": "helps", "verdict": "PASS"}],
        "score": "likelihood",
        "confidence": 0.95,
        "conditions": {name: condition(values) for name, values in columns.items()},
        "receiver": {"name": "stub", "device": "cpu", "dtype": "float32", "d_model": 128},
        "codec": {
            "origin": "trained",
            "history": [{"step": i + 1, "loss": one, "gap": None} for i, one in enumerate(losses)],
            "trained": {"seconds": 80.0, "resumed_at_step": 0},
        },
        "similarity": {"between": 0.25, "own_donor": 0.2, "norm_ratio": 1.5},
        "cache": {name: [{"key": name, "cached": name == "p0"}] for name in rates},
        "seconds": {"encode": 1.0, "evaluate": 9.0, "check": 3.0},
        "episodes": [episode(i, columns, nll) for i in range(n)],
    }
    return complete({**made, **changes})


def condition(values):
    n, count = len(values), sum(values)
    found = wilson(count, n)
    both = {"successes": count, "interval": [found.low, found.high]}
    return {"n": n, "near_ties": 0, "likelihood": both, "greedy": both}


def episode(index, columns, nll):
    """The right option's score lies around its condition's mean; the other one is far off."""
    aside, answer = 0.1 * (index % 5 - 2), index % 2
    outcomes = {}
    for place, (name, values) in enumerate(columns.items()):
        scores = [-77.0, -77.0]
        scores[answer] = -nll[name] + aside * (1 + place)
        outcomes[name] = {"likelihood": values[index], "greedy": False, "scores": scores}
    return {"seed": 100 + index, "answer": answer, "outcomes": outcomes}
