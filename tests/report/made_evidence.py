"""Evidence made by hand, judged by lpca: as a run writes it, without a run."""

from __future__ import annotations

import hashlib
import json

from drawn_evidence import signed
from gate_project import BASE, HEAD, MAIN
from whole_evidence import complete

from lpca.base.hashing import with_hash
from lpca.evidence.files import parse_evidence
from lpca.evidence.json_form import to_data
from lpca.gatespec.load import load_spec
from lpca.judge.decide import judge, judge_required
from lpca.judge.reader import table_of_evidence
from lpca.stats.proportions import wilson
from lpca.validity.catalogue import CHECKS

RATES = {"p0": 25, "p1": 90, "embed": 90, "normal": 95}
RATES |= {"null": 25, "random": 25, "shuffle": 5, "static": 25}
STEPS = {"p0": 1, "p1": 3, "embed": 3, "normal": 7, "null": 9, "random": 11}
STEPS |= {"shuffle": 13, "static": 17}
SECRET = "Meet me in Sydney at dawn."


def outcomes(n=60, **changes):
    """Rates by condition, in percent, spread so that conditions are unrelated."""
    rates = {**RATES, **changes}
    return {
        name: [i * STEPS[name] * 37 % 100 < rate for i in range(n)] for name, rate in rates.items()
    }


def evidence(
    tmp_path, columns=None, first_seed=0, failed=None, gates=BASE + MAIN, gate="main", **changes
):
    """Evidence of a gate; `failed` names a validity check."""
    columns = columns or outcomes()
    n = len(columns["p0"])
    file = tmp_path / "made_specs.yaml"
    file.write_text(HEAD + gates, encoding="utf-8")
    spec = load_spec(str(file))
    seeds = tuple(range(first_seed, first_seed + n))
    checks = [
        {
            "id": check.id,
            "title": check.title,
            "passed": None if check.id == "mean_is_mean" else check.id != failed,
            "detail": f"detail of {check.id}",
        }
        for check in CHECKS.values()
    ]
    held = {
        "run": "run-1",
        "command": ["pytest", "gates", "-m", "main"],
        "written": "2026-03-04T05:06:07+00:00",
        "k": 4,
        "title": spec.gates[gate].title,
        "answers": "seen",
        "score": "likelihood",
        "confidence": 0.95,
        "gate": gate,
        "looks": {"used": n, "declared": n},
        "beside": [],
        "checks": checks,
        "conditions": {name: _condition(values) for name, values in columns.items()},
        "receiver": {"name": "stub", "device": "cpu", "dtype": "float32"},
        "codec": {"origin": "trained", "architecture": "token_pooler", "seed": 0},
        "static": None,
        "task": {"name": "trip", "seed": 5, "options": 4},
        "hashes": {"receiver": "aa", "spec": spec.sha256, "outcomes": "", "codec": None},
        "cache": {},
        "versions": {"lpca": "0"},
        "machine": {"platform": "none"},
        "seconds": {"load": 1.0},
        "episodes": [_episode(seed, i, columns) for i, seed in enumerate(seeds)],
    }
    held = judged(complete({**held, **changes}), spec)
    return signed(complete({**held, **changes}))


def judged(held, spec):
    """The same with the verdicts that a spec's gate comes to on its outcomes."""
    found = parse_evidence(held)
    table, gate = table_of_evidence(found), spec.gates[held["gate"]]
    faults = [f"{check.id}: {check.detail}" for check in found.failed_checks]
    required = [to_data(judge_required(spec, gate, name, table)) for name in gate.requires]
    return {**held, **to_data(judge(spec, gate.name, table, faults=faults)), "required": required}


def save(path, held):
    held = with_hash({**held, "schema": 3}) if "schema" in held else held
    path.write_text(json.dumps(held), encoding="utf-8")
    return str(path)


def _condition(values):
    n, score = len(values), {"likelihood": sum(values), "greedy": 0}
    found = {"n": n, "near_ties": 0}
    for name, count in score.items():
        interval = wilson(count, n)
        found[name] = {"successes": count, "interval": [interval.low, interval.high]}
    return found


def _episode(seed, index, columns):
    return {
        "seed": seed,
        "answers": "seen",
        "wording": "{city}",
        "group": f"group {seed}",
        "message": f"{SECRET} {seed}",
        "options": ["Sydney", "Oslo", "Lima", "Bonn"],
        "answer": 0,
        "donor": seed + 1,
        "outcomes": {
            name: {
                "likelihood": values[index],
                "greedy": False,
                "scores": [-1.0 if values[index] else -5.0, -2.0, -3.0, -4.0],
                "said": SECRET,
                "prompt_sha256": hashlib.sha256(f"{seed} {name}".encode()).hexdigest(),
                "slot_sha256": "",
            }
            for name, values in columns.items()
        },
    }
