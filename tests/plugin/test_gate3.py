"""Gate 3 by `pytest gates/ -m gate3`: a number that is missing is never a PASS."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gate_project import Project

from lpca.base.errors import ExitCode
from lpca.gate import runner
from lpca.gate.measure import STEPS

GATE3 = """
  gate3:
    title: Every run reports success, interval, bits, tokens and time
    answers: seen
    conditions: [p0, p1, p2_16]
    reported: [p0, p1, p2_16]
    expect: {p1: 0.95}
    criteria:
      - {id: success_reported, claim: p1 > 0}
"""


@pytest.fixture
def project(pytester):
    made = Project(pytester)
    made.write(GATE3)
    return made


def test_a_run_that_reports_everything_passes(project):
    project.run("-m", "gate3").assert_outcomes(passed=13, skipped=22)
    evidence = project.evidence("gate3")
    assert evidence["verdict"] == "PASS"
    for name, numbers in evidence["conditions"].items():
        assert numbers["seconds"] > 0, name
        assert (numbers["bits"] == 0) == (numbers["tokens"] == 0) == (name == "p0")
        low, high = numbers["likelihood"]["interval"]
        assert 0 <= low < high <= 1
    assert evidence["conditions"]["p2_16"]["bits"] <= 16 * 8 < evidence["conditions"]["p1"]["bits"]


@pytest.mark.parametrize("number", ["bits", "tokens", "seconds"])
def test_a_run_that_lacks_a_number_is_invalid(project, monkeypatch, number):
    def lacking(*arguments):
        return replace(STEPS.condition_numbers(*arguments), **{number: None})

    monkeypatch.setattr(runner, "STEPS", replace(STEPS, condition_numbers=lacking))
    result = project.run("-m", "gate3")
    assert result.ret == ExitCode.INVALID
    evidence = project.evidence("gate3")
    assert evidence["verdict"] == "INVALID"
    assert evidence["reasons"] == [f"numbers_reported: p0 reports no {number}"]


def test_a_task_without_facts_refuses_p5_before_anything_runs(project):
    project.write(GATE3.replace("p2_16", "p5"))
    result = project.run("-m", "gate3")
    assert result.ret == ExitCode.USAGE_ERROR
    [line] = [one for one in result.errlines if one.strip()]
    assert "gate_specs.yaml:10:17: gate gate3 runs p5, and task trip has no facts" in line
    assert line.endswith("allowed: task relay")
