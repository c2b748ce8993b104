"""Marks of answers in words: exact match and token F1, the best over all that is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpca.evaluation.conditions import Setting
from lpca.evaluation.evaluate import evaluate
from lpca.gate.plan import sound_spec
from lpca.gatespec.load import SpecError
from lpca.receivers.model import Receiver
from lpca.tasks import TaskError, make_task
from lpca.tasks.marks import MARKS, exact_match, token_f1

WORDS = st.lists(st.sampled_from(["Oslo", "the", "in", "1905", "a", "b."]), max_size=5).map(
    " ".join
)


@pytest.mark.parametrize(
    ("said", "right", "exact", "f1"),
    [
        ("Oslo", ["Oslo"], 1.0, 1.0),
        ("The Oslo!", ["oslo"], 1.0, 1.0),
        ("Rome", ["Oslo"], 0.0, 0.0),
        ("in Oslo", ["Oslo", "in Oslo"], 1.0, 1.0),
        ("in Oslo, Norway", ["Oslo"], 0.0, 0.5),
        ("Oslo Oslo", ["Oslo"], 0.0, 2 / 3),
        ("the", ["Oslo"], 0.0, 0.0),
        ("the", ["a"], 1.0, 1.0),
        ("", ["Oslo"], 0.0, 0.0),
        ("U.S.", ["US"], 1.0, 1.0),
    ],
)
def test_marks_of_answers(said: str, right: list[str], exact: float, f1: float) -> None:
    assert exact_match(said, right) == exact
    assert token_f1(said, right) == pytest.approx(f1)


@given(WORDS, st.lists(WORDS, min_size=1, max_size=4))
def test_an_exact_answer_has_all_of_f1_and_more_right_answers_lower_none(
    said: str, right: list[str]
) -> None:
    for mark in MARKS.values():
        assert 0.0 <= mark(said, right[:1]) <= mark(said, right) <= 1.0
    assert token_f1(said, right) == 1.0 or exact_match(said, right) == 0.0


def rows(folder: Path) -> Path:
    held = [
        {
            "message": f"{i} is in {city}.",
            "context": f"Where is {i}?{{message}}\nIn",
            "answer": [city, f"the city of {city}"],
        }
        for i in range(240)
        for city in [("Oslo", "Rome", "Lima", "Bern", "Cork")[i % 5]]
    ]
    path = folder / "own.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in held))
    return path


def test_a_verifier_marks_what_b_says_and_options_are_scored_beside_it(
    llama: Receiver, tmp_path: Path
) -> None:
    rows(tmp_path)
    plain = make_task("episodes", {"file": "own.jsonl"}, tmp_path)
    task = make_task("episodes", {"file": "own.jsonl", "verifier": "f1"}, tmp_path)
    asked, free = (one.evaluation_set("test", "all", 6, 1) for one in (plain, task))
    assert asked.hash() != free.hash()
    episode = free.episodes[0]
    assert episode.credit(f" {episode.right} \nelse") == 1.0
    assert episode.credit(f"a city of {episode.right}") == 1.0
    assert episode.credit(f"{episode.right} or not") == 0.5
    assert asked.episodes[0].credit(episode.right) is None
    [outcomes] = evaluate(Setting(llama, None, free), ("p1",), tmp_path / "o").outcomes.values()
    for one, of in zip(outcomes, free, strict=True):
        assert one.credit == of.credit(one.said)
        assert len(one.scores) == 4
    # what was named without a verifier keeps its name
    assert "verifier" not in asked.episodes[0].fields


SPEC = """
version: 1
task: {{name: episodes, file: own.jsonl, seed: 1{more}}}
evaluation: {{n: 60, score: graded}}
gates:
  base:
    conditions: [p0, p1]
    expect: {{p0: 0.1, p1: 0.9}}
    criteria: [{{id: a, claim: p1 - p0 > 0.2}}]
"""


def test_graded_scores_need_a_verifier(tmp_path: Path) -> None:
    rows(tmp_path)
    path = tmp_path / "gate_specs.yaml"
    path.write_text(SPEC.format(more=""))
    with pytest.raises(SpecError, match=r"gives answers no credit; .* or a `verifier` beside"):
        sound_spec(path)
    path.write_text(SPEC.format(more=", verifier: f1"))
    assert sound_spec(path).task.settings["verifier"] == "f1"


@pytest.mark.parametrize(("name", "data"), [("episodes", {"file": "own.jsonl"}), ("qa", {})])
def test_a_verifier_that_is_none_is_refused(
    tmp_path: Path, name: str, data: dict[str, Any]
) -> None:
    rows(tmp_path)
    with pytest.raises(TaskError, match="verifier is 'f2'; did you mean 'f1'"):
        make_task(name, {**data, "verifier": "f2"}, tmp_path)
