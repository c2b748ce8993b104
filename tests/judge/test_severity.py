"""A criterion that only warns is read and shown, and changes no verdict."""

from dataclasses import replace

import pytest
from whole_evidence import typed

from lpca.evidence.json_form import from_data, to_data
from lpca.evidence.model import GateResult
from lpca.gatespec.load import parse_spec
from lpca.judge.decide import judge, judge_family
from lpca.judge.looks import is_decided
from lpca.judge.outcomes import OutcomeTable
from lpca.report.markdown import criteria_table
from lpca.report.sentences import closing, standing
from lpca.report.terminal import gate_lines
from lpca.stats.verdicts import Verdict

SPEC = """
version: 1
task: {name: trip, seed: 1}
evaluation: {n: 60, checkpoints: 1}
gates:
  main:
    conditions: [p0, p1, normal, null]
    criteria:
      - {id: helps, claim: normal - p0 > 0.1}
      - {id: as_text, claim: normal - p1 > 0, severity: warn}
"""
OUTCOMES = {"p0": 6, "p1": 60, "normal": 54, "null": 6}


def table(n=60, **rates):
    columns = {
        name: tuple(i % 60 < k for i in range(n)) for name, k in {**OUTCOMES, **rates}.items()
    }
    return OutcomeTable(tuple(range(n)), columns)


def decided(text=SPEC, **rates):
    return judge(parse_spec(text), "main", table(**rates))


def verdicts(result):
    return [str(one.verdict) for one in result.criteria]


def test_what_only_warns_does_not_fail_its_gate():
    result = decided()
    assert (result.verdict, verdicts(result)) == (Verdict.PASS, ["PASS", "FAIL"])
    assert result.criteria[1].message.startswith("FAIL (warns only): normal is not above p1")
    assert decided(SPEC.replace(", severity: warn", "")).verdict is Verdict.FAIL
    assert decided(normal=6, p1=0).verdict is Verdict.FAIL
    again = from_data(GateResult, to_data(result))
    assert [one.decides for one in again.criteria] == [True, False]


def test_holm_adjusts_what_decides_as_if_the_others_were_not_there():
    alone = decided(
        SPEC.replace("      - {id: as_text, claim: normal - p1 > 0, severity: warn}\n", ""),
        normal=11,
    )
    warned = decided(normal=11)
    assert warned.criteria[0] == alone.criteria[0]
    assert warned.verdict is alone.verdict


def test_what_is_not_measured_of_it_leaves_the_gate_as_it_is():
    spec, whole = parse_spec(SPEC), table()
    without = OutcomeTable(whole.seeds, {k: v for k, v in whole.outcomes.items() if k != "p1"})
    result = judge(spec, "main", without)
    assert (result.verdict, verdicts(result)) == (Verdict.PASS, ["PASS", "NOT MEASURED"])
    assert judge(spec, "main", whole, ["helps"]).verdict is Verdict.PASS
    assert judge(spec, "main", whole, ["as_text"]).verdict is Verdict.NOT_MEASURED


def test_a_stopping_rule_and_a_family_do_not_wait_for_it():
    looks = SPEC.replace(
        "p1, normal, null]", "p1, normal, null]\n    sequential: {rule: e-process, block: 20}"
    )
    assert is_decided(parse_spec(looks), "main", table(40))
    assert not is_decided(
        parse_spec(looks.replace(", severity: warn", "")), "main", table(40, p1=53)
    )
    family = SPEC.replace("p1, normal, null]", "p1, normal, null]\n    k: {any: [4, 8]}")
    spec = parse_spec(family)
    assert judge_family(spec.gates["main"], {4: table()}, spec.evaluation).verdict is Verdict.PASS


def test_a_gate_that_requires_it_is_read():
    required = """
  next:
    requires: [main]
    conditions: [p0, normal]
    criteria: [{id: helps_too, claim: normal - p0 > 0}]
"""
    assert judge(parse_spec(SPEC + required), "next", table()).verdict is Verdict.PASS


def test_a_gate_of_warnings_alone_is_not_measured():
    assert decided(SPEC.replace("> 0.1}", "> 0.1, severity: warn}")).verdict is Verdict.NOT_MEASURED


def test_reports_show_it_and_count_it_apart():
    result = decided()
    assert (
        standing(result.verdict, result.criteria)
        == "its criterion holds; 0 of 1 that only warn hold"
    )
    assert closing(result.verdict, result.criteria).startswith("every claim of this gate holds")
    assert criteria_table(result.criteria)[-1].endswith("**FAIL (warns only)** |")
    lines = gate_lines(typed({**to_data(result), "title": "main"}), result.verdict)
    assert "  FAIL (warns only): normal 90 %" in "\n".join(lines) or any(
        line.startswith("  FAIL (warns only): normal is not above p1") for line in lines
    )


@pytest.mark.parametrize(("n", "verdict"), [(59, "NOT MEASURED"), (60, "PASS"), (61, "PASS")])
def test_fewer_episodes_than_declared_decide_nothing_and_more_change_nothing(n, verdict):
    found = judge(parse_spec(SPEC), "main", table(n))
    assert found.verdict == verdict
    if n < 60:
        assert found.reasons == ("59 episodes; the spec declares 60, and fewer decide nothing",)
    else:
        assert found == judge(parse_spec(SPEC), "main", table(60))


def test_fewer_repeats_than_declared_decide_nothing_and_a_rule_may_end_early():
    text = SPEC.replace("n: 60", "n: 60, repeats: 2, temperature: 1")
    assert judge(parse_spec(text), "main", table()).reasons == (
        "1 repeats of each episode; the spec declares 2",
    )
    twice = table()
    columns = {name: values * 2 for name, values in twice.outcomes.items()}
    seeds, repeats = twice.seeds * 2, ("0",) * 60 + ("1",) * 60
    both = replace(twice, seeds=seeds, outcomes=columns, repeats=repeats)
    assert judge(parse_spec(text), "main", both).verdict is Verdict.PASS
    looks = SPEC.replace(
        "p1, normal, null]", "p1, normal, null]\n    sequential: {rule: e-process, block: 20}"
    )
    assert judge(parse_spec(looks), "main", table(40)).verdict is Verdict.PASS
