"""Every claim is decided with the outcomes that rounding could turn turned either way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lpca.gatespec.claims import parse_claim
from lpca.gatespec.model import (
    Criterion,
    Evaluation,
    Gate,
    Position,
    Sequential,
    Spec,
    TaskSpec,
)
from lpca.judge.decide import judge, judge_family, judge_gate
from lpca.judge.looks import is_decided
from lpca.judge.outcomes import OutcomeTable
from lpca.judge.rounding import Read, resolved, undecided_of
from lpca.report.sentences import sentence
from lpca.stats.verdicts import Verdict

PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
HERE = Position("spec.yaml", 1, 1)
N = 200


def evaluation(n=N, **changes):
    asked = Evaluation(n=n, score="likelihood", confidence=0.95, equivalence_confidence=0.90)
    return replace(asked, **changes)


def gate(*claims, **changes):
    criteria = tuple(
        Criterion(f"c{index}", parse_claim(text), text, "why", HERE)
        for index, text in enumerate(claims)
    )
    made = Gate("gate1", "gate1", "seen", (), (), ("p0",), criteria, {}, HERE)
    return replace(made, **changes)


def column(successes, n=N):
    """So many successes, in the first episodes."""
    return tuple(int(index < successes) for index in range(n))


def undecided(*rows, number=1, n=N):
    """A column that numbers these rows' outcomes and no others."""
    return tuple(number * (index in rows) for index in range(n))


def table(n=N, marks=None, **columns):
    outcomes = {
        name: column(held, n) if isinstance(held, int) else held for name, held in columns.items()
    }
    return OutcomeTable(tuple(range(n)), outcomes, undecided=marks or {})


def decided(claim, made, **changes):
    (criterion,) = judge_gate(gate(claim), made, evaluation(**changes)).criteria
    return criterion


GRADED = tuple(0.9 if index < 150 else 0.5 for index in range(N))


@pytest.mark.parametrize(
    ("claim", "made", "condition", "rows", "verdict"),
    [
        ("normal - p0 > 0.1", {"normal": 120, "p0": 80}, "normal", range(12), PASS),
        ("p0 - normal < 0.1", {"normal": 120, "p0": 110}, "p0", range(150, 180), PASS),
        ("normal - p0 > 0.1", {"normal": 80, "p0": 80}, "normal", range(100, 140), FAIL),
        ("normal > 0.5", {"normal": 120}, "normal", range(12), PASS),
        ("normal < 0.5", {"normal": 80}, "normal", range(100, 112), PASS),
        ("normal > 0.5", {"normal": 80}, "normal", range(100, 140), FAIL),
        ("0.15 < p0 < 0.35", {"p0": 50}, "p0", range(20), PASS),
        ("0.15 < p0 < 0.35", {"p0": 50}, "p0", range(100, 120), PASS),
        ("0.15 < p0 < 0.35", {"p0": 86}, "p0", range(20), FAIL),
        ("abs(null - p0) < 0.1", {"null": 50, "p0": 50}, "null", range(20), PASS),
        ("abs(null - p0) < 0.1", {"null": 50, "p0": 50}, "null", range(100, 120), PASS),
        ("abs(null - p0) < 0.1", {"null": 50, "p0": 86}, "null", range(100, 120), FAIL),
        ("normal / p1 > 0.5", {"normal": 70, "p1": 100}, "p1", range(110, 150), PASS),
        (
            "normal - 0.5*p1 - 0.5*p0 > 0",
            {"normal": 140, "p1": 190, "p0": 50},
            "p0",
            range(50, 90),
            PASS,
        ),
        ("normal > 0.75", {"normal": GRADED}, "normal", range(40), PASS),
    ],
)
def test_each_kind_of_claim_is_inconclusive_where_rounding_decides_it(
    claim, made, condition, rows, verdict
):
    how = {"score": "graded"} if GRADED in made.values() else {}
    certain = replace(
        table(n=1, normal=1),
        seeds=tuple(range(N)),
        graded=bool(how),
        outcomes={
            name: column(held) if isinstance(held, int) else held for name, held in made.items()
        },
    )
    open_table = replace(certain, undecided={condition: undecided(*rows)})
    assert decided(claim, certain, **how).verdict is verdict
    assert decided(claim, certain, **how).rounding is None
    found = decided(claim, open_table, **how)
    assert found.verdict is OPEN
    assert found.rounding is not None
    assert found.rounding.decides
    assert found.rounding.episodes == len(rows)
    assert found.rounding.estimates.low <= found.estimate <= found.rounding.estimates.high
    assert found.needed_n is None
    rates = {name: certain.rate(name) for name in made}
    for told in (found.message, sentence(found, rates)):
        assert f"depends on rounding: {len(rows)} of {N} episodes" in told
        assert "float32 or more episodes" in told


@pytest.mark.parametrize(
    ("claim", "made", "condition", "row", "verdict"),
    [
        ("normal - p0 > 0.1", {"normal": 160, "p0": 80}, "normal", 0, PASS),
        ("normal - p0 > 0.1", {"normal": 40, "p0": 80}, "normal", 199, FAIL),
        ("abs(null - p0) < 0.1", {"null": 50, "p0": 50}, "p0", 0, PASS),
        ("abs(null - p0) < 0.1", {"null": 150, "p0": 50}, "p0", 199, FAIL),
        ("0.15 < p0 < 0.35", {"p0": 150}, "p0", 0, FAIL),
    ],
)
def test_a_verdict_that_both_readings_come_to_stays(claim, made, condition, row, verdict):
    found = decided(claim, table(marks={condition: undecided(row)}, **made))
    certain = decided(claim, table(**made))
    assert found.verdict is certain.verdict is verdict
    assert not found.rounding.decides
    assert (found.estimate, found.interval, found.p_pass) == (
        certain.estimate,
        certain.interval,
        certain.p_pass,
    ), "the numbers are those that were read"


def test_two_bounds_missed_on_either_side_are_no_failure():
    """All for: far above the margin. All against: far below it. Between the two it would hold."""
    made = table(null=100, p0=100, marks={"null": undecided(*range(N))})
    found = decided("abs(null - p0) < 0.1", made)
    assert (found.verdict, found.rounding.decides) == (OPEN, True)
    assert decided("0.4 < null < 0.6", made).verdict is OPEN
    one_side = table(null=190, p0=10, marks={"null": undecided(*range(20))})
    assert decided("abs(null - p0) < 0.1", one_side).verdict is FAIL


def test_a_failure_is_adjusted_by_what_the_others_come_to_at_their_best():
    claims = ("normal > 0.5", *["p0 > 0.5"] * 9)
    certain = table(normal=80, p0=60)
    alone = judge_gate(gate(*claims), certain, evaluation()).criteria[0]
    assert alone.verdict is FAIL
    marks = {"p0": undecided(*range(60, 100))}
    found = judge_gate(gate(*claims), table(normal=80, p0=60, marks=marks), evaluation())
    assert {one.verdict for one in found.criteria} == {OPEN}


def test_over_groups_both_readings_count():
    groups = tuple(f"g{index % 40}" for index in range(N))
    certain = replace(table(normal=130, p0=60), groups=groups)
    claim = "normal - p0 > 0.2"
    assert decided(claim, certain).verdict is PASS
    some = replace(certain, undecided={"normal": undecided(*range(20))})
    assert decided(claim, some).verdict is OPEN
    assert decided(claim, some).grouping.groups == 40


def test_identical_inputs_turn_together():
    claim = "abs(embed - p1) < 0.05"
    rows = range(0, N, 4)
    together = {name: undecided(*rows, number=3) for name in ("embed", "p1")}
    found = decided(claim, table(embed=150, p1=150, marks=together))
    assert (found.verdict, found.rounding) == (PASS, None)
    apart = {"embed": undecided(*rows, number=3), "p1": undecided(*rows, number=4)}
    assert decided(claim, table(embed=150, p1=150, marks=apart)).verdict is OPEN


def test_a_claim_takes_its_own_ends_of_outcomes_that_turn_together():
    claim = parse_claim("normal - 0.5*p1 - 0.5*p0 > 0")
    one = table(n=1, normal=0, p1=1, p0=0, marks=dict.fromkeys(("normal", "p0"), (1,)))
    ends = resolved(claim, one)
    assert ends.episodes == 1
    assert [list(ends.least[name]) for name in ("normal", "p1", "p0")] == [[0], [1], [0]]
    assert [list(ends.most[name]) for name in ("normal", "p1", "p0")] == [[1], [1], [1]]


def read(success, gap, prompt="lima", vectors=""):
    return Read(success, gap, prompt, vectors)


def test_what_lies_within_the_noise_is_undecided():
    noise = {"p0": 0.5, "p1": 0.1, "normal": 0.2}
    reads = {
        "p0": read(1, 0.4, "none"),
        "p1": read(1, 0.4, "text"),
        "normal": read(0, -0.2, "x", "v"),
    }
    assert undecided_of(reads, noise) == {"p0": 2, "normal": 1}


def test_injected_embeddings_are_the_tokens_that_they_are():
    noise = dict.fromkeys(("embed", "normal", "p1"), 0.2)
    reads = {
        "embed": read(1, 0.1, "text", "e"),
        "normal": read(1, 0.1, "k vectors", "v"),
        "p1": read(0, -0.1, "text"),
    }
    numbers = undecided_of(reads, noise)
    assert numbers["embed"] == numbers["p1"] != numbers["normal"]
    other = {**reads, "p1": read(1, 0.1, "k vectors", "w")}
    numbers = undecided_of(other, noise)
    assert len(set(numbers.values())) == 3, "other vectors are other inputs"


def test_what_the_same_inputs_show_for_certain_is_certain():
    noise = {"embed": 0.3, "p1": 0.1}
    same = {"embed": read(1, 0.2, "text", "e"), "p1": read(1, 0.2, "text")}
    assert undecided_of(same, noise) == {}
    contradicting = {**same, "p1": read(0, -0.2, "text")}
    assert undecided_of(contradicting, noise) == {"embed": 1}


@pytest.mark.parametrize(
    "rule", [Sequential("e-process", block=50), Sequential("obrien-fleming", looks=4)]
)
@pytest.mark.parametrize(
    ("claim", "normal", "rows"),
    [("normal - p0 > 0", 120, range(100)), ("normal > 0.5", 20, range(20, 120))],
)
def test_a_stopping_rule_waits_where_rounding_decides(rule, claim, normal, rows):
    spread = [(index * 7) % N for index in range(N)]
    certain = table(normal=normal, p0=20).rows(spread)
    made = gate(claim, sequential=rule, n=N)
    spec = Spec("spec.yaml", TaskSpec("trip", 0), evaluation(), {"gate1": made})
    verdict = judge(spec, "gate1", certain).verdict
    assert verdict in (PASS, FAIL)
    marks = {"normal": undecided(*rows)}
    turning = table(normal=normal, p0=20, marks=marks).rows(spread)
    assert judge(spec, "gate1", turning).verdict is OPEN
    half = [certain.head(150), turning.head(150)]
    assert [is_decided(spec, "gate1", one) for one in half] == [True, False]


def test_bets_on_a_band_fail_on_one_side_alone():
    rule = Sequential("e-process", block=50)
    made = gate("0.4 < normal < 0.6", sequential=rule, n=N)
    spec = Spec("spec.yaml", TaskSpec("trip", 0), evaluation(), {"gate1": made})
    assert judge(spec, "gate1", table(normal=10)).verdict is FAIL
    every = table(normal=100, marks={"normal": undecided(*range(N))})
    assert judge(spec, "gate1", every).verdict is OPEN


def test_any_of_several_k_passes_by_what_both_readings_say():
    made = gate("normal - p0 > 0.1", any_k=True, family=(4, 8))
    certain = table(normal=125, p0=80)
    turning = replace(certain, undecided={"normal": undecided(*range(15))})
    assert judge_family(made, {4: certain}, evaluation()).verdict is PASS
    assert judge_family(made, {4: turning}, evaluation()).verdict is OPEN


def test_rows_take_their_numbers_along():
    made = table(normal=100, marks={"normal": undecided(3, number=2)})
    assert made.rows([3, 0]).undecided == {"normal": (2, 0)}
    assert made.head(2).undecided == {"normal": (0, 0)}
