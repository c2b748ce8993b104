from __future__ import annotations

import json

import pytest

from lpca.evaluation.outcome import INJECTED, NEAR_TIE, Outcome, ReceivedPrompt
from lpca.judge.successes import named_option

RECORD = Outcome(
    seed=17,
    answer=1,
    scores=(-3.25, -1.1234567890123456, -9.0),
    said_ids=(5, 9),
    said=" Rome",
    named=1,
    given=ReceivedPrompt((1, INJECTED, INJECTED, 4), 1, 3, (0.5, 0.25), "ab" * 32),
)


def with_scores(*scores: float, answer: int = 0, named: int | None = None) -> Outcome:
    return Outcome(1, answer, scores, (), "", named, ReceivedPrompt((), 0, 0))


@pytest.mark.parametrize("record", [RECORD, with_scores(-1.0, -2.0)])
def test_json_gives_the_record_back(record: Outcome) -> None:
    assert Outcome.from_json(json.loads(json.dumps(record.to_json()))) == record


@pytest.mark.parametrize(
    "field", ["seed", "answer", "scores", "said_ids", "said", "named", "given", "seconds"]
)
def test_json_without_a_field_is_no_record(field: str) -> None:
    data = RECORD.to_json()
    del data[field]
    with pytest.raises((KeyError, TypeError)):
        Outcome.from_json(data)


@pytest.mark.parametrize(
    ("scores", "answer", "success"),
    [
        ((-1.0, -2.0, -3.0), 0, True),
        ((-1.0, -2.0, -3.0), 1, False),
        ((-1.0, -2.0, -3.0), 2, False),
        ((-1.0, -1.0, -3.0), 0, False),
        ((-3.0, -1.0), 1, True),
    ],
)
def test_likelihood_succeeds_where_the_right_option_alone_is_best(
    scores: tuple[float, ...], answer: int, success: bool
) -> None:
    record = with_scores(*scores, answer=answer)
    assert record.likelihood_success is record.success("likelihood") is success


@pytest.mark.parametrize(("named", "success"), [(0, True), (1, False), (None, False)])
def test_greedy_succeeds_where_the_right_option_is_named(named: int | None, success: bool) -> None:
    record = with_scores(-1.0, -2.0, named=named)
    assert record.greedy_success is record.success("greedy") is success


@pytest.mark.parametrize(
    ("gap", "tie"), [(0.0, True), (NEAR_TIE / 2, True), (-NEAR_TIE / 2, True), (0.01, False)]
)
def test_a_near_tie_is_what_rounding_could_turn(gap: float, tie: bool) -> None:
    assert with_scores(-1.0 + gap, -1.0, -5.0).near_tie is tie


@pytest.mark.parametrize(
    ("text", "named", "final"),
    [
        ("", None, False),
        (" ", None, False),
        (" Ro", None, False),
        (" Rome", 0, True),
        (" Rome.", 0, True),
        ("Rome and Oslo", 0, True),
        ("\n\nOslo", 1, True),
        (" York", 2, False),
        (" Yorkt", 2, False),
        (" York.", 2, True),
        (" Yorktown", 3, True),
        (" rome", None, True),
        (" In Rome", None, True),
        (" Paris", None, True),
    ],
)
def test_the_option_that_text_names(text: str, named: int | None, final: bool) -> None:
    assert named_option(text, ("Rome", "Oslo", "York", "Yorktown")) == (named, final)
