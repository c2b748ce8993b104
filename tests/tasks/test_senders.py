"""Rows of several senders, and of text that both sides see."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gate_project import two_senders

from lpca.base.hashing import hash_data
from lpca.tasks import Episode, EpisodeSet, TaskError
from lpca.tasks.fields import Row
from lpca.tasks.kinds.episodes import Episodes
from lpca.tasks.rows import read_rows

SLOTS = {
    "message": ["Bo is off.", "It is to Oslo."],
    "context": "Who: {message:2}\nWhere:{message:1}\nBo goes to",
    "answer": "Oslo",
}
ONE_SLOT = {**SLOTS, "context": "Where?{message}\nBo goes to"}
PUBLIC = {"message": "It is in Oslo.", "context": "Where is it?{message}\nTo", "answer": "Oslo"}


def read(folder: Path, *rows: Any) -> list[Row]:
    path = folder / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_rows(path)


def test_each_sender_may_have_a_slot_in_any_order(tmp_path: Path) -> None:
    [row] = read(tmp_path, SLOTS)
    assert row.context == ("Who:", "\nWhere:", "\nBo goes to")
    assert (row.senders, row.order) == (("Bo is off.", "It is to Oslo."), (1, 0))
    assert row.message == "Bo is off.\nIt is to Oslo."


def test_all_senders_may_share_a_slot(tmp_path: Path) -> None:
    [row] = read(tmp_path, ONE_SLOT)
    assert row.context == ("Where?", "\nBo goes to")
    assert (row.senders, row.order) == (("Bo is off.", "It is to Oslo."), ())


def test_a_row_of_one_sender_is_what_it_was(tmp_path: Path) -> None:
    row = {"message": "It is {message:2}.", "context": "{message:1}{message}", "answer": "Oslo"}
    [found] = read(tmp_path, row)
    assert found.content == (
        *("It is {message:2}.", "{message:1}", "\n", "Oslo", (), "it is {message:2}."),
    )


def test_public_text_stands_in_the_context_as_a_reader_sees_it(tmp_path: Path) -> None:
    [row] = read(tmp_path, {**PUBLIC, "public": " where IS\nit? "})
    assert row.public == "where IS\nit?"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({**SLOTS, "message": ["a"]}, "message is ['a']; allowed: a text that is not empty, or a"),
        ({**SLOTS, "message": ["a"] * 9}, "or a list of 2 to 8 such"),
        ({**SLOTS, "message": ["a", " "]}, "message 2 is ' '; allowed: a text"),
        ({**SLOTS, "message": ["a", "{message:1}"]}, "message holds {message}; allowed"),
        ({**SLOTS, "message": ["a", "b", "c"]}, "has {message:2}, {message:1}; allowed: {message}"),
        ({**SLOTS, "context": "{message:1}{message:1} A"}, "to {message:2}, each once"),
        ({**SLOTS, "context": "{message:1}{message} A"}, "has {message:1}, {message}; allowed"),
        ({**SLOTS, "context": "A"}, "context has no place for the message; allowed: {message}"),
        ({**SLOTS, "message": "a"}, "context has no place for the message; allowed: {message}"),
        (ONE_SLOT, "2 sender(s) and 1 slot(s), on line 1 2 sender(s) and 2 slot(s); allowed: as"),
        (PUBLIC, "1 sender(s) and 1 slot(s), on line 1 2 sender(s) and 2 slot(s); allowed: as"),
        ({**PUBLIC, "public": "Where was it?"}, "public 'Where was it?' does not stand in context"),
        ({**PUBLIC, "public": "it? To"}, "public 'it? To' does not stand in context; allowed: a"),
        ({**PUBLIC, "public": ["a"]}, "public is ['a']; allowed: a text that is not empty"),
    ],
)
def test_a_row_that_is_not_as_it_must_be_is_named(tmp_path: Path, row: Any, says: str) -> None:
    with pytest.raises(TaskError) as caught:
        read(tmp_path, SLOTS, row)
    assert f"{tmp_path / 'own.jsonl'}:2:" in str(caught.value)
    assert says in str(caught.value)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> EpisodeSet:
    file = tmp_path_factory.mktemp("senders") / "own.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in two_senders(120)), encoding="utf-8")
    task = Episodes.from_settings({"file": file.name}, file.parent)
    return task.evaluation_set("test", "all", 8, 1)


def test_by_slot_each_senders_donor_is_the_same_sender_of_the_donor(drawn: EpisodeSet) -> None:
    alone = drawn.by_slot
    assert len(alone) == 2 * len(drawn)
    for index, episode in enumerate(drawn):
        donor = drawn.donor(index)
        for place, sender in enumerate((1, 0)):
            one = alone.episodes[2 * index + place]
            assert one.message == episode.messages[sender]
            assert alone.donor(2 * index + place).message == donor.messages[sender]
            assert one.public == episode.public
            assert (one.before, one.between, one.after) == (episode.before, (), episode.after)
    assert len({one.seed for one in alone}) == len(alone)


def test_by_slot_a_part_of_a_set_keeps_its_donors(drawn: EpisodeSet) -> None:
    part = drawn.part(3, 6).by_slot
    assert part.episodes == drawn.by_slot.episodes[6:12]
    whole = drawn.by_slot
    assert [part.donor(i) for i in range(6)] == [whole.donor(i) for i in range(6, 12)]


def test_public_text_is_looked_through_by_itself(drawn: EpisodeSet, tmp_path: Path) -> None:
    episode = drawn.episodes[0]
    task = Episodes(tmp_path, ())
    # in the context Oslo stands in a list of all options, and alone in what is public
    told = task.outside(replace(episode, public="Oslo"))
    assert "Oslo" in told
    assert "Oslo" not in " ".join(task.outside(replace(episode, public="Oslo, Rome")))


def test_episodes_without_senders_or_public_text_are_named_as_before() -> None:
    episode = Episode(7, "seen", "w", "m", "b", "a", ("x", "y"), 0)
    names = ("seed", "stratum", "wording", "message", "before", "after", "options", "answer")
    told = {name: getattr(episode, name) for name in names}
    wanted = hash_data([[{**told, "paraphrase": ""}] * 2, [1, 0]])
    assert EpisodeSet((episode, episode), (1, 0)).hash() == wanted
    other = replace(episode, public="p")
    assert EpisodeSet((other, other), (1, 0)).hash() != wanted


def test_one_senders_message_may_be_anothers() -> None:
    one = Episode(1, "seen", "", "a\nb", "", "", ("x", "y"), 0, senders=("a", "b"))
    donor = replace(one, message="c\nd", senders=("c", "d"))
    assert one.with_senders(donor, 2) == ("a", "d")
    assert one.telling(("a", "d")).message == "a\nd"
    with pytest.raises(TaskError, match="shuffle_3: episode 1 has 2 senders; allowed"):
        one.with_senders(donor, 3)
