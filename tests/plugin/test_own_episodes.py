"""Gates on a user's own episodes, on the stub, from the file to the verdict."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from gate_project import ROOT

from lpca.base.errors import ExitCode
from lpca.codec.recipe import Recipe, Stage
from lpca.gate.measure import STEPS
from lpca.tasks import message_key, split_by_hash

EXAMPLES = ROOT / "examples" / "own_episodes"
HEAD = """
version: 1
task: {{name: episodes, file: {file}, seed: 1}}
evaluation: {{n: {n}, score: likelihood, confidence: 0.95, equivalence_confidence: 0.90}}
gates:
"""
BASE = """
  base:
    conditions: [p0, p1]
    criteria:
      - {id: text_helps, claim: p1 - p0 > 0.20}
"""
MAIN = """
  main:
    requires: [base]
    conditions: [p0, p1, embed, normal, null, random, shuffle]
    expect: {p0: 0.25, p1: 1.0, normal: 0.98, null: 0.25, random: 0.25, shuffle: 0.02}
    criteria:
      - {id: plumbing, claim: abs(embed - p1) < 0.1}
      - {id: above_p0, claim: normal - p0 > 0.10}
      - {id: above_null, claim: normal - null > 0}
      - {id: above_shuffle, claim: normal - shuffle > 0}
      - {id: random_not_above, claim: random - p0 < 0.25}
"""


@pytest.fixture
def own(project, monkeypatch):
    """The project, a file of episodes beside its spec, and a training that is short."""
    recipe = Recipe(stages=(Stage(30),), batch_size=16)

    def short(receiver, task, request, *rest):
        if request.recipe == Recipe():
            request = replace(request, recipe=recipe)
        return STEPS.obtain_codec(receiver, task, request, *rest)

    monkeypatch.setattr("lpca.gate.runner.STEPS", replace(STEPS, obtain_codec=short))
    return project


def take(project, name, gates, n, change=lambda row: row):
    lines = (EXAMPLES / name).read_text(encoding="utf-8").splitlines()
    write(project, name, [json.dumps(change(json.loads(line))) for line in lines])
    project.write(gates, HEAD.format(file=name, n=n))


def write(project, name, lines):
    (project.path / name).write_text("\n".join(lines), encoding="utf-8")


def ledgers(project):
    return sorted(path.name for path in (project.path / ".lpca" / "ledger").glob("*.jsonl"))


def test_a_codec_trained_on_them_passes_and_all_is_kept_by_content(own):
    take(own, "trips.jsonl", BASE + MAIN, n=60)
    assert own.run("-m", "main").ret == ExitCode.PASS
    first = own.evidence()
    assert first["verdict"] == "PASS"
    assert [check["detail"] for check in first["checks"] if check["passed"] is False] == []
    assert first["codec"]["origin"] == "trained"
    assert first["task"]["file"] == "trips.jsonl"
    assert len(ledgers(own)) == 1

    lines = (own.path / "trips.jsonl").read_text(encoding="utf-8").split("\n")
    write(own, "renamed.jsonl", ["", *reversed(lines)])
    own.write(BASE + MAIN, HEAD.format(file="renamed.jsonl", n=60))
    assert own.run("-m", "main").ret == ExitCode.PASS
    second = own.evidence()
    assert second["codec"]["origin"] == "cached"
    assert all(block["cached"] for blocks in second["cache"].values() for block in blocks)
    assert second["hashes"] == {**first["hashes"], "spec": second["hashes"]["spec"]}
    assert len(ledgers(own)) == 1


def test_questions_on_passages_get_a_verdict(own):
    take(own, "countries.jsonl", BASE, n=160)
    assert own.run("-m", "base").ret == ExitCode.FAIL
    evidence = own.evidence("base")
    assert [check["detail"] for check in evidence["checks"] if check["passed"] is False] == []
    assert {episode["answers"] for episode in evidence["episodes"]} == {"seen", "unseen"}


def test_a_question_that_holds_its_answer_makes_the_gate_invalid(own):
    def tell(row):
        return {**row, "context": row["context"].replace("Question:", f"Not {row['answer']}?")}

    take(own, "trips.jsonl", BASE, n=40, change=tell)
    result = own.run("-m", "base")
    assert result.ret == ExitCode.INVALID
    result.stdout.fnmatch_lines(["*no_answer_outside_options*stands in B's prompt outside of*"])


@pytest.mark.parametrize("split", ["test", "train"])
def test_what_exceeds_the_receivers_window_is_refused_before_training(own, split):
    def lengthen(row):
        group = message_key(row["message"])
        longer = {
            "message": f"{row['message']} {'And so on. ' * 300}",
            "group": message_key(row["message"]),
        }
        return {**row, **longer} if split_by_hash(group) == split else row

    take(own, "trips.jsonl", BASE + MAIN, n=50, change=lengthen)
    result = own.run("-m", "main", "--train-seed", "9")
    assert result.ret == ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["*receiver stub: an episode takes * allowed: at most 512*"])
    assert "training codec" not in result.stderr.str()


def test_a_file_that_is_not_sound_ends_the_run_in_one_line(own):
    take(own, "trips.jsonl", BASE, n=40)
    write(own, "trips.jsonl", ["", '{"message": "m"}'])
    result = own.run("-m", "base")
    assert result.ret == ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *_specs.yaml:3:30: *trips.jsonl:2:1: the field context*"])
