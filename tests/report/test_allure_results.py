"""What Allure is told: classes kept apart, identity without what was measured, true times."""

from __future__ import annotations

import csv
import io
import re
from itertools import pairwise

import pytest
from allure_commons import model2
from allure_commons.model2 import Status, StatusDetails
from allure_evidence import CASE, CHECK, CRITERION, GATE, evidence

from lpca.evidence.json_form import to_data
from lpca.pytest_plugin.allure_plugin import CATEGORIES, environment, executor
from lpca.pytest_plugin.allure_results import (
    Outcome,
    Subject,
    attachments_of,
    criterion_numbers,
    episode_table,
    fill,
    gate_outcome,
    glance,
    outcome_of,
    prompts,
    steps_of,
    verdict_result,
)
from lpca.stats.verdicts import Verdict

SUBJECT = Subject("stub", "trip", 5)
CLASSES = {
    "FAIL": ("failed", "Fail"),
    "INCONCLUSIVE": ("unknown", "Inconclusive"),
    "INVALID": ("broken", "Invalid"),
    "NOT MEASURED": ("unknown", "Not measured"),
}


def categories(outcome):
    """By either Allure's reading: the whole message matches, or a part of it."""
    return [
        {
            one["name"].split(":")[0]
            for one in CATEGORIES
            if outcome.status in one["matchedStatuses"] and match(one["messageRegex"])
        }
        for match in (
            lambda regex: re.fullmatch(regex, outcome.message),
            lambda regex: re.search(regex, outcome.message),
        )
    ]


def result(status=Status.PASSED, message=None, trace=None):
    details = StatusDetails(message=message, trace=trace) if message else None
    return model2.TestResult(
        name="test_criterion[main]",
        fullName="gates.test_criteria#test_criterion",
        status=status,
        statusDetails=details,
        start=1,
        stop=2,
    )


def filled(case=CASE, data=None, subject=SUBJECT, **how):
    made = result(**how)
    fill(made, case, GATE, subject, data)
    return made


def values(made, excluded):
    return {p.name: p.value for p in made.parameters if bool(p.excluded) is excluded}


@pytest.mark.parametrize(("verdict", "shown"), CLASSES.items())
def test_every_verdict_but_pass_has_a_class_of_its_own(verdict, shown):
    status, category = shown
    for outcome in (
        outcome_of(CASE, evidence(verdict), Status.FAILED, "AssertionError: whatever"),
        gate_outcome(Verdict(verdict), evidence(verdict), "", carried=False),
    ):
        assert outcome.status == status
        assert outcome.message.startswith(f"{verdict}: ")
        assert categories(outcome) == [{category}, {category}]


def test_a_failing_test_of_somebody_elses_is_in_no_class():
    assert categories(Outcome(Status.FAILED, "Failed: own")) == [set(), set()]


def test_a_pass_is_passed_and_in_no_class():
    made = outcome_of(CASE, evidence("PASS"), Status.PASSED, "")
    assert (made.status, made.message) == ("passed", "")
    assert gate_outcome(Verdict.PASS, evidence("PASS"), "", carried=False) == made


@pytest.mark.parametrize("data", [None, evidence("PASS"), evidence("FAIL")])
def test_what_raised_is_broken_and_keeps_its_trace(data):
    made = filled(data=data, status=Status.BROKEN, message="RuntimeError: no", trace="line 7")
    outcome = outcome_of(CASE, data, Status.BROKEN, "RuntimeError: no")
    assert categories(outcome) == [{"Broken"}, {"Broken"}]
    assert made.status == "broken"
    assert (made.statusDetails.message, made.statusDetails.trace) == (
        "BROKEN: RuntimeError: no",
        "line 7",
    )


def test_a_test_that_fails_beside_a_criterion_that_holds_is_broken():
    outcome = outcome_of(CASE, evidence("PASS"), Status.FAILED, "Failed: another fixture")
    assert (outcome.status, outcome.message) == ("broken", "BROKEN: another fixture")


def test_without_evidence_nothing_is_measured_and_the_reason_is_given():
    outcome = outcome_of(CASE, None, Status.FAILED, "Failed: receiver x: no such file")
    assert outcome.status == "unknown"
    assert outcome.message == "NOT MEASURED: receiver x: no such file"


def test_a_verdict_comes_from_the_evidence_not_from_the_test():
    assert outcome_of(CASE, evidence("FAIL"), Status.PASSED, "").status == "failed"


def test_a_failed_check_is_invalid_and_one_that_does_not_apply_is_skipped():
    failed = outcome_of(CHECK, evidence("INVALID", check=False), Status.FAILED, "assert False")
    assert categories(failed) == [{"Invalid"}, {"Invalid"}]
    assert outcome_of(CHECK, evidence("INVALID"), Status.PASSED, "").status == "passed"
    skipped = outcome_of(CHECK, evidence(check=None), Status.SKIPPED, "Skipped: needs null")
    assert (skipped.status, skipped.message) == ("skipped", "needs null")


def test_where_another_k_carries_the_gate_this_one_is_neither_failed_nor_passed():
    outcome = gate_outcome(Verdict.FAIL, evidence("FAIL"), "", carried=True)
    assert (outcome.status, outcome.message[:6]) == ("skipped", "passes")
    xfail = outcome_of(CASE, evidence("FAIL"), Status.SKIPPED, "XFAIL passes at another k\n\nmore")
    assert (xfail.status, xfail.message) == ("skipped", "passes at another k")


def test_what_was_measured_is_shown_and_no_part_of_identity():
    first, second = filled(data=evidence(successes=50)), filled(data=evidence(successes=40))
    unmeasured = filled(status=Status.FAILED, message="Failed: no")
    assert first.historyId == second.historyId == unmeasured.historyId
    assert first.testCaseId == second.testCaseId == unmeasured.testCaseId
    assert values(first, False) == {"k": "4", "receiver": "stub", "task": "trip", "seed": "5"}
    assert values(first, False) == values(second, False) == values(unmeasured, False)
    shown = values(first, True)
    assert shown == {
        "estimate": "+58.3 points",
        "interval": "95 %: +40.0 to unbounded points",
        "margin": "+10 points",
        "counts": "a 15, b 35, c 0, d 10",
        "rate normal": "50/60 = 83.3 %",
        "rate null": "15/60 = 25.0 %",
        "n": "60",
    }
    assert values(second, True) != shown
    assert values(unmeasured, True) == {}


def test_another_receiver_seed_task_or_own_codec_is_another_history():
    others = [
        filled(data=evidence()),
        filled(data=evidence(), subject=Subject("smollm2-135m", "trip", 5)),
        filled(data=evidence(), subject=Subject("stub", "trip", 6)),
        filled(data=evidence(), subject=Subject("stub", "own", 5)),
        filled(data=evidence(), subject=Subject("stub", "trip", 5, "mine:make")),
        filled(case=CHECK, data=evidence()),
    ]
    assert len({made.historyId for made in others}) == len(others)


def test_an_unread_criterion_shows_no_numbers():
    assert criterion_numbers(CRITERION, evidence("INVALID")) == []


def test_a_test_stands_in_its_gates_suite_under_a_title_in_words():
    made, check = filled(data=evidence()), filled(case=CHECK, data=evidence())
    assert made.name == "normal is more than 10 points above null"
    assert check.name == "null is exactly zero"
    labels = {label.name: label.value for label in made.labels}
    assert labels == {
        "parentSuite": "main: The channel carries the message",
        "suite": "k=4",
        "subSuite": "Criteria",
    }
    assert check.labels[-1].value == "Validity checks"
    assert "gate_specs.yaml:12" in made.description


def test_steps_take_the_times_that_were_measured_and_end_when_the_evidence_was_written():
    steps = steps_of(evidence())
    took = {step.name: step.stop - step.start for step in steps}
    assert took == {
        "load the receiver": 1500,
        "train": 30250,
        "encode": 500,
        "evaluate": 30000,
        "check": 2000,
        "decide": 125,
    }
    assert all(one.stop == two.start for one, two in pairwise(steps))
    assert steps[-1].stop == 1767323045000
    train = steps[1]
    assert [(p.name, p.stop - p.start) for p in train.steps] == [
        ("codec", 20250),
        ("control", 10000),
    ]
    origin = {p.name: p.value for p in train.steps[0].parameters}
    assert origin == {"seconds": "20.25", "origin": "trained", "training steps": "120"}


def test_of_a_codec_trained_elsewhere_no_number_of_steps_is_given():
    train = steps_of(evidence(codec={"origin": "mine:make", "history": []}))[1]
    shown = {p.name: p.value for p in train.steps[0].parameters}
    assert shown == {"seconds": "20.25", "origin": "mine:make"}


def test_a_step_that_was_not_timed_is_not_made_up():
    only = steps_of(evidence(codec=None, static=None, seconds={"encode": 0.0, "evaluate": 3.0}))
    assert [step.name for step in only] == ["evaluate"]


def test_the_verdict_of_a_gate_has_its_rates_and_reasons():
    outcome = gate_outcome(Verdict.INVALID, evidence("INVALID"), "", carried=False)
    made = verdict_result(GATE, 4, outcome, SUBJECT, evidence("INVALID"), 99)
    assert made.status == "broken"
    assert made.statusDetails.message == "INVALID: null_is_zero: it is not"
    assert values(made, True) == {"rate normal": "50/60 = 83.3 %", "rate null": "15/60 = 25.0 %"}
    assert made.stop - made.start == 64375


def test_the_verdict_of_a_gate_without_evidence_says_why():
    outcome = gate_outcome(Verdict.NOT_MEASURED, None, "out of memory", carried=False)
    made = verdict_result(GATE, 4, outcome, SUBJECT, None, 99)
    assert (made.status, made.start, made.stop, made.steps) == ("unknown", 99, 99, [])
    assert made.statusDetails.message == "NOT MEASURED: out of memory"


def test_the_episode_table_is_csv_of_every_outcome():
    (row,) = csv.DictReader(io.StringIO(episode_table(evidence())))
    assert row["message"] == 'Go to "Oslo", please'
    assert (row["right"], row["normal likelihood"], row["normal greedy"]) == ("Oslo", "1", "0")
    assert row["null said"] == "Oslo"


def test_prompts_are_shown_with_their_hashes():
    text = prompts(evidence())
    assert "=== normal, episode 7\nprompt sha256 pppp" in text
    assert "Go to⟦vector 1 of 1, norm 2.000⟧ now" in text


def test_the_evidence_is_attached_as_it_stands():
    found = {one.name: one for one in attachments_of(evidence(), b"{}")}
    assert found["evidence"].body == b"{}"
    assert found["episodes"].kind.mime_type == "text/csv"
    curve = found["training curve"]
    assert (curve.kind.mime_type, b"<svg" in curve.body) == ("image/svg+xml", True)


def test_without_a_codec_there_is_no_training_curve():
    names = [one.name for one in attachments_of(evidence(codec=None), b"{}")]
    assert names[1:] == ["evidence", "episodes", "prompts as B saw them"]


def test_what_cannot_be_drawn_is_said():
    (drawn,) = to_data(evidence().criteria)
    (missing,) = glance(evidence(criteria=[{**drawn, "interval": [-1e308, 1e308]}]))
    assert missing.name == "no picture of the gate at a glance"
    assert missing.kind.mime_type == "text/plain"


def test_the_environment_can_be_read_as_properties():
    text = environment([evidence()], {"main k=4": "PASS"})
    entries = dict(re.split(r"(?<!\\)=", line, maxsplit=1) for line in text.splitlines())
    assert entries[r"verdict\ main\ k\=4"] == "PASS"
    assert entries["receiver"] == "stub (float32, cpu)"
    assert entries["torch"] == "2.13.0"
    assert entries["command"] == "pytest gates/"


def test_the_executor_names_the_run_and_its_verdicts():
    found = executor("abcdef0123", 1700000000, {"main k=4": "FAIL", "base": "PASS"})
    assert found["buildName"] == "run abcdef01"
    assert found["reportName"] == "main k=4: FAIL, base: PASS"
