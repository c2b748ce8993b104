"""The plugin end to end, on the stub receiver: verdicts, exit codes, selections, workers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gate_project import BASE, HEAD, ROOT, WRONG

import lpca
from lpca.gate import runner
from lpca.gate.measure import STEPS
from lpca.receivers.forward import Slot

CLOSE = """
  close:
    title: Text helps by just what it does
    answers: seen
    conditions: [p0, p1]
    expect: {p0: 0.15, p1: 1.0}
    criteria:
      - {id: large, claim: p1 - p0 > 0.70}
"""
UNREAD = """
  unread:
    title: Nothing is read where a required gate does not pass
    answers: seen
    requires: [wrong]
    conditions: [p0, p1]
    criteria:
      - {id: text_helps, claim: p1 - p0 > 0.20}
"""
ALL_CONDITIONS = {"p0", "p1", "embed", "normal", "null", "random", "shuffle", "static"}


def measured(evidence):
    return [
        (e["seed"], {c: (o["likelihood"], o["greedy"]) for c, o in e["outcomes"].items()})
        for e in evidence["episodes"]
    ]


def test_a_criterion_that_warns_is_a_warning_and_the_run_is_the_gates_verdict(project):
    warned = "      - {id: helps_a_lot, claim: p1 - p0 > 0.95, severity: warn}\n"
    project.write(BASE + warned)
    result = project.run("-m", "base", "-rx", "--junitxml", "j.xml")
    assert result.ret == 0
    assert result.parseoutcomes()["xfailed"] == 1
    assert result.parseoutcomes()["warnings"] == 1
    result.stdout.fnmatch_lines(
        [
            "*CriterionWarning: base helps_a_lot: *",
            "base: PASS: its criterion holds; 0 of 1 that only warn hold",
            "*(warns only): *",
        ]
    )
    assert 'name="base" value="PASS"' in (project.path / "j.xml").read_text()


def test_a_gate_that_holds_passes_and_shows_its_numbers(project):
    result = project.run("-m", "main", "-v")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "*test_criterion?main-above_p0-k4? PASSED*",
            "main k=4: PASS: all 3 criteria hold",
            "*PASS: normal * % is above null * %",
        ]
    )
    evidence = project.evidence()
    assert evidence["verdict"] == "PASS"
    applies = {check["id"]: check["passed"] for check in evidence["checks"]}
    assert {name for name, passed in applies.items() if not passed} == {
        *("mean_is_mean", "same_answer_agrees", "shaped_is_shaped", "empty_is_empty"),
        *("bits_as_declared", "lengths_say_nothing", "packets_within_limit"),
        "remembers_nothing",
    }
    assert False not in applies.values()
    assert len(evidence["episodes"]) == 60
    assert set(evidence["episodes"][0]["outcomes"]) == ALL_CONDITIONS
    assert "--receiver" in evidence["command"]
    table = evidence["criteria"][0]["table"]
    assert sum(table.values()) == 60
    assert table["a"] + table["b"] == evidence["conditions"]["normal"]["likelihood"]["successes"]


@pytest.mark.parametrize(
    ("gates", "marker", "code", "line"),
    [
        (WRONG, "wrong", 1, "wrong: FAIL*"),
        (CLOSE, "close", 6, "close: INCONCLUSIVE*"),
        (WRONG + UNREAD, "unread", 7, "unread: INVALID*"),
        (BASE + WRONG + CLOSE, "wrong or close", 1, "close: INCONCLUSIVE*"),
        (BASE + CLOSE, "base or close", 6, "base: PASS*"),
        (WRONG + UNREAD + CLOSE, "wrong or close or unread", 7, "wrong: FAIL*"),
    ],
)
def test_each_verdict_has_its_exit_code(project, gates, marker, code, line):
    project.write(gates)
    result = project.run("-m", marker)
    assert result.ret == code
    result.stdout.fnmatch_lines([line])


def test_an_inconclusive_criterion_says_which_n_is_needed(project):
    project.write(CLOSE)
    project.run("-m", "close")
    (criterion,) = project.evidence("close")["criteria"]
    assert criterion["verdict"] == "INCONCLUSIVE"
    assert criterion["needed_n"] is None or criterion["needed_n"] > 60


def biased_null(setting):
    width = setting.receiver.d_model
    return [Slot(vectors=torch.full((4, width), 0.01)) for _ in setting.episodes]


@pytest.mark.parametrize("extra", [(), ("-x",), ("--lf",)])
def test_a_failed_check_makes_the_gate_invalid_and_no_criterion_is_read(
    project, monkeypatch, extra
):
    monkeypatch.setattr(runner, "STEPS", replace(STEPS, conditions={"null": biased_null}))
    result = project.run("-m", "main", *extra)
    assert result.ret == 7
    evidence = project.evidence()
    failed = [check["id"] for check in evidence["checks"] if check["passed"] is False]
    assert failed == ["null_is_zero"]
    assert {criterion["estimate"] for criterion in evidence["criteria"]} == {None}
    outcomes = result.parseoutcomes()
    if not extra:
        assert outcomes["errors"] == 3, "every criterion errors"
        assert outcomes["failed"] == 1, "and the check itself fails"
        result.stdout.fnmatch_lines(["*main is INVALID: null_is_zero*"])


@pytest.mark.parametrize(
    "picked",
    [
        ("-k", "above_null"),
        ("gates/test_criteria.py::test_criterion[main-above_p0-k4]",),
        ("gates/test_leaks.py",),
        ("--deselect", "gates/test_criteria.py::test_criterion[main-above_p0-k4]"),
    ],
)
def test_a_run_that_left_criteria_out_is_not_measured(project, picked):
    result = project.run("-m", "main", *picked)
    assert result.ret == 8
    result.stdout.fnmatch_lines(["main*: NOT MEASURED*"])
    assert project.evidence()["verdict"] == "NOT MEASURED"


def test_a_broken_fixture_is_not_measured(project):
    (project.path / "gates" / "conftest.py").write_text(
        "import pytest\n\n\n@pytest.fixture(autouse=True)\n"
        "def broken():\n    raise RuntimeError('no')\n"
    )
    result = project.run("-m", "base")
    assert result.ret == 8
    result.stdout.fnmatch_lines(["base: NOT MEASURED*"])


def test_last_failed_leaves_the_verdict_as_it_was(project):
    project.write(WRONG)
    assert project.run("-m", "wrong").ret == 1
    assert project.run("-m", "wrong", "--lf").ret == 1


def test_another_failing_test_fails_the_run(project):
    (project.path / "gates" / "test_own.py").write_text("def test_own():\n    assert False\n")
    assert project.run("-m", "base or not base", "-k", "text_helps or test_own").ret == 1


def test_a_gate_beside_another_is_shown_and_sets_no_exit_code(project):
    project.write(WRONG + BASE.replace("    conditions", "    beside: [wrong]\n    conditions"))
    result = project.run("-m", "base")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["wrong: FAIL (beside*", "base: PASS*"])
    assert project.run("-m", "wrong").ret == 1


def test_a_gate_beside_another_that_cannot_be_measured_takes_nothing_from_it(project, monkeypatch):
    def fails_beside(setting, names, *rest):
        if "embed" in names:
            raise RuntimeError("no memory")
        return STEPS.evaluate(setting, names, *rest)

    monkeypatch.setattr(runner, "STEPS", replace(STEPS, evaluate=fails_beside))
    wrong = WRONG.replace("p0, p1]", "p0, p1, embed]")
    project.write(wrong + BASE.replace("    conditions", "    beside: [wrong]\n    conditions"))
    result = project.run("-m", "base")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["wrong: NOT MEASURED (beside*", "base: PASS*"])


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
@pytest.mark.parametrize(("picked", "code"), [(("-m", "gate9"), 4), (("-k", "no_such"), 5)])
def test_an_empty_selection_is_no_pass(project, workers, picked, code):
    result = project.run(*picked, *workers, in_process=not workers)
    assert result.ret == code
    assert "INTERNALERROR" not in result.stdout.str()


@pytest.mark.parametrize(
    ("gates", "marker", "code", "stop"),
    [
        (WRONG + UNREAD + CLOSE, "wrong or close or unread", 7, ()),
        pytest.param(WRONG, "wrong", 1, ("-x",), marks=pytest.mark.slow),
        pytest.param(CLOSE, "close", 6, ("-x",), marks=pytest.mark.slow),
        pytest.param(WRONG + UNREAD, "unread", 7, ("-x",), marks=pytest.mark.slow),
    ],
)
def test_exit_codes_are_those_of_a_run_without_workers(project, gates, marker, code, stop):
    project.write(gates)
    assert project.run("-m", marker, "-n", "2", *stop, in_process=False).ret == code


def test_workers_leave_out_what_the_run_leaves_out(project):
    result = project.run("-m", "main", "-k", "above_null", "-n", "2", in_process=False)
    assert result.ret == 8


def test_a_usage_error_in_a_worker_is_one_of_the_run(project):
    missing = ("--receiver", "./no-such-model")
    assert project.run("-m", "base", "-n", "2", *missing, in_process=False).ret == 4


def test_several_k_make_tests_of_their_own(project):
    result = project.run("--collect-only", "-q", "-m", "main", "--k", "4,8")
    result.stdout.fnmatch_lines(["*test_criterion?main-above_p0-k4?", "*main-above_p0-k8?"])


def test_workers_share_one_measurement_and_give_the_same_evidence(project):
    alone = project.run("-m", "main", in_process=False)
    first = project.evidence()
    together = project.run("-m", "main", "-n", "2", in_process=False)
    second = project.evidence()
    assert alone.ret == together.ret == 0
    assert measured(first) == measured(second)
    assert first["criteria"] == second["criteria"]
    assert first["run"] != second["run"]


def test_a_gate_without_latents_trains_no_codec(project):
    result = project.run("-m", "base")
    assert result.ret == 0
    assert project.evidence("base")["codec"] is None
    assert "training" not in result.stderr.str()


def test_collecting_loads_no_torch(project):
    (project.path / "gates" / "conftest.py").write_text(
        "import sys\n\n\ndef pytest_unconfigure():\n"
        "    loaded = {'torch', 'transformers', 'scipy'} & set(sys.modules)\n"
        "    print('loaded:', sorted(loaded))\n"
    )
    # truly started, with nothing of this run: what is forked has torch from the start
    own = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    own["PYTHONPATH"] = str(Path(lpca.__file__).parents[1])
    command = [sys.executable, "-m", "pytest", "gates", "--collect-only", "-q", "-s"]
    result = subprocess.run(command, cwd=project.path, env=own, capture_output=True, text=True)
    assert result.returncode == 0
    assert "loaded: []" in result.stdout


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("criteria:", "criterai:", r"gate_specs\.yaml:\d+:\d+: .*criterai.*criteria"),
        ("title: The task", "title: x\n    title: The task", r"gate_specs\.yaml:\d+:\d+: .*title"),
        ("p1 - p0 > 0.20", "p1 - pO > 0.20", r"gate_specs\.yaml:\d+:\d+: .*pO.*p0"),
        ("n: 60", "n: many", r"gate_specs\.yaml:\d+:\d+: .*many"),
        ("p1 - p0 > 0.20", "p1 - p0 > 0.69", r"gate_specs\.yaml:\d+:\d+: .*underpowered"),
        ("name: trip", "name: tirp", r"gate_specs\.yaml:3:14: .*tirp.*trip"),
        ("options: 4", "options: 1", r"gate_specs\.yaml:3:29: .*options.*2 to 16"),
        ("options: 4", "optoins: 4", r"gate_specs\.yaml:3:29: .*optoins.*options"),
    ],
)
def test_a_wrong_spec_ends_the_run_with_its_place(project, old, new, message):
    project.write(BASE.replace(old, new), HEAD.replace(old, new))
    result = project.run()
    assert result.ret == 4
    text = result.stdout.str() + result.stderr.str()
    assert "Traceback" not in text
    assert re.search(message, text), text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--k", "0"), "--k 0"),
        (("--k", "four"), "--k four"),
        (("--k", "100000"), "--k 100000"),
        (("--batch-size", "0"), "--batch-size 0"),
        (("--gate-spec", "missing.yaml"), "missing.yaml:1:1"),
        (("--checkpoint", "missing"), "--checkpoint missing"),
        (("-m", "base", "--receiver", "./no-such-model"), "no-such-model"),
        (("-m", "base", "--device", "mps"), "mps"),
    ],
)
def test_a_wrong_option_is_a_usage_error(project, arguments, message):
    result = project.run(*arguments)
    assert result.ret == 4
    assert message in result.stdout.str() + result.stderr.str()
    assert "Traceback" not in result.stderr.str()


def test_a_checkpoint_of_another_k_is_a_usage_error(project, lpca_cache):
    assert project.run("-m", "main").ret == 0
    used = project.evidence()["hashes"]["codec"]
    manifests = (lpca_cache / "codecs").glob("*/manifest.json")
    (folder,) = [m.parent for m in manifests if used in m.read_text()]
    assert project.run("-m", "main", "--checkpoint", str(folder)).ret == 0
    result = project.run("-m", "main", "--k", "8", "--checkpoint", str(folder))
    assert result.ret == 4
    result.stdout.fnmatch_lines(["*does not fit: k is 4, wanted 8*"])


TELLING = """
import os, sys
from pathlib import Path

def pytest_sessionfinish(session):
    worker = getattr(session.config, "workerinput", {}).get("workerid")
    if worker and "torch" in sys.modules:
        Path(f"threads-{worker}").write_text(str(sys.modules["torch"].get_num_threads()))
"""


@pytest.mark.parametrize(
    ("picked", "threads"),
    [pytest.param("base", 2, marks=pytest.mark.slow), ("base or close", 1)],
)
def test_workers_that_measure_at_the_same_time_share_the_cores(
    project, pytester, monkeypatch, picked, threads
):
    project.write(BASE + CLOSE.replace("> 0.70", "> 0.20"))  # no codec is trained for either
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(pytester.path)]))
    pytester.makepyfile(telling=TELLING)
    assert project.run("-m", picked, "-n", "2", "-p", "telling", in_process=False).ret == 0
    told = [path.read_text() for path in pytester.path.glob("threads-*")]
    assert told
    assert set(told) == {str(min(threads, os.cpu_count()))}
