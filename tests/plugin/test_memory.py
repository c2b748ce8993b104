"""The ledger in a run: replication is paid for, a search is refused."""

from __future__ import annotations

import json

import pytest
from gate_project import BASE, HEAD, MAIN


def failed_checks(project):
    return [c["id"] for c in project.evidence()["checks"] if c["passed"] is False]


def details(project):
    return {check["id"]: check["detail"] for check in project.evidence()["checks"]}


@pytest.mark.slow
def test_another_training_seed_is_paid_for_and_a_search_is_refused(project):
    project.write(BASE + MAIN, HEAD.replace("n: 60", "n: 60, checkpoints: 2"))
    assert project.run("-m", "main").ret == 0
    assert project.run("-m", "main", "--train-seed", "1").ret == 0
    assert "one of 2 codecs judged on these episodes" in details(project)["checkpoints_accounted"]
    assert project.evidence()["ledger"]["spent"] == 1.0
    assert project.run("-m", "main").ret == 0, "what was looked at once may be looked at again"
    result = project.run("-m", "main", "--train-seed", "2")
    assert result.ret == 7
    assert failed_checks(project) == ["checkpoints_accounted"]
    result.stdout.fnmatch_lines(["*3 codecs were judged on these episodes, 2 are allowed*"])


def test_another_seed_that_shows_the_same_messages_is_another_look(project):
    head = HEAD.replace("n: 60", "n: 60, checkpoints: 1")
    project.write(BASE + MAIN, head)
    assert project.run("-m", "main").ret == 0
    project.write(BASE + MAIN, head.replace("seed: 5", "seed: 6"))
    assert project.run("-m", "main").ret == 7
    assert failed_checks(project) == ["looks_accounted"]


def test_reading_after_more_episodes_is_another_look_where_messages_are_shared(project):
    head = HEAD.replace("n: 60", "n: 60, checkpoints: 1")
    project.write(BASE + MAIN, head)
    assert project.run("-m", "main").ret == 0
    project.write(BASE + MAIN, head.replace("n: 60", "n: 100"))
    result = project.run("-m", "main")
    assert (result.ret, failed_checks(project)) == (7, ["looks_accounted"])


def test_an_altered_ledger_makes_the_gate_invalid(project):
    assert project.run("-m", "main").ret == 0
    assert project.run("-m", "main", "--train-seed", "1").ret == 0
    [path] = (project.path / ".lpca" / "ledger").glob("*.jsonl")
    first, rest = path.read_text().split("\n", 1)
    edited = json.dumps({**json.loads(first), "verdict": "FAIL"}, sort_keys=True)
    path.write_text(f"{edited}\n{rest}")
    result = project.run("-m", "main")
    assert (result.ret, failed_checks(project)) == (7, ["ledger_intact"])
    assert path.read_text() == f"{edited}\n{rest}", "it is left as it is found"


@pytest.mark.parametrize("value", ["0", "101", "many", "1.5"])
def test_an_impossible_number_of_checkpoints(project, value):
    project.write(BASE + MAIN, HEAD.replace("n: 60", f"n: 60, checkpoints: {value}"))
    result = project.run("-m", "main")
    assert result.ret == 4
    text = result.stdout.str() + result.stderr.str()
    assert "checkpoints" in text
    assert "1 to 100" in text
