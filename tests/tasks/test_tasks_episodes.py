"""A user's episodes: splits by group, donors that contradict, options that give nothing away."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from lpca.gate.plan import task_of
from lpca.gatespec.load import SpecError, load_spec
from lpca.tasks import (
    SPLITS,
    EpisodeSet,
    Split,
    TaskError,
    message_key,
    split_by_hash,
    split_of,
)
from lpca.tasks.fields import Row
from lpca.tasks.kinds.episodes import Episodes
from lpca.tasks.rows import without_lists

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "own_episodes"
SPEC = """
version: 1
task: {{name: episodes, file: {file}, seed: 1}}
evaluation: {{n: {n}, score: likelihood}}
gates:
  base:
    answers: {answers}
    conditions: [p0, p1]
    criteria: [{{id: helps, claim: p1 - p0 > 0.2}}]
"""


def free(count: int, answers: int = 10**6) -> list[dict[str, Any]]:
    """Rows without options; many of one answer where there are few."""
    return [
        {
            "message": f"Box {i} holds item {i % answers:04d} x.",
            "context": f"Shelf {i}.{{message}}\nWhat is in it?\nAnswer:",
            "answer": f"item {i % answers:04d} x",
        }
        for i in range(count)
    ]


def yes_no(count: int, yes: float = 0.6) -> list[dict[str, Any]]:
    rng = random.Random(0)
    return [
        {
            "message": f"Note {i} of the day.",
            "context": "Answer yes or no.{message}\nIs it so?\nAnswer:",
            "answer": "yes" if rng.random() < yes else "no",
            "options": ["yes", "no"],
        }
        for i in range(count)
    ]


def make(folder: Path, rows: list[dict[str, Any]], **settings: Any) -> Episodes:
    (folder / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Episodes.from_settings({"file": "own.jsonl", **settings}, folder)


def trips() -> Episodes:
    return Episodes.from_settings({"file": "trips.jsonl"}, EXAMPLES)


def countries() -> Episodes:
    return Episodes.from_settings({"file": "countries.jsonl"}, EXAMPLES)


def held(task: Episodes, split: Split) -> list[Row]:
    """The rows that are a split's by the rule: the hash of their group's name."""
    return [row for row in task.rows if split_by_hash(row.group) == split]


def shown(task: Episodes, split: Split) -> set[Row]:
    """The rows that a split's episodes are made of; so many are drawn that each row is met."""
    written = {(row.message, row.before, row.after): row for row in task.rows}
    if split == "train":
        episodes = list(task.training_batch(0, 30 * len(task.rows), 0))
    elif split == "validation":
        episodes = list(task.evaluation_set(split, "all", len(task.rows), 0))
    else:
        sets = [task.evaluation_set(split, "all", 30, seed) for seed in range(60)]
        episodes = [episode for one in sets for episode in one]
    return {written[e.message, e.before, e.after] for e in episodes}


def assert_sound(episodes: EpisodeSet) -> None:
    assert sorted(episodes.donors) == list(range(len(episodes)))
    for index, episode in enumerate(episodes):
        donor = episodes.donor(index)
        assert donor.message != episode.message
        assert donor.right in set(episode.options) - {episode.right}
        for one, other in combinations(map(str.casefold, episode.options), 2):
            assert not one.startswith(other)
            assert not other.startswith(one)


class TestSplits:
    def test_all_rows_of_a_group_stand_in_one_split(self, tmp_path: Path) -> None:
        rows = [{**row, "group": f"g{i % 40}"} for i, row in enumerate(free(400))]
        task = make(tmp_path, rows)
        splits = {split: {row.group for row in shown(task, split)} for split in SPLITS}
        assert sum(map(len, splits.values())) == 40
        for one, other in combinations(SPLITS, 2):
            assert splits[one].isdisjoint(splits[other])

    def test_shares_are_about_six_one_and_three_tenths(self) -> None:
        counts = Counter(split_by_hash(f"group {i}") for i in range(5000))
        assert [round(counts[split] / 5000, 1) for split in SPLITS] == [0.6, 0.1, 0.3]

    def test_rows_stay_where_they_are_when_the_file_grows(self, tmp_path: Path) -> None:
        few = {row.content for row in shown(make(tmp_path, free(200)), "test")}
        many = {row.content for row in shown(make(tmp_path, free(400)), "test")}
        assert few < many

    def test_an_episodes_group_is_the_rows_else_its_message(self, tmp_path: Path) -> None:
        rows = free(90)
        for index, row in enumerate(rows[:60]):
            row["group"] = f"document {index // 3}"
        told = {row["message"]: row for row in rows}
        for episode in make(tmp_path, rows).evaluation_set("test", "all", 12, 0):
            row = told[episode.message]
            assert episode.group == row.get("group", message_key(row["message"]))

    def test_questions_on_one_passage_stand_in_one_split(self) -> None:
        task = countries()
        messages = [{row.message for row in shown(task, split)} for split in SPLITS]
        assert all(messages)
        assert not any(one & other for one, other in combinations(messages, 2))

    def test_seen_answers_are_those_of_training_rows(self) -> None:
        task = countries()
        trained = {row.answer for row in shown(task, "train")}
        assert all(e.right in trained for e in task.evaluation_set("test", "seen", 60, 0))
        unseen = task.evaluation_set("test", "unseen", 40, 0)
        assert not [e.right for e in unseen if e.right in trained]
        strata = {e.stratum for e in task.evaluation_set("test", "all", 100, 0)}
        assert strata == {"seen", "unseen"}

    def test_seeds_are_distinct_and_tell_their_split(self) -> None:
        task = countries()
        episodes = [
            e
            for seed in (0, 1)
            for e in (
                *task.evaluation_set("test", "all", 90, seed),
                *task.evaluation_set("validation", "seen", 24, seed),
                *task.training_batch(0, 24, seed),
                *task.training_batch(1, 24, seed),
            )
        ]
        assert len({e.seed for e in episodes}) == len(episodes)
        assert Counter(split_of(e.seed) for e in episodes) == {
            "test": 180,
            "validation": 48,
            "train": 96,
        }


class TestDonors:
    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("n", [20, 61, 132])
    def test_trips(self, seed: int, n: int) -> None:
        episodes = trips().evaluation_set("test", "all", n, seed)
        assert len(episodes) == n
        assert_sound(episodes)

    @pytest.mark.parametrize("answers", ["seen", "unseen", "all"])
    def test_passages_with_several_questions(self, answers: Any) -> None:
        assert_sound(countries().evaluation_set("test", answers, 60, 3))

    def test_of_yes_and_no_equally_many_are_drawn(self, tmp_path: Path) -> None:
        task = make(tmp_path, yes_no(600))
        episodes = task.evaluation_set("test", "all", 100, 0)
        assert Counter(e.right for e in episodes) == {"yes": 50, "no": 50}
        assert_sound(episodes)

    def test_where_none_contradicts_the_error_says_how_many(self, tmp_path: Path) -> None:
        task = make(tmp_path, yes_no(300, yes=1.0))
        count = len(held(task, "test"))
        with pytest.raises(TaskError, match=f"{count} of {count} episodes cannot be contradicted"):
            task.evaluation_set("test", "all", 40, 0)

    def test_an_odd_n_of_yes_and_no_cannot_be(self, tmp_path: Path) -> None:
        with pytest.raises(TaskError, match="allowed: another n"):
            make(tmp_path, yes_no(600)).evaluation_set("test", "all", 101, 0)

    def test_of_few_passages_a_donor_has_another(self, tmp_path: Path) -> None:
        rows = [
            {**row, "message": f"Passage {i % 3}.", "group": _group("test")}
            for i, row in enumerate(free(90))
        ]
        assert_sound(make(tmp_path, rows).evaluation_set("test", "all", 60, 0))

    def test_a_donor_does_not_name_the_right_answer_where_others_do_not(
        self, tmp_path: Path
    ) -> None:
        rows = free(300, answers=30)
        for i, row in enumerate(rows):
            others = (f"item {(i + step) % 30:04d} x" for step in range(1, 16))
            row["message"] += f" It was beside {', '.join(others)}."
        episodes = make(tmp_path, rows).evaluation_set("test", "all", 60, 0)
        assert_sound(episodes)
        assert not [e for i, e in enumerate(episodes) if e.right in episodes.donor(i).message]

    def test_too_few_episodes_are_counted(self, tmp_path: Path) -> None:
        task = make(tmp_path, free(50))
        count = len(held(task, "test"))
        with pytest.raises(
            TaskError,
            match=rf"own.jsonl: the test split holds {count} episodes .*, 400 are asked for; "
            rf"allowed: n from 2 to {count}, or more rows",
        ):
            task.evaluation_set("test", "all", 400, 0)
        with pytest.raises(TaskError, match="at least 2"):
            task.evaluation_set("test", "all", 1, 0)

    def test_validation_has_as_many_as_training_watches(self, tmp_path: Path) -> None:
        task = make(tmp_path, free(60))
        assert len(held(task, "validation")) < 24
        episodes = task.evaluation_set("validation", "seen", 24, 0)
        assert len(episodes) == 24
        assert all(e.message != episodes.donor(i).message for i, e in enumerate(episodes))


class TestOptions:
    @pytest.mark.parametrize("count", [2, 4, 7])
    def test_a_row_without_gets_answers_of_its_own_split(self, tmp_path: Path, count: int) -> None:
        task = make(tmp_path, free(300), options=count)
        answers = {row.answer for row in held(task, "test")}
        episodes = task.evaluation_set("test", "all", 60, 0)
        assert all(len(e.options) == count and answers.issuperset(e.options) for e in episodes)
        places = Counter(e.answer for e in episodes)
        counts = [places[place] for place in range(count)]
        assert max(counts) - min(counts) <= 1
        assert_sound(episodes)

    def test_no_option_that_was_made_stands_in_the_context(self, tmp_path: Path) -> None:
        rows = free(300, answers=12)
        for i, row in enumerate(rows):
            row["context"] = f"Not item {(i + 1) % 12:04d} x! {row['context']}"
        for e in make(tmp_path, rows).evaluation_set("test", "all", 60, 0):
            assert not [option for option in e.options if option in e.before]

    def test_options_stand_as_b_reads_them(self, tmp_path: Path) -> None:
        row = {
            "message": "m",
            "context": "Either Rome, new york or YORK?{message} Answer:",
            "answer": "York",
            "options": ["York", "New York", "Rome"],
        }
        [episode] = make(tmp_path, [{**row, "group": _group("train")}]).training_batch(0, 1, 0)
        assert episode.options == ("Rome", "New York", "York")
        assert episode.answer == 2

    def test_too_few_answers_for_the_options(self, tmp_path: Path) -> None:
        task = make(tmp_path, free(300, answers=3))
        with pytest.raises(TaskError, match=r"line .*: only 3 different answers .* allowed: fewer"):
            task.evaluation_set("test", "all", 30, 0)
        assert_sound(make(tmp_path, free(300, 3), options=3).evaluation_set("test", "all", 30, 0))

    def test_the_texts_outside_of_lists(self) -> None:
        options = ("York", "New York", "Rome")
        assert without_lists(options, "A: York, Rome, New York. Q?") == ("A: ", ". Q?")
        assert without_lists(options, "(rome/york/new york) York or Rome") == (
            "(",
            ") York or Rome",
        )
        assert without_lists(options, "New York and Rome only") is None
        assert without_lists(("yes", "no"), "yes or no? no, yes!") == ("", "? ", "!")


class TestTraining:
    def test_batches_are_training_rows_in_fresh_orders(self) -> None:
        task = countries()
        messages = {row.message for row in held(task, "train")}
        batches = [task.training_batch(step, 24, 0) for step in range(6)]
        assert all(messages.issuperset(e.message for e in batch) for batch in batches)
        assert len({tuple(e.message for e in batch) for batch in batches}) == 6
        same = [e.options for b in batches for e in b if e.right == "Europe"]
        assert len(set(same)) > 1

    def test_more_are_asked_for_than_there_are(self, tmp_path: Path) -> None:
        task = make(tmp_path, free(60))
        assert len(task.training_batch(0, 256, 0)) == 256

    def test_a_file_without_training_rows(self, tmp_path: Path) -> None:
        row = {**free(1)[0], "group": _group("test")}
        with pytest.raises(TaskError, match="the train split holds 0 episodes"):
            make(tmp_path, [row]).training_batch(0, 8, 0)


class TestContent:
    def test_hashes_follow_the_rows_not_the_file(self, tmp_path: Path) -> None:
        rows = free(100)
        task = make(tmp_path, rows)
        other = tmp_path / "other"
        other.mkdir()
        moved = make(other, rows[::-1])
        assert task.training_hash() == moved.training_hash()
        assert task.contents() == moved.contents()
        sets = [one.evaluation_set("test", "all", 20, 1).hash() for one in (task, moved)]
        assert sets[0] == sets[1]
        assert task.training_batch(2, 8, 0) == moved.training_batch(2, 8, 0)

    @pytest.mark.parametrize(("split", "trained"), [("train", True), ("test", False)])
    def test_each_hash_follows_its_own_split(
        self, tmp_path: Path, split: str, trained: bool
    ) -> None:
        rows = free(100)
        index = next(i for i in range(100) if split_by_hash(rows[i]["message"].lower()) == split)
        before = make(tmp_path, rows)
        rows[index]["answer"] = "another"
        after = make(tmp_path, rows)
        assert (before.training_hash() != after.training_hash()) == trained
        assert (before.contents() != after.contents()) != trained

    def test_seeds_draw_other_episodes(self) -> None:
        hashes = {countries().evaluation_set("test", "all", 60, seed).hash() for seed in range(4)}
        assert len(hashes) == 4

    def test_another_process_with_another_hash_seed_makes_the_same(self) -> None:
        code = (
            "from pathlib import Path; from lpca.tasks.kinds.episodes import Episodes;"
            f"t = Episodes.from_settings({{'file': 'countries.jsonl'}}, Path({str(EXAMPLES)!r}));"
            "print(t.evaluation_set('test', 'all', 90, 5).hash(), t.training_hash(),"
            "t.training_batch(2, 8, 1)[3])"
        )
        said = {
            subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for seed in ("0", "12345")
        }
        assert len(said) == 1


class TestSpec:
    def _spec(self, folder: Path, **values: Any) -> Path:
        path = folder / "gate_specs.yaml"
        path.write_text(SPEC.format(**{"file": "own.jsonl", "n": 20, "answers": "all", **values}))
        return path

    def test_the_file_is_found_from_the_specs_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(tmp_path, free(200))
        self._spec(tmp_path)
        monkeypatch.chdir(tmp_path.parent)
        task = task_of(load_spec(f"{tmp_path.name}/gate_specs.yaml"))
        assert len(task.evaluation_set("test", "all", 20, 1)) == 20

    def test_a_missing_file_is_named_at_its_setting(self, tmp_path: Path) -> None:
        path = self._spec(tmp_path)
        with pytest.raises(SpecError, match=rf"{path}:3:30: .*own.jsonl: there is no such file"):
            task_of(load_spec(path))

    def test_more_episodes_than_there_are_is_named_at_n(self, tmp_path: Path) -> None:
        make(tmp_path, free(50))
        path = self._spec(tmp_path, n=400)
        with pytest.raises(SpecError, match=rf"{path}:4:17: gate base: .*400 are asked for"):
            task_of(load_spec(path))

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({}, "file is missing; allowed: the path of a JSONL file"),
            ({"file": 3}, "file is 3; allowed"),
            ({"file": "x", "option": 4}, "unknown setting 'option'; allowed: file, options"),
            ({"file": "x", "options": 17}, "options is 17; allowed: a whole number from 2 to 16"),
            ({"file": "x", "options": True}, "options is True; allowed: a whole number"),
        ],
    )
    def test_settings_are_checked(self, settings: Any, says: str) -> None:
        with pytest.raises(TaskError, match=says):
            Episodes.from_settings(settings, Path())

    def test_checking_a_spec_imports_neither_torch_nor_transformers(self) -> None:
        code = (
            "import sys; from lpca.commands.cli import main;"
            "assert main(['check', 'gate_specs.yaml']) == 0;"
            "assert not {'torch', 'transformers'} & set(sys.modules)"
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", code], cwd=EXAMPLES, env=environment, check=True)


def _group(split: str) -> str:
    return next(f"g{i}" for i in range(100) if split_by_hash(f"g{i}") == split)
