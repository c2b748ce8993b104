import random
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
from lpca.judge.looks import is_decided, look_sizes
from lpca.judge.outcomes import OutcomeTable
from lpca.stats.verdicts import Verdict

HERE = Position("spec.yaml", 1, 1)
EVALUATION = Evaluation(200, "likelihood", 0.95, 0.90)
RULES = [Sequential("e-process", block=25), Sequential("obrien-fleming", looks=4)]


def gate(*claims, sequential=None, **changes):
    criteria = tuple(
        Criterion(f"c{index}", parse_claim(text), text, "", HERE)
        for index, text in enumerate(claims)
    )
    whole = Gate("g", "g", "all", (), (), ("p0", "normal", "null"), criteria, {}, HERE)
    return replace(whole, sequential=sequential, **changes)


def table(n=200, seed=1, **rates):
    draw = random.Random(seed)
    outcomes = {name: tuple(draw.random() < rate for _ in range(n)) for name, rate in rates.items()}
    return OutcomeTable(tuple(range(n)), outcomes)


def verdicts(result):
    return [one.verdict for one in result.criteria]


def test_looks_end_with_the_declared_n():
    assert look_sizes(RULES[0], 60) == [25, 50, 60]
    assert look_sizes(RULES[0], 50) == [25, 50]
    assert look_sizes(RULES[1], 200) == [50, 100, 150, 200]
    assert look_sizes(RULES[1], 10) == [3, 5, 8, 10]


@pytest.mark.parametrize("rule", RULES)
def test_a_clear_effect_is_decided_long_before_n(rule):
    outcomes = table(normal=0.9, p0=0.1)
    early = judge_gate(gate("normal > p0", sequential=rule), outcomes.head(100), EVALUATION)
    assert verdicts(early) == [Verdict.PASS]
    against = judge_gate(gate("p0 > normal", sequential=rule), outcomes.head(100), EVALUATION)
    assert verdicts(against) == [Verdict.FAIL]


@pytest.mark.parametrize("rule", RULES)
def test_nothing_is_decided_between_looks(rule):
    few = table(normal=1.0, p0=0.0).head(24)
    assert verdicts(judge_gate(gate("normal > p0", sequential=rule), few, EVALUATION)) == [
        Verdict.INCONCLUSIVE
    ]


def test_a_decision_once_made_stays():
    good, bad = table(n=100, normal=0.95, p0=0.05), table(n=100, normal=0.0, p0=1.0)
    outcomes = {name: good.outcomes[name] + bad.outcomes[name] for name in good.outcomes}
    turned = OutcomeTable(tuple(range(200)), outcomes)
    assert verdicts(judge_gate(gate("normal > p0", sequential=RULES[0]), turned, EVALUATION)) == [
        Verdict.PASS
    ]


@pytest.mark.parametrize("rule", RULES)
def test_an_equivalence_is_decided_at_looks_too(rule):
    outcomes = table(normal=0.9, p0=0.2)
    same = OutcomeTable(outcomes.seeds, {**outcomes.outcomes, "null": outcomes.outcomes["p0"]})
    both = gate("abs(null - p0) < 0.1", "normal > p0", sequential=rule)
    assert verdicts(judge_gate(both, same.head(25), EVALUATION))[0] is Verdict.INCONCLUSIVE
    early = judge_gate(both, same.head(150), EVALUATION)
    assert verdicts(early) == [Verdict.PASS, Verdict.PASS]
    apart = gate("abs(normal - p0) < 0.1", sequential=rule)
    assert verdicts(judge_gate(apart, same.head(100), EVALUATION)) == [Verdict.FAIL]


@pytest.mark.parametrize("rule", RULES)
def test_an_equivalence_of_old_evidence_waits_for_its_fixed_n(rule):
    outcomes = table(normal=0.9, p0=0.2)
    same = OutcomeTable(outcomes.seeds, {**outcomes.outcomes, "null": outcomes.outcomes["p0"]})
    rule = replace(rule, equivalences_wait=True)
    both = gate("abs(null - p0) < 0.1", "normal > p0", sequential=rule)
    early = judge_gate(both, same.head(150), EVALUATION)
    assert verdicts(early) == [Verdict.INCONCLUSIVE, Verdict.PASS]
    assert verdicts(judge_gate(both, same, EVALUATION)) == [Verdict.PASS, Verdict.PASS]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("claim", "rates", "most"),
    [
        ("normal > p0", {"normal": 0.3, "p0": 0.3}, 11),
        ("abs(normal - p0) < 0.1", {"normal": 0.15, "p0": 0.05}, 18),
    ],
)
def test_looking_often_seldom_passes_what_is_not_there(rule, claim, rates, most):
    """Binomial(150, alpha), 0.025 and 0.05: beyond `most` in fewer than 1 of 1000."""
    idle = gate(claim, sequential=rule)
    passed = sum(
        judge_gate(idle, table(seed=seed, **rates), EVALUATION).verdict is Verdict.PASS
        for seed in range(150)
    )
    assert passed <= most


def spec_of(*gates):
    return Spec("s", TaskSpec("trip", 0), EVALUATION, {one.name: one for one in gates})


@pytest.mark.parametrize("rule", RULES)
def test_the_first_fail_ends_a_gate_and_what_requires_it(rule):
    outcomes = table(normal=0.9, p0=0.1, null=0.1)
    # the second criterion lies on its margin: no look decides it
    wrong = gate("p0 > normal", "p0 > null", sequential=rule)
    after = replace(gate("normal > p0", sequential=rule), name="after", requires=("g",))
    spec = spec_of(wrong, after)
    few = outcomes.head(100)
    assert is_decided(spec, "g", few)
    assert is_decided(spec, "after", few)
    assert judge(spec, "g", few).verdict is Verdict.FAIL
    assert verdicts(judge(spec, "g", few)) == [Verdict.FAIL, Verdict.INCONCLUSIVE]
    assert judge(spec, "after", few).verdict is Verdict.INVALID
    assert not is_decided(spec_of(gate("p0 > null", sequential=rule)), "g", few)


def test_any_k_takes_holm_over_the_declared_family():
    both = gate("normal > p0", family=(4, 8), any_k=True)
    strong, weak = table(normal=0.9, p0=0.1), table(normal=0.2, p0=0.2)
    assert judge_family(both, {4: weak, 8: strong}, EVALUATION).verdict is Verdict.PASS
    assert judge_family(both, {8: strong}, EVALUATION).verdicts[4] is Verdict.NOT_MEASURED
    with pytest.raises(ValueError, match="declared"):
        judge_family(both, {16: strong}, EVALUATION)
    with pytest.raises(TypeError, match="no sound method decides c0"):
        judge_family(gate("null ~= p0", family=(4,)), {4: strong}, EVALUATION)
