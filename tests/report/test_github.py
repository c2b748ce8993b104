"""A run on GitHub Actions: the spec's lines annotated, the job summarised, both once."""

from __future__ import annotations

import re

import pytest
from gate_project import BASE, HEAD, MAIN, ROOT, Project
from made_evidence import evidence, outcomes, save

from lpca.gate.plan import evidence_path
from lpca.gatespec.load import load_spec
from lpca.gatespec.model import Position
from lpca.pytest_plugin.cases import Case
from lpca.pytest_plugin.github import (
    LEVELS,
    Places,
    annotation_lines,
    github_reporter,
    summary_lines,
)
from lpca.pytest_plugin.verdicts import VerdictReporter
from lpca.report.layout import annotation
from lpca.stats.verdicts import Verdict

WRONG = """
  wrong:
    title: "Text hurts: 100 %, always"
    answers: seen
    conditions: [p0, p1]
    expect: {p0: 0.34, p1: 0.0}
    criteria:
      - {id: text_hurts, claim: p0 - p1 > 0.10}
"""
ANY = MAIN.replace("    answers: seen", "    k: {any: [4, 8]}\n    answers: seen")
COMMAND = re.compile(r"::(\w+) file=([^,]*),line=(\d+),col=\d+,title=([^:]*)::(.*)")


@pytest.fixture
def project(pytester, monkeypatch, tmp_path_factory):
    """A user's project; its runs share a cache."""
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Project(pytester)


def parsed(lines):
    """By title: level, file, line and text of each annotation."""
    found = [COMMAND.fullmatch(line).groups() for line in lines]
    return {title.replace("%3A", ":"): (*place, text) for *place, title, text in found}


def line_of(text, spec):
    (number,) = [number for number, line in enumerate(spec.splitlines(), 1) if text in line]
    return str(number)


@pytest.fixture
def told(tmp_path):
    """Annotations and summary of a run that leaves the given evidence."""

    def tell(*held, gates=BASE + MAIN, missing=()):
        (tmp_path / "gate_specs.yaml").write_text(HEAD + gates, encoding="utf-8")
        verdicts = VerdictReporter(load_spec(str(tmp_path / "gate_specs.yaml")), tmp_path, "run-1")
        for one in held:
            save(evidence_path(tmp_path, one["gate"], one["k"]), one)
        for gate, k in [*((one["gate"], one["k"]) for one in held), *missing]:
            verdicts.pytest_runtest_logreport(report_of(Case(gate, "check", "null_is_zero", k)))
        lines = annotation_lines(verdicts, Places(tmp_path, tmp_path))
        return parsed(dict.fromkeys(lines)), "\n".join(summary_lines(verdicts))

    return tell


def report_of(case):
    where = ("gates/test_leaks.py", 1, "test_leak")
    report = pytest.TestReport("test_leak", where, {}, "passed", None, "call")
    report.user_properties = case.properties
    return report


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_run_annotates_a_failing_line_and_adds_its_summary_once(project, monkeypatch, workers):
    summary = project.path / "summary.md"
    summary.write_text("before\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.path.parent))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    project.write(WRONG)
    result = project.run("-m", "wrong", *workers)
    assert result.ret == 1
    lines = [line for line in result.outlines if line.startswith("::")]
    assert len(lines) == 1
    level, file, line, text = parsed(lines)["text_hurts: FAIL"]
    assert (level, file) == ("error", f"{project.path.name}/gate_specs.yaml")
    assert line == line_of("id: text_hurts", HEAD + WRONG)
    (criterion,) = project.evidence("wrong")["criteria"]
    assert text == criterion["message"].replace("%", "%25")
    written = summary.read_text(encoding="utf-8")
    assert written.startswith("before\n")
    assert written.count("## wrong: FAIL") == 1
    successes = project.evidence("wrong")["conditions"]["p1"]["likelihood"]["successes"]
    assert f"| `p1` | {successes}/60 = " in written


def test_a_gate_that_passes_is_summarised_and_not_annotated(told, tmp_path):
    held = evidence(tmp_path)
    annotations, summary = told(held)
    assert annotations == {}
    assert "## main k=4: PASS" in summary
    assert "33 of 33 validity checks that apply passed" in summary
    assert "Required base: PASS" in summary
    for one in held["criteria"]:
        assert f"| `{one['id']}` | `{one['claim']}` |" in summary


def test_fail_is_an_error_and_inconclusive_a_warning(told, tmp_path):
    held = evidence(tmp_path, outcomes(normal=40, null=80, shuffle=35))
    verdicts = {one["id"]: one["verdict"] for one in held["criteria"]}
    assert set(verdicts.values()) == {"FAIL", "INCONCLUSIVE"}
    annotations, _ = told(held)
    assert len(annotations) == len(verdicts)
    for name, verdict in verdicts.items():
        level = {"FAIL": "error", "INCONCLUSIVE": "warning"}[verdict]
        found = annotations[f"{name} k=4: {verdict}"]
        assert found[0] == level
        assert found[2] == line_of(f"id: {name},", HEAD + BASE + MAIN)


def test_an_invalid_gate_is_annotated_at_its_own_line_and_its_criteria_are_not(told, tmp_path):
    annotations, summary = told(evidence(tmp_path, failed="null_is_zero"))
    ((title, (level, _, line, text)),) = annotations.items()
    assert (title, level) == ("main k=4: INVALID", "error")
    assert line == line_of("  main:", HEAD + BASE + MAIN)
    assert "null_is_zero: detail of null_is_zero" in text
    assert "`above_p0`" not in summary


def test_what_made_a_gate_invalid_is_annotated_where_it_stands(told, tmp_path):
    annotations, _ = told(evidence(tmp_path, outcomes(p1=25)))
    assert set(annotations) == {"main k=4: INVALID", "text_helps k=4: FAIL"}
    assert annotations["text_helps k=4: FAIL"][2] == line_of("id: text_helps", HEAD + BASE)


def test_what_was_not_measured_is_a_warning(told, tmp_path):
    annotations, summary = told(missing=[("main", 4)])
    ((title, (level, *_)),) = annotations.items()
    assert (title, level) == ("main k=4: NOT MEASURED", "warning")
    assert "## main k=4: NOT MEASURED" in summary


def test_a_k_that_another_one_carries_is_a_notice(told, tmp_path):
    good = evidence(tmp_path, gates=BASE + ANY)
    bad = evidence(tmp_path, outcomes(normal=25), gates=BASE + ANY, k=8)
    annotations, summary = told(good, bad, gates=BASE + ANY)
    assert {level for level, *_ in annotations.values()} == {"notice"}
    assert "## main any k of 4, 8: PASS" in summary
    assert "## main k=8: INCONCLUSIVE (this k alone)" in summary


def test_a_gate_beside_another_is_a_notice(told, tmp_path):
    gates = BASE.replace("    answers: seen", "    beside: [wrong]\n    answers: seen") + WRONG
    beside = evidence(tmp_path, gates=gates, gate="wrong", k=None)
    held = evidence(tmp_path, gates=gates, gate="base", k=None)
    save(tmp_path / "wrong.json", beside)
    annotations, summary = told(held, gates=gates)
    assert annotations["text_hurts: FAIL"][0] == "notice"
    assert "## wrong: FAIL (beside; sets no exit code)" in summary


def test_a_summary_that_cannot_be_written_leaves_the_run_alone(tmp_path):
    written = []
    (tmp_path / "gate_specs.yaml").write_text(HEAD + BASE, encoding="utf-8")
    verdicts = VerdictReporter(load_spec(str(tmp_path / "gate_specs.yaml")), tmp_path, "run-1")
    environment = {"GITHUB_STEP_SUMMARY": str(tmp_path / "none" / "summary.md")}
    reporter = github_reporter(verdicts, tmp_path, environment)
    terminal = type("Terminal", (), {"write_line": staticmethod(written.append)})
    reporter.pytest_terminal_summary(terminal)
    (line,) = written
    assert "no summary written" in line


def test_every_verdict_but_pass_has_a_level():
    assert set(LEVELS) == set(Verdict) - {Verdict.PASS}


def test_any_text_survives_a_workflow_command():
    place = Position("odd,name:1%.yaml", 3, 5)
    line = annotation("error", place, "a: b, c", "100 %\r\n::error::not a command")
    assert line == (
        "::error file=odd%2Cname%3A1%25.yaml,line=3,col=5,title=a%3A b%2C c::"
        "100 %25%0D%0A::error::not a command"
    )


def test_a_file_outside_the_checkout_keeps_its_name(tmp_path):
    places = Places(tmp_path, tmp_path / "checkout")
    assert places.of(Position("spec.yaml", 1, 1)) == Position("spec.yaml", 1, 1)
    inside = Position("checkout/deep/spec.yaml", 1, 1)
    assert places.of(inside) == Position("deep/spec.yaml", 1, 1)
