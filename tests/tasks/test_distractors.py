"""Options for rows that name none: of the same kind and split, and none gives itself away."""

from __future__ import annotations

from collections import Counter

import pytest

from lpca.tasks import split_by_hash
from lpca.tasks.distractors import fine_kind, with_options
from lpca.tasks.fields import Row
from lpca.tasks.rows import stands_in

NAMES = [f"{first} {last}" for first in ("Ada", "Ben", "Cleo", "Dan") for last in "KLMNOPQR"]
YEARS = [str(year) for year in range(1900, 1932)]


def row(line: int, answer: str, after: str = "\nWho or when?", also: tuple[str, ...] = ()) -> Row:
    message = f"Note {line} tells {answer}."
    return Row(line, message, "\n", after, answer, (), message.casefold(), also=also)


ROWS = [row(i, (NAMES, YEARS)[i % 2][i // 2 % 32]) for i in range(400)]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("no", "yes or no"),
        ("2008", "year"),
        ("3008", "numeral"),
        ("July 1899", "date"),
        ("12.5%", "percentage"),
        ("$2.4 million", "amount of money"),
        ("seven", "number"),
        ("40 km", "number with words"),
        ("Bank of England", "name of 2 words"),
        ("in the barn", "phrase of 1 word"),
        ("a bucket of cold clear water", "longer phrase"),
    ],
)
def test_the_kind_of_an_answer(answer: str, kind: str) -> None:
    assert fine_kind(answer) == kind


def test_options_are_answers_of_the_same_kind_and_split() -> None:
    made = with_options(ROWS, 4, 1)
    answers: dict[str, set[str]] = {}
    for one in ROWS:
        answers.setdefault(split_by_hash(one.group), set()).add(one.answer)
    assert len(made) >= 390
    for one in made:
        assert len(set(one.options)) == 4
        assert one.answer in one.options
        assert {fine_kind(option) for option in one.options} == {fine_kind(one.answer)}
        assert set(one.options) <= answers[split_by_hash(one.group)]


def test_every_row_has_a_partner_that_has_its_answer() -> None:
    made = with_options(ROWS, 4, 1)
    for one in made:
        assert any(
            other.answer in one.options and one.answer in other.options
            for other in made
            if other.answer != one.answer and split_by_hash(other.group) == split_by_hash(one.group)
        )


def test_every_place_is_right_equally_often_within_a_split() -> None:
    made = [one for one in with_options(ROWS, 4, 1) if split_by_hash(one.group) == "train"]
    places = Counter(one.options.index(one.answer) for one in made)
    assert max(places.values()) - min(places.values()) <= 1


def test_they_follow_from_the_seed_and_rows_keep_their_own() -> None:
    assert with_options(ROWS, 4, 1) == with_options(ROWS, 4, 1)
    assert with_options(ROWS, 4, 1) != with_options(ROWS, 4, 2)
    own = with_options(ROWS, 4, 1)
    assert with_options(own, 3, 9) == own


def test_none_contains_another_is_right_too_or_stands_in_the_question() -> None:
    names = ["York", "New York", "Old York", "Rome", "Bern", "Lima", "Riga", "Oslo", "Quito"]
    rows = [
        row(i, names[i % 9], f"\nIs it not {names[(i + 1) % 9]}?", ("Cairo",)) for i in range(300)
    ]
    made = with_options([*rows, *(row(900 + i, "Cairo") for i in range(30))], 4, 1)
    assert len(made) > 200
    for one in made:
        for option in one.options:
            assert option == one.answer or not stands_in(option, one.after)
            assert option not in one.also
            others = [other for other in one.options if other != option]
            assert not any(stands_in(option, other) for other in others)


def test_yes_and_no_stand_against_each_other() -> None:
    rows = [row(i, "yes" if i % 2 else "no", "\nIs it?") for i in range(200)]
    assert {one.options for one in with_options(rows, 4, 1)} == {("yes", "no")}


def test_rows_of_one_answer_cannot_serve() -> None:
    assert with_options([row(i, "Oslo") for i in range(50)], 4, 1) == []
