"""The decision of many tables at once comes to what `judge` says of each."""

import random

import numpy as np
import pytest

from lpca.checker.decision import Columns, Tables, decide_criteria, decide_family, decide_tables
from lpca.checker.rule import with_required
from lpca.gatespec.load import parse_spec
from lpca.judge.decide import judge, judge_family, judge_gate
from lpca.judge.outcomes import OutcomeTable
from lpca.stats.verdicts import Verdict

CONDITIONS = ("p0", "p1", "normal", "null", "shuffle")
CLAIMS = (
    "normal - p0 > 0.1",
    "normal - null > 0",
    "normal - shuffle > -0.09",
    "shuffle - p0 < 0",
    "p0 - shuffle < 0.3",
    "abs(null - p0) < 0.2",
    "abs(normal - p1) < 0.5",
    "0.15 < p0 < 0.55",
    "normal > 0.4",
    "shuffle < 0.6",
    "normal / null > 1.3",
    "shuffle / p1 < 0.9",
    "normal - 0.5*p1 - 0.5*p0 > 0",
    "normal - 0.3*p1 - 0.7*p0 > 0",
    "normal - 0.01*p1 - 0.99*p0 > 0",
)
CODES = {
    Verdict.INCONCLUSIVE: 0,
    Verdict.PASS: 1,
    Verdict.FAIL: 2,
    Verdict.INVALID: 3,
}
SEQUENTIAL = (
    "",
    "",
    "    sequential: {rule: e-process, block: 7}\n",
    "    sequential: {rule: obrien-fleming, looks: 3}\n",
)


def drawn_spec(draw):
    n = draw.choice([12, 30, 60])

    def gate(name, claims, rule="", more=""):
        rows = "".join(f"      - {{id: c{i}, claim: {claim}}}\n" for i, claim in enumerate(claims))
        listed = ", ".join(CONDITIONS)
        return f"  {name}:\n    conditions: [{listed}]\n{rule}{more}    criteria:\n{rows}"

    level = draw.choice(["", ", confidence: 0.8", ", confidence: 0.6"])
    head = f"version: 1\ntask: {{name: trip, seed: 1}}\nevaluation: {{n: {n}{level}}}\ngates:\n"
    first = gate("a", draw.sample(CLAIMS, draw.randint(1, 2)), draw.choice(SEQUENTIAL))
    family = draw.choice(["", "", "    k: {any: [2, 4, 8]}\n"])
    needs = draw.choice(["", "    requires: [a]\n"])
    claims = draw.sample(CLAIMS, draw.randint(1, 5))
    rule = "" if family else draw.choice(SEQUENTIAL)
    return parse_spec(head + first + gate("b", claims, rule, family + needs))


def drawn_outcomes(draw, n):
    shared, rates = draw.random(), {name: draw.random() for name in CONDITIONS}
    difficulty = [draw.random() for _ in range(n)]
    return {
        name: tuple(
            (hard if draw.random() < shared else draw.random()) < rate for hard in difficulty
        )
        for name, rate in rates.items()
    }


def as_tables(spec, gate, tables):
    """The same outcomes as counts at every look."""
    columns = Columns.of(with_required(spec, gate))
    n = tables[0].n
    sizes = sorted(
        {n}
        | {
            size
            for one in with_required(spec, gate)
            for size in (one.sequential.sizes(spec.episodes(one)) if one.sequential else ())
        }
    )
    bits = np.array([[list(one.packed[name]) for name in CONDITIONS] for one in tables])
    counts = []
    for size in sizes:
        rows = np.moveaxis(bits[:, :, :size], 1, 2).reshape(-1, len(CONDITIONS)).astype(float)
        kinds = columns.of_patterns(CONDITIONS, rows)
        counts.append(kinds.reshape(len(tables), size, -1).sum(axis=1))
    return Tables(columns, tuple(sizes), tuple(counts))


def compared(seed, monkeypatch, specs, each):
    """Judge tables of many specs in both ways; return how often each verdict was met."""
    # what an inconclusive claim would need is for its message, and takes most of a judge's time
    monkeypatch.setattr("lpca.judge.decide.enough_n", lambda *_: None)
    draw, met = random.Random(seed), dict.fromkeys(CODES.values(), 0)
    for _ in range(specs):
        spec = drawn_spec(draw)
        gate = spec.gates["b"]
        n = spec.evaluation.n
        tables = [OutcomeTable(tuple(range(n)), drawn_outcomes(draw, n)) for _ in range(each)]
        many = as_tables(spec, gate, tables)
        by_criterion, whole = decide_criteria(spec, gate, many), decide_tables(spec, gate, many)
        for index, table in enumerate(tables):
            found = judge_gate(gate, table, spec.evaluation).criteria
            assert [CODES[one.verdict] for one in found] == by_criterion[index].tolist()
            if not gate.any_k:
                verdict = CODES[judge(spec, "b", table).verdict]
                assert verdict == whole[index]
                met[verdict] += 1
        if gate.any_k:
            by_k = {k: tables[i % each] for i, k in enumerate(gate.family)}
            counts = [as_tables(spec, gate, [table]) for table in by_k.values()]
            whole = judge_family(gate, by_k, spec.evaluation)
            assert decide_family(gate, counts, spec).tolist() == [CODES[whole.verdict]]
            part = judge_family(gate, {gate.family[0]: tables[0]}, spec.evaluation)
            seen = decide_family(gate, counts[:1], spec)
            assert seen.tolist() == [CODES[part.verdict]]
    return met


def test_many_tables_are_decided_as_judge_decides_each(monkeypatch):
    met = compared(1, monkeypatch, specs=40, each=10)
    assert min(met.values()) >= 5


@pytest.mark.slow(60)
def test_ten_thousand_tables_are_decided_as_judge_decides_each(monkeypatch):
    compared(2, monkeypatch, specs=400, each=25)
