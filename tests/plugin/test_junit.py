"""JUnit XML: the verdict and the numbers, with workers and without."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from gate_project import BASE

UNREAD = """
  unread:
    title: Nothing is read where a required gate does not pass
    answers: seen
    requires: [base]
    conditions: [p0, p1]
    criteria:
      - {id: helps, claim: p1 - p0 > 0.20}
"""


def properties(element):
    found = element.find("properties")
    pairs = [] if found is None else [(one.get("name"), one.get("value")) for one in found]
    assert len(pairs) == len(dict(pairs)), "each property stands once"
    return dict(pairs)


def read(project, file="out.xml"):
    (suite,) = ET.parse(project.path / file).getroot().iter("testsuite")
    return properties(suite), {one.get("name"): properties(one) for one in suite.iter("testcase")}


@pytest.mark.parametrize("workers", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)])
def test_it_carries_verdicts_and_numbers(project, workers):
    assert project.run("--junitxml=out.xml", *workers, in_process=not workers).ret == 0
    suite, cases = read(project)
    assert suite == {"base": "PASS", "main k=4": "PASS"}
    evidence = project.evidence()
    held = evidence["criteria"][0]
    case = cases["test_criterion[main-above_p0-k4]"]
    assert case == {
        "lpca": "main k=4",
        "gate": "main",
        "k": "4",
        "criterion": "above_p0",
        "verdict": "PASS",
        "claim": "normal - p0 > 0.10",
        "spec": f"gate_specs.yaml:{held['line']}",
        "margins": "0.1",
        "estimate": str(held["estimate"]),
        "interval_low": str(held["interval"][0]),
        "interval_high": str(held["interval"][1]),
        "confidence": str(held["confidence"]),
        "method": "Tango score over groups",
        "n": "60",
        "p_pass": str(held["p_pass"]),
        "p_fail": str(held["p_fail"]),
        **{name: str(count) for name, count in held["table"].items()},
        "receiver": "stub",
    }
    check = cases["test_leak[main-null_is_zero-k4]"]
    assert (check["passed"], check["title"]) == ("true", "null is exactly zero")
    assert cases["test_leak[base-null_is_zero]"]["passed"] == "does not apply"
    assert "k" not in cases["test_criterion[base-text_helps]"]


def test_what_is_not_read_has_a_verdict_and_no_numbers(project):
    wrong = BASE.replace("p1 - p0 > 0.20", "p0 - p1 > 0.10")
    wrong = wrong.replace("p0: 0.25, p1: 0.95", "p0: 0.34, p1: 0.0")
    project.write(wrong + UNREAD)
    assert project.run("-m", "unread", "--junitxml=out.xml").ret == 7
    suite, cases = read(project)
    assert suite == {"unread": "INVALID"}
    case = cases["test_criterion[unread-helps]"]
    assert (case["verdict"], case["claim"]) == ("INVALID", "p1 - p0 > 0.20")
    assert not {"estimate", "n", "p_pass", "a"} & set(case)


def test_a_run_without_gates_is_left_as_pytest_writes_it(project):
    (project.path / "gates" / "test_own.py").write_text("def test_own():\n    pass\n")
    assert project.run("gates/test_own.py", "--junitxml=out.xml").ret == 0
    assert read(project) == ({}, {"test_own": {}})
