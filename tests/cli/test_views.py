"""`lpca views`: what A is to encode, in a file that tells no more than A may know."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from gate_project import two_senders

from lpca.commands.cli import main
from lpca.gate.plan import gate_episodes, sound_spec, task_of

SPEC = """
version: 1
task: {{name: trip, options: 4, seed: {seed}}}
evaluation: {{n: 60, score: likelihood, confidence: 0.95, equivalence_confidence: 0.90}}
gates:
  base:
    title: The task is valid
    answers: seen
    conditions: [p0, p1]
    expect: {{p0: 0.25, p1: 0.95}}
    criteria:
      - {{id: text_helps, claim: p1 - p0 > 0.20}}
  plain:
    title: The channel carries the message
    answers: seen
    requires: [base]
    conditions: [p0, p1, normal, null, shuffle]
    expect: {{p0: 0.25, p1: 0.95, normal: 0.95, null: 0.25, shuffle: 0.02}}
    criteria:
      - {{id: above_p0, claim: normal - p0 > 0.10}}
      - {{id: above_null, claim: normal - null > 0}}
      - {{id: above_shuffle, claim: normal - shuffle > 0}}
  whole:
    title: With all controls
    answers: seen
    k: [8]
    requires: [base]
    conditions: [p0, p1, normal, null, shuffle, same_answer, empty, mean, shaped]
    expect:
      {{p0: 0.25, p1: 0.95, normal: 0.95, null: 0.25, shuffle: 0.02, same_answer: 0.9, empty: 0.25,
        mean: 0.25, shaped: 0.25}}
    criteria:
      - {{id: above_p0, claim: normal - p0 > 0.10}}
      - {{id: above_null, claim: normal - null > 0}}
      - {{id: above_shuffle, claim: normal - shuffle > 0}}
"""


@pytest.fixture
def spec(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "gate_specs.yaml"
    path.write_text(SPEC.format(seed=5))
    return path


def lines_of(*asked):
    assert main(["views", "--out", "views.jsonl", *asked]) == 0
    with Path("views.jsonl").open() as file:
        return [json.loads(line) for line in file]


def messages_of(lines):
    return {line["messages"][0] for line in lines}


def test_a_line_is_an_id_what_a_reads_and_nothing_else(spec, capsys):
    lines = lines_of("--gate", "plain")
    assert all(list(line) == ["id", "messages", "public"] for line in lines)
    assert all(len(line["messages"]) == 1 and line["public"] == "" for line in lines)
    ids = [line["id"] for line in lines]
    assert ids == sorted(set(ids)), "in an order that follows from ids, each of them once"
    assert f"{len(lines)} lines for plain" in capsys.readouterr().out


def test_messages_of_all_controls_are_among_them(spec):
    loaded = sound_spec(spec)
    task = task_of(loaded)
    episodes = gate_episodes(loaded, loaded.gates["whole"], task)
    own = {episode.message for episode in episodes}
    own |= {episodes.donor(index).message for index in range(len(episodes))}
    controls = {"", *(episode.paraphrase for episode in episodes)}
    training = {episode.message for episode in task.training_batch(0, 256, 0)}
    few, all_of_them = messages_of(lines_of("--gate", "plain")), messages_of(lines_of())
    assert own | controls | training <= all_of_them
    assert own <= few
    assert not few & (controls | training), "what no condition of the gate needs is not asked for"


def test_ids_follow_from_what_a_reads_alone(spec):
    plain, whole = lines_of("--gate", "plain"), lines_of("--gate", "whole")
    again = lines_of("--gate", "plain")
    assert plain == again
    by_id = {line["id"]: line for line in whole}
    assert all(by_id[line["id"]] == line for line in plain), "whatever gates are asked for"
    spec.write_text(SPEC.format(seed=6))
    other = lines_of("--gate", "plain")
    assert messages_of(other) != messages_of(plain)
    assert all(by_id.get(line["id"], line) == line for line in other)


def test_some_messages_stand_under_two_ids(spec):
    lines = lines_of()
    twice = len(lines) - len(messages_of(lines))
    assert 0.02 * len(lines) < twice < 0.12 * len(lines)


def test_episodes_to_explore_have_other_views(spec):
    test, validation = (messages_of(lines_of("--split", one)) for one in ("test", "validation"))
    training = messages_of(lines_of("--gate", "whole")) - messages_of(lines_of("--gate", "plain"))
    assert len((test & validation) - training) < 0.1 * len(validation)


def test_gates_that_declare_another_k_are_left_out(spec, capsys):
    assert "" not in messages_of(lines_of("--k", "4"))
    assert "for plain" in capsys.readouterr().out
    assert "" in messages_of(lines_of("--k", "8"))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--gate", "plane"], "did you mean 'plain'?"),
        (["--gate", "base"], "it needs no codec; allowed: plain, whole"),
        (["--gate", "whole", "--k", "4"], "gate whole does not declare it; allowed: 8"),
        (["--k", "0"], "--k 0: allowed: whole numbers"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_line(spec, capsys, asked, told):
    assert main(["views", "--out", "views.jsonl", *asked]) == 4
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1


def test_episodes_that_are_drawn_by_the_codec_cannot_come_first(spec, capsys):
    spec.write_text(SPEC.format(seed="drawn"))
    assert main(["views", "--out", "views.jsonl"]) == 4
    assert "seed is drawn, which needs the packets first" in capsys.readouterr().err


def test_a_sender_reads_what_is_public_and_no_other_sender(spec):
    rows = two_senders(300)
    Path("own.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    task = "{name: episodes, file: own.jsonl, seed: 5}"
    # gates about other conditions may have claims that two options do not decide
    text = SPEC.format(seed=5).partition("  whole:")[0].replace("seen\n", "all\n")
    spec.write_text(re.sub(r"task: .*", f"task: {task}", text).replace("0.25", "0.5"))
    lines = lines_of("--gate", "plain")
    public = {text: row["public"] for row in rows for text in row["message"]}
    assert {len(line["messages"]) for line in lines} == {1}
    views = {(line["messages"][0], line["public"]) for line in lines}
    own = {view for view in views if public[view[0]] == view[1]}
    others = views - own
    assert len(own) == 2 * 60, "each sender's of each episode"
    assert len(others) == 2 * 60, "and the donor's, beside what is public of the episode itself"
    assert {seen for _, seen in others} == {seen for _, seen in own}


def test_a_file_of_something_else_is_not_written_over(spec, capsys):
    path = spec.with_name("views.jsonl")
    path.write_text('{"text": "my own"}\n')
    assert main(["views", "--out", "views.jsonl"]) == 4
    assert "it holds no views" in capsys.readouterr().err
    assert path.read_text() == '{"text": "my own"}\n'
    path.unlink()
    assert main(["views", "--out", "views.jsonl"]) == 0
    before = path.read_bytes()
    assert main(["views", "--out", "views.jsonl"]) == 0
    assert path.read_bytes() == before
